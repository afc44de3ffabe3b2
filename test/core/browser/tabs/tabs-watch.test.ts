import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { StoreChange } from "../../../../core/store-node.ts";
import { texts, utf8 } from "../../../support/values.ts";
import { TabScene } from "./scene.ts";

describe("a watch", () => {
  const all = new AbortController().signal;
  const namesOf = (changes: readonly StoreChange[]): string[] => changes.map(({ name }) => name);

  async function take(tabs: TabScene, from: AsyncIterator<StoreChange>, count: number): Promise<StoreChange[]> {
    const taken: StoreChange[] = [];
    for (let i = 0; i < count; i++) taken.push((await tabs.settle(from.next())).value);
    return taken;
  }

  test("goes on over three owners: no state is told twice, none is passed over", async () => {
    const tabs = await TabScene.of("a", "b", "c");
    const watch = tabs.node("c").watch("b", { prefix: "" }, all)[Symbol.asyncIterator]();
    for (const name of ["k1", "k2"]) await tabs.settle(tabs.node("b").put("b", name, utf8("v")));
    assert.deepEqual(namesOf(await take(tabs, watch, 2)), ["k1", "k2"]);
    tabs.stop("c");
    await tabs.settle(tabs.node("b").put("b", "k3", utf8("v")));
    tabs.crash("a");
    const { context } = await tabs.settle(tabs.node("b").get("b", "k1"));
    await tabs.settle(tabs.node("b").delete("b", "k1", { context: context! }));
    tabs.goOn("c");
    const changes = await take(tabs, watch, 2);
    assert.deepEqual(namesOf(changes).toSorted(), ["k1", "k3"]);
    assert.deepEqual(changes.find(({ name }) => name === "k1")!.siblings, []);
    for (const { origin } of changes) assert.notEqual(origin, "storage");
    await tabs.settle(tabs.node("b").close());
    await tabs.settle(tabs.node("c").put("b", "k4", utf8("v")));
    assert.deepEqual(namesOf(await take(tabs, watch, 1)), ["k4"]);
    assert.equal(tabs.owner, "c");
  });

  test("of one key tells its absence first, and each state once", async () => {
    const tabs = await TabScene.of("a", "b", "c");
    const watch = tabs.node("c").watch("b", { name: "k" }, all)[Symbol.asyncIterator]();
    const [first] = await take(tabs, watch, 1);
    assert.deepEqual(first!.siblings, []);
    tabs.crash("a");
    await tabs.settle(tabs.node("b").put("b", "k", utf8("v")));
    const [second] = await take(tabs, watch, 1);
    assert.deepEqual(texts(second!.siblings), ["v"]);
  });

  test("that is read slowly holds its owner up, not the memory", async () => {
    const tabs = await TabScene.of("a", "b");
    for (let i = 0; i < 300; i++) await tabs.settle(tabs.node("a").put("b", `k${i}`, utf8("v")), 0);
    let sent = 0;
    tabs.onMessage = (_from, _to, message) => {
      if (message.kind === "change") sent += 1;
      return message;
    };
    const watch = tabs.node("b").watch("b", { prefix: "" }, all)[Symbol.asyncIterator]();
    await take(tabs, watch, 1);
    await tabs.clock.advance(1_000);
    assert.ok(sent <= 64 + 32, `${sent} were sent for one that was read`);
    const rest = await take(tabs, watch, 299);
    assert.equal(new Set(namesOf(rest)).size, 299);
  });

  test("ends at its node when its tab is gone or wants no more", async () => {
    const tabs = await TabScene.of("a", "b", "c");
    let sent = 0;
    const toOne: string[] = [];
    tabs.onMessage = (from, to, message) => {
      if (from === "a" && message.kind === "change") sent += 1;
      if (from === "a" && to === "c" && message.kind !== "facts") toOne.push(message.kind);
      return message;
    };
    const ending = new AbortController();
    const ended = tabs.node("b").watch("b", { prefix: "" }, ending.signal)[Symbol.asyncIterator]();
    const next = ended.next();
    const crashed = tabs.node("c").watch("b", { prefix: "" }, all)[Symbol.asyncIterator]().next();
    crashed.catch(() => {});
    await tabs.clock.advance(20);
    ending.abort();
    assert.equal((await tabs.settle(next)).done, true);
    tabs.crash("c");
    toOne.length = 0;
    await tabs.clock.advance(20);
    await tabs.settle(tabs.node("b").put("b", "k", utf8("v")));
    await tabs.clock.advance(20);
    assert.equal(sent, 0);
    assert.deepEqual(toOne, []);
  });
});
