/**
 * How an application wants siblings to become one value (paper 4.4, PROTOCOL 11). Chosen per bucket, applied when it reads;
 * what a rule makes of them is stored with the next write.
 */
import type { ValueKind } from "../causality/version-set.ts";
import type { Codec } from "./codecs.ts";
import type { Pen } from "./dots.ts";

/** A live value, as far as a rule may look at it. */
export interface Candidate<T> {
  readonly value: T;
  /** When it was written, by the clock of the node that accepted it; ms since 1970. */
  readonly timeMs: number;
  /** The event's name: `actor:counter`. */
  readonly dot: string;
}

/**
 * One way to resolve conflicts. Must, for equal candidates in whatever order, resolve to an equal value; must leave a value
 * as it is that it meets twice, or that holds the others; and must not change what it is given. Proved by `test/core/values/conformance.ts`.
 */
export interface ConflictRule<T> {
  readonly name: string;
  /** How the store keeps the values: of `lww` and `yjs` it decides itself what survives. */
  readonly kind: ValueKind;
  /** Of values that have their own form in bytes; the bucket then needs none. */
  readonly codec?: Codec<T>;
  /** Brings what `resolve` and `seal` need; over before the first of what is read is given to them. */
  load?(): Promise<void>;
  /** What two or more become, or the only one that could be decoded; undefined: that is for the application to say. */
  resolve(candidates: readonly Candidate<T>[]): T | undefined;
  /** It is the application's own function: samples of what it makes are checked (`merge-check.ts`). */
  readonly isChecked?: true;
  /** What an update begins with where there is nothing: of values that merge by themselves. */
  readonly empty?: T;
  /** Of values that merge: names the changes made to one before it is written, and adds what was read (`present`). */
  seal?(value: T, present: T | undefined, pen: Pen): T;
  /** Of values that a context does not replace: the dots of those that an update of what was read takes the place of. */
  foldsOf?(
    read: readonly { readonly dot: string; readonly body: Uint8Array; readonly expiresAtMs?: number }[],
  ): readonly string[];
}

/** The default: the application sees them all, and there is a `value` only when there is one. */
export function siblings<T>(): ConflictRule<T> {
  return { name: "siblings", kind: "opaque", resolve: () => undefined };
}

/**
 * A pure function of two or more values, in the order of their dots. Others merge the same values elsewhere, and merge what
 * was merged: so equal values, in whatever order, must give an equal result, and a result that meets itself, or a value that is in
 * it, must stay as it is.
 * A bucket whose option `checkMerges` is on looks whether it does (`bad-merge`).
 *
 * @example
 * merge<Cart>((carts) => ({ books: [...new Set(carts.flatMap(({ books }) => books))].toSorted() }))
 */
export function merge<T>(fn: (values: readonly T[]) => T): ConflictRule<T> {
  const resolve = ([first, ...others]: readonly Candidate<T>[]): T | undefined =>
    first === undefined || others.length === 0 ? first?.value : fn([first, ...others].map(({ value }) => value));
  return { name: "merge", kind: "opaque", resolve, isChecked: true };
}

/** The last write wins, by hybrid clocks (see `causality/hybrid-clock.ts`); what loses is told by a `conflict` event. */
export function lww<T>(): ConflictRule<T> {
  return { name: "lww", kind: "lww", resolve: latest };
}

/** The store keeps one lww value; beside it there may be others, from before the bucket had this rule. */
function latest<T>(candidates: readonly Candidate<T>[]): T | undefined {
  const [winner] = candidates.toSorted((a, b) => b.timeMs - a.timeMs || (a.dot < b.dot ? 1 : -1));
  return winner?.value;
}
