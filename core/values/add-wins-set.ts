/**
 * A set that many change at once: what one adds while another removes it stays (observed-remove, Shapiro et al. 2011, without
 * tombstones: Bieniusa et al. 2012).
 */
import { varint } from "../bytes/codec.ts";
import type { ConflictRule } from "./conflict-rules.ts";
import { type Dotted, dottedCodec, join, nothingDotted, put, remove, seal } from "./dotted.ts";
import { MergingValue, mergingRule } from "./merging.ts";

/** That it is there says all: the payload is always 0. */
type Tags = Dotted<number>;

/**
 * Strings and finite numbers, as of when it was read.
 *
 * @example
 * const tags = store.bucket<AddWinsSet<string>>("tags", { conflict: addWinsSet() });
 * await tags.update("post 1", (set) => set.add("dynamo").delete("draft"));
 */
export class AddWinsSet<E extends string | number> extends MergingValue<Tags> {
  get size(): number {
    return this.state.entries.size;
  }

  has(element: E): boolean {
    return this.state.entries.has(JSON.stringify(element));
  }

  /** The same on every node. */
  *[Symbol.iterator](): IterableIterator<E> {
    for (const text of this.state.entries.keys()) yield JSON.parse(text) as E;
  }

  /** @throws RangeError for a number that JSON has no form for */
  add(element: E): AddWinsSet<E> {
    if (typeof element === "number" && !Number.isFinite(element)) throw new RangeError(`a set cannot hold ${element}`);
    return new AddWinsSet(put(this.state, JSON.stringify(element), 0, () => true));
  }

  delete(element: E): AddWinsSet<E> {
    return new AddWinsSet(remove(this.state, JSON.stringify(element)));
  }

  /** Without all that is in it now. */
  clear(): AddWinsSet<E> {
    return new AddWinsSet({ seen: this.state.seen, entries: nothingDotted.entries });
  }

  toJSON(): readonly E[] {
    return [...this];
  }
}

/** Who adds and who removes at the same time: adding wins. */
export function addWinsSet<E extends string | number>(): ConflictRule<AddWinsSet<E>> {
  return mergingRule({
    name: "addWinsSet",
    codec,
    empty: nothingDotted,
    of: (state: Tags) => new AddWinsSet<E>(state),
    join,
    seal,
  });
}

const codec = dottedCodec("application/x-everwrite-set", varint, (key, payload) => payload === 0 && isElement(key));

function isElement(text: string): boolean {
  const element: unknown = JSON.parse(text);
  return (typeof element === "string" || typeof element === "number") && JSON.stringify(element) === text;
}
