/**
 * Values that merge by themselves (state-based CRDTs), as a bucket uses them. They are immutable: a change returns a new value,
 * which an update or a put writes. Made by `counter()`, `addWinsSet()`, `registers()` and `cart()`.
 */
import type { Codec } from "./codecs.ts";
import type { ConflictRule } from "./conflict-rules.ts";
import type { Pen } from "./dots.ts";

/** What they have in common: an update of one always has one to begin with. */
export abstract class MergingValue<State> {
  /** How it merges; for the rules alone. */
  readonly state: State;

  constructor(state: State) {
    this.state = state;
  }

  /** What it holds, in plain values. */
  abstract toJSON(): unknown;
}

/** How values of one type merge. */
interface Merging<State, T extends MergingValue<State>> {
  readonly name: string;
  readonly codec: Codec<State>;
  readonly empty: State;
  readonly of: (state: State) => T;
  readonly join: (a: State, b: State) => State;
  /** Gives the changes since it was read their dot. */
  readonly seal: (state: State, pen: Pen) => State;
}

export function mergingRule<State, T extends MergingValue<State>>(kind: Merging<State, T>): ConflictRule<T> {
  const { name, codec, empty, of, join, seal } = kind;
  return {
    name,
    kind: "opaque",
    codec: {
      contentType: codec.contentType,
      encode: ({ state }) => codec.encode(state),
      decode: (body) => of(codec.decode(body)),
    },
    empty: of(empty),
    resolve: (candidates) => of(candidates.map(({ value }) => value.state).reduce((a, b) => join(a, b))),
    seal(value, present, pen) {
      // Joined with what was read, so that a change of an older value takes nothing back.
      const state = present === undefined ? value.state : join(present.state, value.state);
      return of(seal(state, pen));
    },
  };
}
