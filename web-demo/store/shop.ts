/**
 * All that the shop keeps, in four buckets of one store. To use Everwrite in a page of your own, this is the file to copy from.
 *
 * The store answers reads and writes from this device at once, online or not, and sends what was written to the hosts as
 * soon as they answer. So nothing here waits for a network, retries, or keeps a queue: the store does.
 */
import { type Bucket, type BucketReceipt, json, lww, merge, siblings, type Store } from "everwrite";
import { type Cart, checkCart, emptyCart, unionOfCarts } from "./cart.ts";
import { checkOrders, type Orders, unionOfOrders } from "./orders.ts";
import { type CartSettings, checkSettings, defaultSettings, type RuleName } from "./settings.ts";
import { checkVisitor, unionOfVisitors, type Visitor } from "./visitor.ts";

/** Name of a bucket -> what its values are. */
export interface ShopSchema {
  carts: Cart;
  "carts-lww": Cart;
  orders: Orders;
  settings: CartSettings;
  visitors: Visitor;
}

/**
 * A shop would rather have two versions of a cart than refuse one item: one durable copy is enough for a write (W=1, the
 * paper's "always writeable", 4.5). The owners get their copies all the same, only the answer does not wait for them.
 */
const alwaysWritable = { w: "one" } as const;

export class Shop {
  readonly store: Store<ShopSchema>;
  /** By id of the visitor; tabs and devices only ever add to it. */
  readonly orders: Bucket<Orders>;
  readonly visitors: Bucket<Visitor>;
  /** By id of the cart. Of two names given at once one may win: nothing is lost but a name. */
  readonly settings: Bucket<CartSettings>;
  readonly #carts: Readonly<Record<RuleName, Bucket<Cart>>>;

  /** `store`: from `openStore` of `everwrite/browser`. */
  constructor(store: Store<ShopSchema>) {
    this.store = store;
    // What a check refuses is told as an error, hides no other version, and is overwritten by no update.
    const cart = { ...alwaysWritable, codec: json(checkCart) };
    this.#carts = {
      // The same data under two rules: how versions become one is decided where they are read.
      union: store.bucket("carts", { ...cart, conflict: merge(unionOfCarts) }),
      siblings: store.bucket("carts", { ...cart, conflict: siblings() }),
      // Last write wins is decided where they are kept, so these are other values, in a bucket of their own.
      lww: store.bucket("carts-lww", { ...cart, conflict: lww() }),
    };
    this.orders = store.bucket("orders", {
      ...alwaysWritable,
      codec: json(checkOrders),
      conflict: merge(unionOfOrders),
    });
    this.visitors = store.bucket("visitors", {
      ...alwaysWritable,
      codec: json(checkVisitor),
      conflict: merge(unionOfVisitors),
    });
    this.settings = store.bucket("settings", { ...alwaysWritable, codec: json(checkSettings), conflict: lww() });
  }

  /** Carts by id, under a rule. */
  carts(rule: RuleName): Bucket<Cart> {
    return this.#carts[rule];
  }

  /**
   * Changes what this device shows of a cart, and nothing that it has not seen: `r: "local"` reads the own copy, which a
   * subscription keeps current. What another device writes at the same time becomes a second version, which the rule merges.
   */
  changeCart(rule: RuleName, id: string, change: (cart: Cart) => Cart): Promise<BucketReceipt> {
    return this.#carts[rule].update(id, (cart = emptyCart) => change(cart), { r: "local" });
  }

  /** What the visitor made of several versions by hand; `context`: of the read that showed them. */
  resolveCart(id: string, cart: Cart, context: string | undefined): Promise<BucketReceipt> {
    return this.#carts.siblings.put(id, cart, { context });
  }

  /** Adds an order to the visitor's history. */
  async order(visitor: string, order: Orders[number]): Promise<BucketReceipt> {
    return this.orders.update(visitor, (orders = []) => unionOfOrders([orders, [order]]), { r: "local" });
  }

  changeVisitor(visitor: string, change: (visitor: Visitor | undefined) => Visitor): Promise<BucketReceipt> {
    return this.visitors.update(visitor, change, { r: "local" });
  }

  changeSettings(id: string, change: (settings: CartSettings) => CartSettings): Promise<BucketReceipt> {
    return this.settings.update(id, (settings = defaultSettings) => change(settings), { r: "local" });
  }
}
