/**
 * What applications changed in one value, and what must have become of it in the end. A change that was acknowledged happened,
 * once; one whose outcome nobody was told happened once or not at all. Each is known by the dot that it was sealed with,
 * and by what its writer had seen, so what sets and carts must hold follows from their definition: an item is there if it was added
 * by a change that no removal had seen.
 */
import type { AddWinsSet } from "../../../core/values/add-wins-set.ts";
import type { Cart } from "../../../core/values/cart.ts";
import type { Counter } from "../../../core/values/counter.ts";
import { type Dot, hasSeen, type Seen } from "../../../core/values/dots.ts";

/** One try to write it: the last one is what was acknowledged, if it was. A removal alone has no dot. */
export interface Attempt {
  readonly dot: Dot | undefined;
  readonly seen: Seen;
}

export interface Change {
  readonly who: string;
  readonly verb: "add" | "remove";
  /** "" of counters. */
  readonly item: string;
  readonly by: number;
  readonly attempts: Attempt[];
  outcome: "acknowledged" | "unknown";
}

/** In words, what is wrong; undefined: all is as it must be. */
export function problemOfCounter({ total, state }: Counter, changes: readonly Change[]): string | undefined {
  let expected = 0;
  for (const change of changes) {
    const times = dotsIn(state.seen, change).length;
    if (times > 1) return `${tell(change)} counted ${times} times`;
    if (times === 0 && change.outcome === "acknowledged") return `${tell(change)} was acknowledged, and is lost`;
    expected += times * change.by;
  }
  return total === expected ? undefined : `the count is ${total} instead of ${expected}`;
}

export function problemOfItems(value: Cart | AddWinsSet<string>, changes: readonly Change[]): string | undefined {
  const { seen } = value.state;
  const lost = changes.find(({ verb, outcome, ...rest }) => {
    return verb === "add" && outcome === "acknowledged" && dotsIn(seen, rest).length === 0;
  });
  if (lost !== undefined) return `${tell(lost)} was acknowledged, and is lost`;
  for (const item of new Set(changes.map((change) => change.item))) {
    const ofItem = changes.filter((change) => change.item === item);
    const dots = ofItem.filter(({ verb }) => verb === "add").flatMap((change) => dotsIn(seen, change));
    const removals = ofItem.filter(({ verb }) => verb === "remove");
    const mustStay = dots.some((dot) => !removals.some((removal) => mayHaveSeen(removal, dot)));
    const mustBeGone = dots.every((dot) => removals.some((removal) => hasSurelySeen(removal, dot)));
    if (mustStay && !value.has(item)) return `${item} was added, and nobody who saw that removed it`;
    if (mustBeGone && value.has(item)) return `${item} was removed, and came back`;
  }
  return undefined;
}

/** A list that is merged by union: what nobody ever removed is there. */
export function problemOfUnion(items: readonly string[], changes: readonly Change[]): string | undefined {
  const removed = new Set(changes.filter(({ verb }) => verb === "remove").map(({ item }) => item));
  const lost = changes.find(
    ({ verb, item, outcome }) =>
      verb === "add" && outcome === "acknowledged" && !removed.has(item) && !items.includes(item),
  );
  return lost && `${tell(lost)} was acknowledged, and is lost`;
}

/** Items whose removal was acknowledged, and that are there all the same. */
export function returnedItems(items: Iterable<string>, changes: readonly Change[]): string[] {
  const isRemoval = ({ verb, outcome }: Change): boolean => verb === "remove" && outcome === "acknowledged";
  const removed = new Set(changes.filter(isRemoval).map(({ item }) => item));
  return [...items].filter((item) => removed.has(item));
}

function dotsIn(seen: Seen, { attempts }: Pick<Change, "attempts">): Dot[] {
  return attempts.flatMap(({ dot }) => (dot !== undefined && hasSeen(seen, dot) ? [dot] : []));
}

function mayHaveSeen({ attempts }: Change, dot: Dot): boolean {
  return attempts.some(({ seen }) => hasSeen(seen, dot));
}

function hasSurelySeen({ attempts, outcome }: Change, dot: Dot): boolean {
  return outcome === "acknowledged" && hasSeen(attempts.at(-1)!.seen, dot);
}

function tell({ who, verb, item, by }: Change): string {
  return `${who}: ${verb} ${item === "" ? by : item}`;
}
