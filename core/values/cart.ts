/**
 * The paper's shopping cart (4.4, 6.1) without its flaw: no added item is lost, and a removed one returns only where it was
 * added again without having seen the removal. Of an item each change is kept under its dot: either an *amount*, which replaced all
 * that its writer saw, or an *addition* beside it. The quantity is the largest amount (of two people who set it at
 * the same time) and all additions.
 */
import { type Type, varint } from "../bytes/codec.ts";
import type { ConflictRule } from "./conflict-rules.ts";
import type { Mark, Pen } from "./dots.ts";
import {
  byDot,
  type Dotted,
  dottedCodec,
  type Entry,
  isUnsealed,
  join,
  nothingDotted,
  put,
  remove,
  seal,
} from "./dotted.ts";
import { MergingValue, mergingRule } from "./merging.ts";

interface Line {
  readonly kind: "amount" | "addition";
  readonly quantity: number;
}

/** Of one item in one change; the sum of any that fit a value is a safe integer. */
const quantityMax = 2 ** 32;
/** Above as many additions of one item, a writer makes one of its own. */
const additionsKept = 8;

/**
 * Items, by any names, and how many of each, as of when it was read.
 *
 * @example
 * const carts = store.bucket<Cart>("carts", { conflict: cart() });
 * await carts.update("alice", (cart) => cart.add("book", 2).remove("pen"));
 */
export class Cart extends MergingValue<Dotted<Line>> {
  /** Different items. */
  get size(): number {
    return this.state.entries.size;
  }

  has(item: string): boolean {
    return this.state.entries.has(item);
  }

  /** 0: it is not in the cart. */
  quantity(item: string): number {
    const lines = (this.state.entries.get(item) ?? []).map(({ payload }) => payload);
    const amounts = lines.filter(({ kind }) => kind === "amount").map(({ quantity }) => quantity);
    const additions = lines.filter(({ kind }) => kind === "addition");
    return additions.reduce((all, { quantity }) => all + quantity, Math.max(0, ...amounts));
  }

  /** Items with their quantities, the same on every node. */
  *[Symbol.iterator](): IterableIterator<readonly [item: string, quantity: number]> {
    for (const item of this.state.entries.keys()) yield [item, this.quantity(item)];
  }

  /** Beside what others add at the same time. @throws RangeError unless `quantity` is a whole number from 1 to 2^32 */
  add(item: string, quantity = 1): Cart {
    // In one change all that is done to an item is one entry.
    const present = this.state.entries.get(item)?.find(isUnsealed)?.payload;
    const sum = checked(checked(quantity) + (present?.quantity ?? 0));
    return new Cart(put(this.state, item, { kind: present?.kind ?? "addition", quantity: sum }, isUnsealed));
  }

  /** In place of the quantity that it has now. @throws RangeError as `add` */
  set(item: string, quantity: number): Cart {
    return new Cart(put(this.state, item, { kind: "amount", quantity: checked(quantity) }, () => true));
  }

  /** What is added at the same time stays. */
  remove(item: string): Cart {
    return new Cart(remove(this.state, item));
  }

  /** Removes all that is in it now; better than deleting the key, which keeps all of a cart that is changed at the same time. */
  clear(): Cart {
    return new Cart({ seen: this.state.seen, entries: nothingDotted.entries });
  }

  toJSON(): Readonly<Record<string, number>> {
    return Object.fromEntries(this);
  }
}

/** Who adds and who removes at the same time: adding wins. */
export function cart(): ConflictRule<Cart> {
  return mergingRule({
    name: "cart",
    codec,
    empty: nothingDotted,
    of: (state: Dotted<Line>) => new Cart(state),
    join,
    seal: sealCart,
  });
}

/**
 * Own additions of an item that are many become one, so that a state is bounded by its items and writers. The one is new to
 * whoever removes the item at that moment: then all of them stay, not the last alone. Adding wins.
 */
function sealCart(state: Dotted<Line>, pen: Pen): Dotted<Line> {
  const marks: Mark[] = [];
  const { seen, entries } = seal(state, (present) => {
    const mark = pen(present);
    marks.push(mark);
    return mark;
  });
  const [mark] = marks;
  if (mark === undefined) return { seen, entries };
  return { seen, entries: new Map([...entries].map(([item, all]) => [item, withFewAdditions(all, mark)])) };
}

function withFewAdditions(all: readonly Entry<Line>[], { writer, counter }: Mark): readonly Entry<Line>[] {
  const own = all.filter((entry) => entry.writer === writer && entry.payload.kind === "addition");
  const quantity = own.reduce((sum, { payload }) => sum + payload.quantity, 0);
  const isDue = own.length > additionsKept && own.some((entry) => entry.counter === counter) && quantity <= quantityMax;
  if (!isDue) return all;
  const others = all.filter((entry) => !own.includes(entry));
  return [...others, { writer, counter, payload: { kind: "addition", quantity } as const }].toSorted(byDot);
}

function checked(quantity: number): number {
  if (Number.isSafeInteger(quantity) && quantity >= 1 && quantity <= quantityMax) return quantity;
  throw new RangeError(`${quantity} is no quantity: whole numbers from 1 to 2^32 are`);
}

/** A number, and in its lowest bit whether it is an amount. */
const line: Type<Line> = {
  ...varint,
  write: (writer, { kind, quantity }) => writer.varint(2 * quantity + (kind === "amount" ? 1 : 0)),
  read: (reader) => {
    const number = reader.varint();
    return { kind: number % 2 === 1 ? "amount" : "addition", quantity: Math.floor(number / 2) };
  },
};

const codec = dottedCodec("application/x-everwrite-cart", line, (_, { quantity }) => {
  return quantity >= 1 && quantity <= quantityMax;
});
