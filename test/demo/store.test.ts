/** The shop's own code: what carts become under each rule, over hosts in memory. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { EdgeNode } from "../../core/edge/edge-node.ts";
import { type BucketReceipt, cart, lww, type NodeId, siblings } from "../../core/index.ts";
import { articleOf, catalogue, inShelfOrder, search, sumOf } from "../../web-demo/catalogue.ts";
import { Changes } from "../../web-demo/model/changes.ts";
import { CartSession } from "../../web-demo/model/cart-session.ts";
import { contents } from "../../web-demo/model/happenings.ts";
import { depths, grow } from "../../web-demo/model/lineage.ts";
import { ShopModel } from "../../web-demo/model/shop-model.ts";
import { type Cart, changed, checkCart, emptyCart, unionOfCarts, withQuantity } from "../../web-demo/store/cart.ts";
import { checkOrders, unionOfOrders } from "../../web-demo/store/orders.ts";
import { Shop, type ShopSchema } from "../../web-demo/store/shop.ts";
import { eventually } from "../support/eventually.ts";
import { MemoryCluster } from "../support/memory-cluster.ts";
import { MemoryEdges } from "../support/memory-edges.ts";
import { hostStoreNode, storeOver } from "../support/memory-stores.ts";

const ids = catalogue.map(({ id }) => id);
const someCart = fc
  .array(fc.tuple(fc.constantFrom(...ids), fc.integer({ min: 1, max: 99 })))
  .map((pairs) => pairs.reduce((cart, [article, quantity]) => withQuantity(cart, article, quantity), emptyCart));

const cartOf = (...articles: string[]): Cart =>
  articles.reduce((cart, article) => withQuantity(cart, article, 1), emptyCart);

/** Where another program writes what it likes. */
const bucketOf = ({ store }: Shop) => store.bucket("carts", { conflict: siblings() });

/** Two devices of a shop, through different hosts. */
async function withDevices(body: (left: Shop, right: Shop, leftModel: ShopModel) => Promise<void>): Promise<void> {
  const cluster = await MemoryCluster.of(3);
  const shops = ["h1", "h2"].map((host) => new Shop(storeOver<ShopSchema>(hostStoreNode(cluster, host))));
  const [left, right] = shops as [Shop, Shop];
  const model = await ShopModel.open(left, 3, { wallTime: () => Date.now() });
  try {
    await body(left, right, model);
  } finally {
    model.session.value.close();
    await Promise.all(shops.map(({ store }) => store.close()));
    await cluster.stop();
  }
}

test("the union of carts is the same in any order, leaves one cart as it is, and holds all that any of them holds", () => {
  fc.assert(
    fc.property(fc.array(someCart, { minLength: 1, maxLength: 4 }), (carts) => {
      const union = unionOfCarts(carts);
      assert.deepEqual(unionOfCarts(carts.toReversed()), union);
      assert.deepEqual(unionOfCarts([union, ...carts]), union);
      assert.deepEqual(checkCart(JSON.parse(JSON.stringify(union))), union);
      for (const { lines } of carts)
        for (const { article } of lines) assert.ok(contents(union).includes(articleOf(article).name));
    }),
  );
});

test("what others wrote into the cart bucket is a cart or is refused", () => {
  const wrong = [
    null,
    1,
    {},
    { lines: {} },
    { lines: [{ article: "", quantity: 1 }] },
    { lines: [{ article: "tea", quantity: 0 }] },
  ];
  for (const value of wrong) assert.throws(() => checkCart(value), TypeError, JSON.stringify(value));
  for (const value of [null, {}, [{ id: 1 }], [{ id: "a", timeMs: 1, cents: 1, cart: {} }]]) {
    assert.throws(() => checkOrders(value), TypeError, JSON.stringify(value));
  }
});

test("buying takes out what was bought, and leaves what came in meanwhile", () => {
  const bought = withQuantity(cartOf("tea"), "pen", 2);
  assert.deepEqual(
    changed(withQuantity(unionOfCarts([bought, cartOf("map")]), "pen", 3), { kind: "buy", bought }),
    cartOf("map", "pen"),
  );
});

test("the search finds by name, words and shelf, and a cart is priced also where an article is gone", () => {
  assert.deepEqual(
    search("green tea").map(({ id }) => id),
    ["tea"],
  );
  assert.equal(search("").length, catalogue.length);
  assert.deepEqual(search("no such thing"), []);
  const lines = [
    { article: "of old", quantity: 2 },
    { article: "pen", quantity: 2 },
  ];
  assert.equal(sumOf(lines), 1_780);
  assert.deepEqual(
    inShelfOrder(lines).map(({ article }) => article),
    ["pen", "of old"],
  );
});

