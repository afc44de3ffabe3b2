/**
 * The shop's cart as a CRDT: `cart()` of everwrite. It knows what its writer had seen, so what was taken out stays out, unless
 * somebody else added just that at the same time.
 */
import type { Cart as CrdtCart } from "everwrite";
import { type Cart, type CartChange, newQuantities, quantityMax, unionOfCarts } from "./cart.ts";

export function plainCart(cart: CrdtCart): Cart {
  const lines = [...cart].map(([article, quantity]) => ({ article, quantity: Math.min(quantity, quantityMax) }));
  return unionOfCarts([{ lines }]);
}

/** Changes that say what they mean: "one more" beside that of another device is two more. */
export function changedCrdt(cart: CrdtCart, change: CartChange): CrdtCart {
  if (change.kind === "add") return cart.add(change.article);
  return newQuantities(change, (article) => cart.quantity(article)).reduce(
    (made, { article, quantity }) => (quantity === 0 ? made.remove(article) : made.set(article, quantity)),
    cart,
  );
}
