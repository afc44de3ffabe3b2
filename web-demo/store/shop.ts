/**
 * All that the shop keeps, in buckets of one store. To use Everwrite in a page of your own, this is the file to copy from.
 *
 * The store answers reads and writes from this device at once, online or not, and sends what was written to the hosts as
 * soon as they answer. So nothing here waits for a network, retries, or keeps a queue: the store does.
 * (A page that is a host on the ring itself asks the others instead of a queue; all else is the same.)
 */
import {
  type Bucket,
  type BucketRead,
  type BucketReceipt,
  cart,
  type Cart as CrdtCart,
  json,
  lww,
  merge,
  siblings,
  type Store,
  StoreError,
} from "everwrite";
import { type CartBucket, cartBucket } from "./cart-bucket.ts";
import { type Cart, changed, checkCart, emptyCart, unionOfCarts } from "./cart.ts";
import { changedCrdt, plainCart } from "./crdt-cart.ts";
import { checkOrders, type Orders, unionOfOrders } from "./orders.ts";
import { type CartSettings, checkSettings, defaultSettings, type RuleName } from "./settings.ts";
import { checkVisitor, unionOfVisitors, type Visitor } from "./visitor.ts";

/** Name of a bucket -> what its values are. */
export interface ShopSchema {
  carts: Cart;
  "carts-crdt": CrdtCart;
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
  /**
   * What a change builds on. An edge has a copy of all that it shows, and asks nobody. A host has what is its share: for the
   * rest it asks whoever answers first.
   */
  readonly nearest: "local" | "one";
  /** By id of the visitor; tabs and devices only ever add to it. */
  readonly orders: Bucket<Orders>;
  readonly visitors: Bucket<Visitor>;
  /** By id of the cart. Of two names given at once one may win: nothing is lost but a name. */
  readonly settings: Bucket<CartSettings>;
  readonly #carts: Readonly<Record<RuleName, CartBucket>>;
  readonly #siblings: Bucket<Cart>;

  /** `store`: from `openStore` of `everwrite/browser`. */
  constructor(store: Store<ShopSchema>, nearest: "local" | "one" = "local") {
    this.store = store;
    this.nearest = nearest;
    const from = { r: nearest };
    // What a check refuses is told as an error, hides no other version, and is overwritten by no update.
    const options = { ...alwaysWritable, codec: json(checkCart) };
    const changeIn =
      (bucket: Bucket<Cart>): CartBucket["change"] =>
      (id, change) =>
        bucket.update(id, (value = emptyCart) => changed(value, change), from);
    const plain = (bucket: Bucket<Cart>, change = changeIn(bucket)): CartBucket =>
      cartBucket(bucket, nearest, (value) => value, change);
    const crdts = store.bucket("carts-crdt", { ...alwaysWritable, conflict: cart() });
    this.#siblings = store.bucket("carts", { ...options, conflict: siblings() });
    this.#carts = {
      // The same data under two rules: how versions become one is decided where they are read.
      union: plain(store.bucket("carts", { ...options, conflict: merge(unionOfCarts) })),
      // A cart from elsewhere is one more version: the visitor decides.
      siblings: plain(this.#siblings, (id, change) =>
        change.kind === "unite" ? this.#siblings.put(id, change.cart) : changeIn(this.#siblings)(id, change),
      ),
      // These are other values, in buckets of their own: one that knows what it has seen, and one of which the last stays.
      crdt: cartBucket(crdts, nearest, plainCart, (id, change) =>
        crdts.update(id, (value) => changedCrdt(value, change), from),
      ),
      lww: plain(store.bucket("carts-lww", { ...options, conflict: lww() })),
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

  carts(rule: RuleName): CartBucket {
    return this.#carts[rule];
  }

  /** Where other rules keep carts. */
  elsewhere(rule: RuleName): readonly CartBucket[] {
    const { union, crdt, lww: last } = this.#carts;
    return [union, crdt, last].filter(({ name }) => name !== this.carts(rule).name);
  }

  /** What the visitor made of several versions by hand; `context`: of the read that showed them. */
  resolveCart(id: string, cart: Cart, context: string | undefined): Promise<BucketReceipt> {
    return this.#siblings.put(id, cart, { context });
  }

  /** Adds an order to the visitor's history. */
  async order(visitor: string, order: Orders[number]): Promise<BucketReceipt> {
    return this.orders.update(visitor, (orders = []) => unionOfOrders([orders, [order]]), { r: this.nearest });
  }

  /** As this device, or whoever answers first, knows them; undefined on a first visit. */
  async knownVisitor(visitor: string): Promise<Visitor | undefined> {
    return (await this.#known(this.visitors, visitor)).value;
  }

  async knownSettings(id: string): Promise<CartSettings> {
    return (await this.#known(this.settings, id)).value ?? defaultSettings;
  }

  changeVisitor(visitor: string, change: (visitor: Visitor | undefined) => Visitor): Promise<BucketReceipt> {
    return this.visitors.update(visitor, change, { r: this.nearest });
  }

  changeSettings(id: string, change: (settings: CartSettings) => CartSettings): Promise<BucketReceipt> {
    return this.settings.update(id, (settings = defaultSettings) => change(settings), { r: this.nearest });
  }

  /** A host that is alone cannot tell for all, and shows what it has. */
  async #known<T>(bucket: Bucket<T>, id: string): Promise<BucketRead<T>> {
    try {
      return await bucket.get(id, { r: this.nearest });
    } catch (error: unknown) {
      if (!(error instanceof StoreError) || error.code !== "quorum-not-met") throw error;
      return bucket.get(id, { r: "local" });
    }
  }
}
