/** Carts under one rule: whatever form the rule keeps them in, the shop sees plain ones and says what to change. */
import type { Bucket, BucketRead, BucketReceipt, ChangeOrigin, ReadSource, Stop } from "everwrite";
import { type Cart, type CartChange, unionOfCarts } from "./cart.ts";

/** A cart as this device knows it. */
export interface CartRead {
  /** False: nothing is known yet. */
  readonly isLoaded: boolean;
  /** What the rule makes of all versions; undefined: there is none, or the rule leaves it to the visitor. */
  readonly merged: Cart | undefined;
  /** All that are live, by the names of their writes. */
  readonly versions: readonly { readonly dot: string; readonly cart: Cart }[];
  /** For the write that replaces them. */
  readonly context: string | undefined;
  /** A write of this device waits for hosts. */
  readonly isPending: boolean;
}

/** A cart whenever it changes. */
export interface HeardCart extends CartRead {
  /** `remote`: another device wrote what is new. */
  readonly origin: ChangeOrigin;
}

/** A cart as the hosts know it now. */
export interface AskedCart {
  /** How many versions are live. */
  readonly versions: number;
  /** `local`: no quorum of hosts answered, and this is the device's own copy. */
  readonly source: ReadSource;
  /** Too few replicas answered: newer versions may exist. */
  readonly degraded: boolean;
  /** Ids of the hosts whose copies are in it, as far as that is told. */
  readonly answered: readonly string[];
}

/** By id of the cart. */
export interface CartBucket {
  /** Carts of two rules with one name are the same data. */
  readonly name: string;
  subscribe(id: string, hear: (heard: HeardCart) => void): Stop;
  /** From this device's own copy, if it has one. */
  get(id: string): Promise<CartRead>;
  /** From a quorum. @throws StoreError `quorum-not-met` where this device has no copy */
  ask(id: string): Promise<AskedCart>;
  /**
   * Changes what this device shows of a cart, and nothing that it has not seen: on an edge the own copy, which a subscription
   * keeps current. What another device writes at the same time becomes a second version, which the rule merges.
   */
  change(id: string, change: CartChange): Promise<BucketReceipt>;
  /** Deletes what the read of `context` has shown; what was written beside it stays. */
  remove(id: string, context: string): Promise<BucketReceipt>;
}

/** What the rule makes of it; where it leaves that to the visitor, the union. */
export function cartOf({ merged, versions }: CartRead): Cart {
  return merged ?? unionOfCarts(versions.map(({ cart }) => cart));
}

/** `plain`, `change`: from the form in which the rule keeps carts, and how a change is made in it. */
export function cartBucket<T>(
  bucket: Bucket<T>,
  nearest: "local" | "one",
  plain: (value: T) => Cart,
  change: (id: string, change: CartChange) => Promise<BucketReceipt>,
): CartBucket {
  const read = ({ value, values, raw, context, pending }: BucketRead<T>, isLoaded: boolean): CartRead => ({
    isLoaded,
    merged: value === undefined ? undefined : plain(value),
    // What cannot be understood is told as an error by the store, and is no version of a cart.
    versions:
      raw.siblings.length === values.length
        ? values.map((each, at) => ({ dot: raw.siblings[at]!.dot, cart: plain(each) }))
        : [],
    context,
    isPending: pending,
  });
  return {
    name: bucket.name,
    subscribe: (id, hear) =>
      bucket.subscribe(id, (snapshot) => hear({ ...read(snapshot, snapshot.loaded), origin: snapshot.origin })),
    get: async (id) => read(await bucket.get(id, { r: nearest }), true),
    async ask(id) {
      const { values, source, degraded, answered } = await bucket.get(id, { r: "quorum" });
      return { versions: values.length, source, degraded, answered };
    },
    change,
    remove: (id, context) => bucket.delete(id, { context }),
  };
}
