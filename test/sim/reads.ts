/**
 * Reads of a partition that an owner is filling: they count complete holders too (PROTOCOL 6.1), so what each of these
 * knows, a read that is not degraded knows.
 */
import { hasBit } from "../../core/bytes/bitmap.ts";
import { covers, type Dot } from "../../core/causality/version-set.ts";
import type { SimHost } from "./host.ts";
import { membershipOn, objectOn } from "./rows.ts";
import type { World } from "./world.ts";

/** A host that has just become complete says so before its disk does. */
const savedWithinMs = 5_000;

/** Events that all complete holders know, by their disks, while an owner is filling. */
export interface HeldByAll {
  readonly names: readonly string[];
  readonly sinceMs: number;
  /** Whom they are complete by, and on which ring. */
  readonly holders: string;
}

/** Call when a read begins. Undefined: nobody is filling, or hosts differ about the ring. */
export function heldByAll(world: World, key: string): HeldByAll | undefined {
  const { oracle, schedule } = world;
  const view = holdersOf(world, key);
  if (view === undefined || view.complete.length === 0 || view.filling.length === 0) return undefined;
  const history = oracle.history(key);
  const located = oracle.locate(key);
  const states = view.complete.map(({ disk }) => objectOn(disk.synced, located));
  const isHeld = (dot: Dot): boolean => states.every((state) => state !== undefined && covers(state.vector, dot));
  const names = [...history.events.values()].flatMap(({ name, dot }) => (isHeld(dot) ? [name] : []));
  return { names, sinceMs: schedule.nowMs, holders: view.text };
}

/** Call when the read has ended, and was not degraded. */
export async function checkHeldByAll(
  world: World,
  key: string,
  {
    where,
    expected,
    context,
  }: { readonly where: string; readonly expected: HeldByAll; readonly context: readonly Dot[] },
): Promise<void> {
  const { oracle } = world;
  const history = oracle.history(key);
  oracle.checks += expected.names.length;
  const missing = expected.names.filter((name) => !history.knows(context, history.events.get(name)!));
  if (missing.length === 0 || history.truncated) return;
  await world.sleep(savedWithinMs);
  const isLost = world.hosts.some(({ id }) => (oracle.lossMs(id) ?? -1) >= expected.sinceMs);
  if (isLost || !world.hosts.every(isCalm) || holdersOf(world, key)?.text !== expected.holders) return;
  const unread = missing.filter((name) => !history.events.get(name)!.reaped);
  if (unread.length === 0) return;
  const text = `${where} misses ${unread.map((name) => oracle.tell(key, name)).join()} (${expected.holders})`;
  oracle.broken("a read knows what all complete holders know", text);
}

function holdersOf(
  { oracle, hosts, twins, scenario }: World,
  key: string,
): { readonly complete: SimHost[]; readonly filling: SimHost[]; readonly text: string } | undefined {
  const ring = oracle.ring();
  if (ring === undefined || twins.length > 0) return undefined;
  const { partition } = oracle.locate(key);
  const owners = ring.owners(partition);
  const says = (host: SimHost, what: "complete" | "filling"): boolean => {
    const record = membershipOn(host.disk.view)?.roster.holdings.get(host.id);
    return record !== undefined && hasBit(record[what], partition);
  };
  const complete = hosts.filter((host) => says(host, "complete"));
  const filling = hosts.filter((host) => owners.includes(host.id) && says(host, "filling"));
  const names = (some: readonly SimHost[]): string => some.map(({ name }) => name).join();
  const text = `complete ${names(complete)}, filling ${names(filling)}, owners ${owners.join()} of ${scenario.n}`;
  return { complete, filling, text };
}

function isCalm({ disk, process }: SimHost): boolean {
  const { full, writeErrors, readErrors, slowness } = disk.mood;
  return process?.paused !== true && !full && writeErrors === 0 && readErrors === 0 && slowness === 1;
}
