/**
 * A cart as a plain value, and what can be done with it. Pure functions: the store merges, retries and compares by them.
 * Invariant: lines are sorted by article, none is empty, so that equal carts are equal bytes.
 */

/** So many of one article. */
export interface CartLine {
  /** Of the catalogue. */
  readonly article: string;
  /** 1 to `quantityMax`. */
  readonly quantity: number;
}

export interface Cart {
  readonly lines: readonly CartLine[];
}

export const quantityMax = 99;
/** A cart is read by every device that shares it: one that claims more is refused. */
const linesMax = 1_000;

export const emptyCart: Cart = { lines: [] };

export function quantityOf(cart: Cart, article: string): number {
  return cart.lines.find((line) => line.article === article)?.quantity ?? 0;
}

/** 0 takes the article out. */
export function withQuantity(cart: Cart, article: string, quantity: number): Cart {
  const others = cart.lines.filter((line) => line.article !== article);
  const kept = Math.min(quantityMax, Math.max(0, Math.trunc(quantity)));
  return { lines: sorted(kept === 0 ? others : [...others, { article, quantity: kept }]) };
}

/** What a visitor does to a cart, whatever form its rule keeps it in. */
export type CartChange =
  /** One more. */
  | { readonly kind: "add"; readonly article: string }
  /** 0 takes it out. */
  | { readonly kind: "set"; readonly article: string; readonly quantity: number }
  /** Takes out what was bought; what was added meanwhile stays. */
  | { readonly kind: "buy"; readonly bought: Cart }
  /** What is in another cart too, in the larger quantity. */
  | { readonly kind: "unite"; readonly cart: Cart };

export function changed(cart: Cart, change: CartChange): Cart {
  return newQuantities(change, (article) => quantityOf(cart, article)).reduce(
    (made, { article, quantity }) => withQuantity(made, article, quantity),
    cart,
  );
}

/** Lines that differ afterwards; one of 0 goes. */
export function newQuantities(change: CartChange, quantityNow: (article: string) => number): readonly CartLine[] {
  switch (change.kind) {
    case "add":
      return [{ article: change.article, quantity: quantityNow(change.article) + 1 }];
    case "set":
      return [change];
    case "buy":
      return change.bought.lines.map(({ article, quantity }) => ({
        article,
        quantity: Math.max(0, quantityNow(article) - quantity),
      }));
    case "unite":
      return change.cart.lines.filter(({ article, quantity }) => quantity > quantityNow(article));
  }
}

/**
 * The paper's rule for shopping carts (4.4): all that is in any version, in the larger quantity. What was added is never lost;
 * what was deleted in one version and is still in another comes back.
 */
export function unionOfCarts(carts: readonly Cart[]): Cart {
  const union = new Map<string, number>();
  for (const { article, quantity } of carts.flatMap(({ lines }) => lines)) {
    union.set(article, Math.max(quantity, union.get(article) ?? 0));
  }
  return { lines: sorted([...union].map(([article, quantity]) => ({ article, quantity }))) };
}

/** What parsed JSON says, if it is a cart: the bucket holds whatever anybody wrote. @throws TypeError */
export function checkCart(value: unknown): Cart {
  const { lines } = (value ?? {}) as { lines?: unknown };
  if (!Array.isArray(lines) || lines.length > linesMax) throw new TypeError("a cart has up to 1,000 lines");
  return unionOfCarts([{ lines: lines.map(checkLine) }]);
}

function checkLine(value: unknown): CartLine {
  const { article, quantity } = (value ?? {}) as { article?: unknown; quantity?: unknown };
  if (typeof article !== "string" || article === "") throw new TypeError("a line names its article");
  if (!Number.isInteger(quantity) || (quantity as number) < 1 || (quantity as number) > quantityMax) {
    throw new TypeError(`a quantity is a whole number from 1 to ${quantityMax}`);
  }
  return { article, quantity: quantity as number };
}

function sorted(lines: readonly CartLine[]): CartLine[] {
  return lines.toSorted((a, b) => (a.article < b.article ? -1 : 1));
}
