/** What a visitor has bought: a list that only grows, so that two versions of it become one without a question. */
import { type Cart, checkCart } from "./cart.ts";

export interface Order {
  /** Drawn once, at the click: the same order is never in the list twice, however often its write is tried. */
  readonly id: string;
  readonly cart: Cart;
  /** ms since 1970. */
  readonly timeMs: number;
  readonly cents: number;
}

/** Oldest first. */
export type Orders = readonly Order[];

/** Each order once, in an order that does not depend on that of the lists. */
export function unionOfOrders(lists: readonly Orders[]): Orders {
  const byId = new Map(lists.flat().map((order) => [order.id, order]));
  return [...byId.values()].toSorted((a, b) => a.timeMs - b.timeMs || (a.id < b.id ? -1 : 1));
}

/** @throws TypeError */
export function checkOrders(value: unknown): Orders {
  if (!Array.isArray(value)) throw new TypeError("orders are a list");
  return value.map((each) => {
    const { id, cart, timeMs, cents } = (each ?? {}) as Record<string, unknown>;
    if (typeof id !== "string" || !Number.isFinite(timeMs) || !Number.isFinite(cents)) {
      throw new TypeError("an order has an id, a time and a sum");
    }
    return { id, cart: checkCart(cart), timeMs: timeMs as number, cents: cents as number };
  });
}