test("a version's parents are what it replaced; versions without a way between them are siblings", () => {
  const live = (...dots: string[]) => dots.map((dot) => ({ dot, label: dot }));
  let versions = grow([], live("a:1"));
  versions = grow(versions, live("a:1")); // told again
  versions = grow(versions, live("a:2", "b:1"));
  versions = grow(versions, live("a:3"));
  assert.deepEqual(
    versions.map(({ dot, parents, isLive }) => [dot, parents.join(), isLive]),
    [
      ["a:1", "", false],
      ["a:2", "a:1", false],
      ["b:1", "a:1", false],
      ["a:3", "a:2,b:1", true],
    ],
  );
  assert.deepEqual([...depths(versions).values()], [0, 1, 1, 2]);
});

test("orders of two devices become one list without repeats", () => {
  const order = (id: string, timeMs: number) => ({ id, cart: emptyCart, timeMs, cents: 0 });
  const lists = [
    [order("a", 1), order("c", 3)],
    [order("b", 2), order("a", 1)],
  ];
  assert.deepEqual(
    unionOfOrders(lists).map(({ id }) => id),
    ["a", "b", "c"],
  );
  assert.deepEqual(unionOfOrders(lists.toReversed()), unionOfOrders(lists));
});

test("union of carts: two devices add at once, nothing is lost, and the page says what met", async () => {
  await withDevices(async (left, right, model) => {
    const session = model.session.value;
    await eventually(() => session.state.value.isLoaded, "the cart to be loaded");
    // Both write without having seen the other.
    await bucketOf(left).put(session.id, cartOf("tea"));
    await bucketOf(right).put(session.id, cartOf("kite"));
    await eventually(() => session.state.value.cart.lines.length === 2, "both items");
    const [happening] = session.state.value.happenings;
    assert.equal(happening?.kind, "merged");
    assert.match(happening.text, /Tea/);
    assert.match(happening.text, /Kite/);
    await session.add("pen");
    await eventually(async () => {
      const { values } = await bucketOf(right).get(session.id);
      return values.length === 1 && contents(values[0]!) === "Pen, Tea, Kite";
    }, "one version that has seen both");
  });
});

test("union of carts: what was taken out comes back with a version that did not know, and the page says so", async () => {
  await withDevices(async (_left, right, model) => {
    const session = model.session.value;
    await session.add("tea");
    await session.add("map");
    const seen = await bucketOf(right).get(session.id);
    await session.setQuantity("tea", 0);
    await bucketOf(right).put(session.id, cartOf("map", "tea", "kite"), { context: seen.context });
    await eventually(() => contents(session.state.value.cart) === "Tea, Map, Kite", "the union");
    assert.ok(
      session.state.value.happenings.some(({ kind, text }) => kind === "returned" && text.startsWith("Tea came back")),
    );
  });
});

test("siblings: both versions are shown, and what the visitor keeps of them replaces both", async () => {
  await withDevices(async (left, right, model) => {
    const session = model.session.value;
    await session.setRule("siblings");
    await eventually(() => session.state.value.settings.rule === "siblings", "the rule");
    await bucketOf(left).put(session.id, cartOf("tea"));
    await bucketOf(right).put(session.id, cartOf("kite"));
    await eventually(() => session.state.value.versions.length === 2, "two versions");
    await session.resolve(cartOf("kite"));
    await eventually(() => contents(session.state.value.cart) === "Kite", "what was kept");
    assert.deepEqual((await bucketOf(right).get(session.id)).values, [cartOf("kite")]);
  });
});

test("CRDT cart: what was taken out stays out, what was added at once is there, also by both", async () => {
  await withDevices(async (_left, right, model) => {
    const session = model.session.value;
    await session.add("tea");
    await session.setRule("crdt");
    await eventually(() => contents(session.state.value.cart) === "Tea", "the items to go along");
    // A context of before: as a device that did not know of what follows.
    const crdts = right.store.bucket("carts-crdt", { conflict: cart() });
    const seen = await crdts.get(session.id);
    await session.setQuantity("tea", 0);
    await session.add("kite");
    await crdts.put(session.id, seen.value!.add("map").add("kite"), { context: seen.context });
    await eventually(
      () => contents(session.state.value.cart) === "Map, 2 Kite",
      () => contents(session.state.value.cart),
    );
    assert.ok(session.state.value.happenings.every(({ kind }) => kind !== "returned"));
    const order = await model.checkOut();
    assert.equal(contents(order!.cart), "Map, 2 Kite");
    await eventually(() => session.state.value.cart.lines.length === 0, "the cart to be empty");
  });
});

test("last write wins: what is lost is told by name", async () => {
  await withDevices(async (_left, right, model) => {
    const session = model.session.value;
    await session.add("lamp");
    await session.setRule("lww");
    await eventually(() => session.state.value.settings.rule === "lww", "the rule");
    await eventually(() => contents(session.state.value.cart) === "Lamp", "the items to go along");
    await session.add("tea");
    // Written later, without having seen it.
    await right.store.bucket("carts-lww", { conflict: lww() }).put(session.id, cartOf("kite"));
    await eventually(() => contents(session.state.value.cart) === "Kite", "the last write");
    await eventually(() => session.state.value.happenings.some(({ kind }) => kind === "lost"), "the conflict event");
    assert.match(session.state.value.happenings[0]!.text, /\[Lamp, Tea\] is gone/);
  });
});

