/** Writes to keys that are being forgotten: drawn ones hardly ever hit those few milliseconds (riak_kv#1777). */
import { methods } from "../../core/rpc/rpc.ts";
import type { Clients } from "./clients.ts";
import { plainOperation } from "./scenario.ts";
import type { World } from "./world.ts";

/** So many a run, or nothing would ever be forgotten. */
const racesMax = 20;

/** From now on some of the requests to prepare a reap meet a put, at any host and before or after its commit; see `endRaces`. */
export function raceReaps(world: World, clients: Clients): void {
  const { scenario, schedule, network } = world;
  const chance = world.chance.fork("races");
  let races = 0;
  network.onRequest = (body) => {
    if (body[0] !== methods.prepareReap.number || races >= racesMax || !chance.is(0.1)) return;
    const { keys } = methods.prepareReap.request.decode(body.subarray(1));
    // One that only raises the mark.
    if (keys.length === 0) return;
    races += 1;
    const { key: name } = chance.pick(keys);
    const key = Number(/\d+$/.exec(name)![0]);
    const context = chance.pick(["none", "latest", "stale"] as const);
    const client = chance.pick([90, 91]);
    const operation = { ...plainOperation, verb: "put" as const, key, client, context, quorum: "one" as const };
    schedule.after(chance.between(0, 6 * scenario.delayMs[1]), "races a reap", () => {
      if (network.onRequest !== undefined) clients.start({ ...operation, host: chance.whole(0, 99) });
    });
  };
}

/** No put that is still to come begins. */
export function endRaces({ network }: World): void {
  network.onRequest = undefined;
}
