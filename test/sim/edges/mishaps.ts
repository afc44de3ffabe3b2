/** What befalls edges: they lose their network, are frozen, killed, and started again. */
import type { Chance } from "../chance.ts";
import type { World } from "../world.ts";
import type { SimEdge } from "./sim-edge.ts";

interface Cuttable {
  heal: (() => void) | undefined;
}

/** One of them. `place`: of the application, which keeps what ends the cut of its edge. */
export function befall(
  world: World,
  { edge, chance, place }: { readonly edge: SimEdge; readonly chance: Chance; readonly place: Cuttable },
): void {
  const what = chance.pick(["cut", "heal", "heal", "kill", "power", "freeze"] as const);
  world.happened(`application ${what}`);
  if (what === "cut" || what === "heal") place.heal?.();
  if (what === "cut") place.heal = cutOff(world, edge, chance);
  if (what === "freeze") freeze(world, edge, chance);
  if (what !== "kill" && what !== "power") return;
  edge.kill();
  if (what === "power") edge.disk.powerCut();
  startAgain(world, edge, chance);
}

/** No host hears it, and mostly it hears none, until the answer is called. */
function cutOff(world: World, edge: SimEdge, chance: Chance): () => void {
  const pairs = world.hosts.map(({ id }) => [edge.id, id] as const);
  return world.network.cutPairs(pairs, chance.is(0.8));
}

function freeze(world: World, { id, process }: SimEdge, chance: Chance): void {
  process?.pause();
  world.schedule.after(chance.logarithmic(100, 10_000), `${id} goes on`, () => process?.resume());
}

function startAgain(world: World, edge: SimEdge, chance: Chance): void {
  world.schedule.after(chance.between(0, 1_000), `${edge.id} starts again`, () => edge.start());
}
