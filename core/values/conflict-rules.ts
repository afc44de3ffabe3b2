/**
 * How an application wants siblings to become one value (paper 4.4, PROTOCOL 11). Chosen per bucket, applied when it reads;
 * what a rule makes of them is stored with the next write.
 */

/** Made by `siblings()`, `merge(fn)` or `lww()`. */
export type ConflictRule<T> =
  | { readonly kind: "siblings" }
  | { readonly kind: "merge"; readonly merge: (values: readonly T[]) => T }
  | { readonly kind: "lww" };

/** The default: the application sees them all, and there is a `value` only when there is one. */
export function siblings(): { readonly kind: "siblings" } {
  return { kind: "siblings" };
}

/**
 * A pure function of two or more values, in the order of their dots. Others merge the same values elsewhere, and merge what
 * was merged: so equal values, in whatever order, must give an equal result, and a value merged with itself must stay itself.
 *
 * @example
 * merge<Cart>((carts) => ({ books: [...new Set(carts.flatMap(({ books }) => books))].toSorted() }))
 */
export function merge<T>(fn: (values: readonly T[]) => T): ConflictRule<T> {
  return { kind: "merge", merge: fn };
}

/** The last write wins, by hybrid clocks (see `causality/hybrid-clock.ts`); what loses is told by a `conflict` event. */
export function lww(): { readonly kind: "lww" } {
  return { kind: "lww" };
}