test("check out: the order is in the history of all tabs, the cart is empty, and each change ends everywhere", async () => {
  await withDevices(async (_left, right, model) => {
    const session = model.session.value;
    await session.add("tea");
    await session.add("tea");
    await eventually(() => contents(session.state.value.cart) === "2 Tea", "the cart to be shown"); // one buys what one sees
    const order = await model.checkOut();
    assert.equal(order?.cents, 1_440);
    await eventually(() => session.state.value.cart.lines.length === 0 && model.orders.value.length === 1, "the order");
    assert.deepEqual((await right.orders.get(model.visitorId)).value, [order]);
    await eventually(
      () => session.changes.entries.value.every(({ saved }) => saved.kind === "everywhere"),
      "every change to be everywhere",
    );
  });
});

test("a visitor has several carts, joins one by its link, and puts one away", async () => {
  await withDevices(async (_left, right, model) => {
    const first = model.session.value.id;
    await model.session.value.add("tea");
    await right.carts("union").change("shared", { kind: "add", article: "map" });
    await model.openCart("shared");
    await eventually(() => contents(model.session.value.state.value.cart) === "Map", "the shared cart");
    await eventually(() => model.visitor.value.carts.length === 2, "both carts in the list");
    await model.session.value.rename("Picnic");
    assert.equal(await model.cartName("shared"), "Picnic");
    await model.putCartAway("shared");
    assert.equal(model.session.value.id, first);
    await eventually(() => model.visitor.value.carts.length === 1, "one cart in the list");
  });
});

test("what is put into a cart before its rule is known goes along to where the rule keeps it", async () => {
  await withDevices(async (left, right) => {
    const written = await right.changeSettings("joined", (settings) => ({ ...settings, rule: "crdt" }));
    await written.until("all");
    const session = new CartSession(left, "joined", 3);
    await session.add("tea"); // at once, by the rule that carts have where nobody said another
    await eventually(() => session.state.value.settings.rule === "crdt", "the rule");
    await eventually(() => contents(session.state.value.cart) === "Tea", "the item to go along");
    session.close();
  });
});

test("a session that was closed hears nothing more", async () => {
  await withDevices(async (left) => {
    const session = new CartSession(left, "closed", 3);
    await eventually(() => session.state.value.isLoaded, "the cart to be loaded");
    session.close();
    await left.carts("union").change("closed", { kind: "add", article: "tea" });
    assert.deepEqual(session.state.value.cart, emptyCart);
  });
});

test("each change ends where its own key is: also where answers come in another order, and beside one of another key", async () => {
  const changes = new Changes(3);
  const never = new Promise<number>(() => {});
  const durable = ["h1" as NodeId];
  const receipt = { dot: "a:1", context: undefined, durable, hinted: [], needed: 1, got: 1, localOnly: false };
  const receiptOf = (isAtAll: boolean): BucketReceipt => ({
    ...receipt,
    until: async (level) => (isAtAll ? (level === "all" ? 3 : Number(level)) : never),
  });
  let answerFirst = (_receipt: BucketReceipt): void => {};
  const first = new Promise<BucketReceipt>((resolve) => (answerFirst = resolve));
  const noted = [
    changes.note("first", first),
    changes.note("second", Promise.resolve(receiptOf(true))),
    changes.note("order", Promise.resolve(receiptOf(false)), "orders"),
    changes.note("renamed", Promise.resolve(receiptOf(true)), "settings"),
  ];
  await Promise.all(noted.slice(1));
  answerFirst(receiptOf(true));
  await noted[0];
  const kinds = (): string[] => changes.entries.value.map(({ what, saved }) => `${what} ${saved.kind}`);
  await eventually(
    () => kinds().filter((each) => each.endsWith("everywhere")).length === 3,
    () => kinds().join(),
  );
  assert.deepEqual(kinds(), ["renamed everywhere", "order replicas", "second everywhere", "first everywhere"]);
  changes.close();
});

test("a device that comes back offline changes a cart under the rule that it knows, not under a guess", async () => {
  const cluster = await MemoryCluster.of(3);
  const edges = new MemoryEdges(cluster);
  const open = (edge: EdgeNode): Shop => new Shop(storeOver<ShopSchema>(edge));
  try {
    const first = open(await edges.connected("e1"));
    await (await first.changeSettings("c", (settings) => ({ ...settings, rule: "crdt" }))).until(3);
    await edges.kill("e1");

    const shop = open(await edges.start("e1", { seeds: [] }));
    const session = new CartSession(shop, "c", 3);
    await eventually(() => session.state.value.isRuleKnown, "the visitor to be let in");
    await session.add("tea");
    assert.deepEqual(
      session.changes.entries.value.map(({ what }) => what),
      ["Tea added"],
    );
    assert.equal(contents((await shop.carts("crdt").get("c")).merged!), "Tea");
    assert.equal((await shop.carts("union").get("c")).merged, undefined);
    session.close();
    await shop.store.close();
  } finally {
    await edges.stop();
    await cluster.stop();
  }
});
