/** What the owners of all keys must have once everything has healed (I1, I2, I4). */
import { clockDigest } from "../../core/causality/clock.ts";
import type { Versioned } from "../../core/causality/version-set.ts";
import { toHex } from "../../core/bytes/hex.ts";
import { allPartitions } from "../../core/placement/partition.ts";
import type { SimHost } from "./host.ts";
import { membershipOn, objectOn, statesOn } from "./rows.ts";
import type { World } from "./world.ts";
import type { Write } from "./write.ts";

/** The first key on which owners differ, in words; undefined when all are equal. */
export function differenceOfOwners(world: World): string | undefined {
  const ring = world.oracle.ring();
  if (ring === undefined) return "hosts differ about the ring";
  for (const key of world.oracle.keys) {
    const owners = ring.owners(world.oracle.locate(key).partition);
    const digests = owners.map((id) => {
      const state = stateAt(world, id, key);
      return state === undefined ? "nothing" : toHex(clockDigest(state)).slice(0, 8);
    });
    if (new Set(digests).size > 1) {
      return `owners of ${key} differ: ${owners.map((id, i) => `${id} ${digests[i]}`).join(", ")}`;
    }
  }
  return undefined;
}

/** What the first owner has of a key; call it when all owners are equal. */
export function ownersState(world: World, key: string): Versioned | undefined {
  const [owner] = world.oracle.ring()!.owners(world.oracle.locate(key).partition);
  return stateAt(world, owner!, key);
}

/** Call at once when a write is acknowledged: where the ring has other hosts, browsers are not its only ones (PROTOCOL 2). */
export function checkAnchored({ hosts, oracle, ringsBefore }: World, write: Write, where: string): void {
  const { id, ack, startedMs } = write;
  const holders = hosts.filter((host) => ack!.durable.includes(host.id));
  if (holders.some(({ leaseMs }) => leaseMs === undefined) || holders.length < ack!.durable.length) return;
  oracle.checks += 1;
  // One that had not heard of the others yet may have coordinated it.
  if (holders.some((host) => (ringsBefore.get(host.id)?.atMs ?? -Infinity) >= startedMs)) return;
  const kinds = holders.map(({ disk }) => membershipOn(disk.view)?.ring.hosts.map(({ kind }) => kind) ?? []);
  if (!kinds.every((known) => known.includes("host"))) return;
  const text = `${where}: write ${id} is on ${holders.map(({ name }) => name).join()}, which are browsers`;
  oracle.broken("no write is acknowledged by browsers alone", text);
}

/** Every acknowledged write with a copy left is known to the owners; call it when they are equal. */
export function checkNothingLost(world: World): void {
  const { oracle } = world;
  for (const key of oracle.keys) {
    const state = ownersState(world, key);
    const history = oracle.history(key);
    for (const write of oracle.writes) {
      if (write.key !== key || write.ack === undefined || write.lost || history.isForgiven(write)) continue;
      oracle.checks += 1;
      const isKnown = (name: string): boolean =>
        state !== undefined && history.knows(state.vector, history.events.get(name)!);
      if ([...write.events].some(isKnown)) continue;
      const text = `write ${write.id} of ${key}, acknowledged by ${write.ack.durable.join()}, is unknown to the owners`;
      oracle.broken("no acknowledged write is lost", text);
    }
  }
}

/** Who does not own a key keeps nothing of it: everything that moved was handed off (PROTOCOL 9). */
export function checkPlaces({ hosts, oracle }: World): void {
  const ring = oracle.ring()!;
  for (const { disk, id, name } of hosts) {
    for (const { key, hintFor } of statesOn(disk.view)) {
      if (hintFor !== undefined) continue;
      oracle.checks += 1;
      if (ring.owners(oracle.locate(key).partition).includes(id)) continue;
      oracle.broken("former owners keep nothing in the end", `${name} has ${key}`);
    }
  }
}

/**
 * Owners stand as far apart as the hosts of the ring do (PROTOCOL 2), by what the hosts were started with: on as many
 * machines and in as many zones as there are, up to N. One place may be lost to the rule that one of them is no browser.
 */
export function checkSpread({ hosts, oracle }: World): void {
  const ring = oracle.ring()!;
  const placed = hosts.filter(({ id }) => ring.host(id) !== undefined);
  const isMixed = placed.some(({ leaseMs }) => leaseMs !== undefined);
  for (const label of ["deviceGroup", "zone"] as const) {
    const domains = (among: readonly SimHost[]): number =>
      new Set(among.map(({ site, name }) => site[label] || `${name} alone`)).size;
    const wanted = Math.min(ring.n, domains(placed)) - (isMixed ? 1 : 0);
    for (const partition of allPartitions(ring.partitions)) {
      oracle.checks += 1;
      const owners = placed.filter(({ id }) => ring.owners(partition).includes(id));
      if (domains(owners) >= wanted) continue;
      const text = owners.map(({ name, site }) => `${name} (${site[label]})`).join(", ");
      oracle.broken(`owners are spread over each ${label}`, `partition ${partition}: ${text}, of ${wanted} at least`);
    }
  }
}

function stateAt({ hosts, oracle }: World, id: string, key: string): Versioned | undefined {
  return objectOn(hosts.find((host) => host.id === id)!.disk.view, oracle.locate(key));
}

/** Hosts that carry one lapse out at once make one change of it. */
export function checkLapses({ hosts, oracle }: World): void {
  for (const { disk, name } of hosts) {
    const lapses = membershipOn(disk.view)!.roster.changes.filter(({ verb }) => verb === "lapse");
    oracle.checks += 1;
    if (new Set(lapses.map(({ subject, life }) => `${subject} ${life}`)).size === lapses.length) continue;
    oracle.broken("a lapse is one change of the ring", `${name} has ${lapses.map(({ subject }) => subject).join()}`);
  }
}
