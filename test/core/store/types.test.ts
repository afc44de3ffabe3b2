/** What the compiler says of a store's types: each `@ts-expect-error` fails the build if the line below it is allowed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import {
  type Bucket,
  bytes,
  type Counter,
  counter,
  json,
  lww,
  merge,
  siblings,
  type Store,
  text,
  yjs,
} from "../../../core/index.ts";

interface Cart {
  readonly books: readonly string[];
}

interface Shop {
  carts: Cart;
  notes: string;
}

/** Never run: only compiled. */
async function compiled(shop: Store<Shop>, untyped: Store): Promise<void> {
  const carts: Bucket<Cart> = shop.bucket("carts");
  const cart: Cart | undefined = (await carts.get("alice")).value;
  await carts.put("alice", cart ?? { books: [] });
  shop.bucket("notes", { codec: text, conflict: lww() });
  shop.bucket("carts", { conflict: merge((all) => all[0]!), codec: json<Cart>() });
  await carts.update("alice", (present) => ({ books: [...(present?.books ?? []), "book"] }));
  // @ts-expect-error -- a value of another type
  await carts.put("alice", { boks: [] });
  // @ts-expect-error -- the change returns another type
  await carts.update("alice", () => "book");
  // @ts-expect-error -- a bucket that the schema does not know
  shop.bucket("crats");
  // @ts-expect-error -- a codec of another type
  shop.bucket("carts", { codec: text });
  // @ts-expect-error -- a rule of another type
  shop.bucket("carts", { conflict: merge<number>((all) => all[0]!) });
  // @ts-expect-error -- values are not the application's to change
  (await carts.get("alice")).values.push({ books: [] });
  // @ts-expect-error -- nor are snapshots
  carts.getSnapshot("alice").value = undefined;
  // @ts-expect-error -- no such level
  await (await carts.put("alice", { books: [] })).until("most");
  // @ts-expect-error -- no such event
  shop.on("conflicts", () => {});

  const views = untyped.bucket<Counter>("views", { conflict: counter() });
  // A value that merges by itself is there from the beginning; others may be absent.
  await views.update("k", (count) => count.add(1));
  // @ts-expect-error -- a cart may be absent
  await carts.update("alice", (present) => ({ books: present.books }));
  // @ts-expect-error -- a change returns the value
  await views.update("k", (count) => count.total + 1);
  // @ts-expect-error -- a schema of another type
  shop.bucket("notes", { schema: z.number() });
  shop.bucket("notes", { schema: z.string() });

  const named: Bucket<Cart> = untyped.bucket<Cart>("carts", { conflict: siblings() });
  const inferred: Bucket<Uint8Array> = untyped.bucket("files", { codec: bytes });
  const plans: Bucket<Uint8Array> = untyped.bucket("plans", { conflict: yjs() });
  // @ts-expect-error -- documents are bytes
  await plans.put("trip", "Oslo");
  const texts: Bucket<string> = untyped.bucket<string>("texts");
  // @ts-expect-error -- what is in it is not known
  const unknown: string | undefined = (await untyped.bucket("any").get("k")).value;
  assert.ok([named, inferred, plans, texts, unknown]);
}

test("types: a schema gives each bucket its type, and refuses others", () => {
  assert.equal(typeof compiled, "function");
});
