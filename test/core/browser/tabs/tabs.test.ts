import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { StoreError } from "../../../../core/errors.ts";
import { failsWith, microtasks, texts, utf8 } from "../../../support/values.ts";
import { seal } from "../../../../core/browser/tabs/messages.ts";
import { TabScene } from "./scene.ts";

const valuesAt = async (tabs: TabScene, tab: string, name: string): Promise<string[]> =>
  texts((await tabs.settle(tabs.node(tab).get("b", name))).siblings);

/** Writes of `b/NAME` that wait on the disk for hosts. */
async function waiting(tabs: TabScene): Promise<number> {
  return (await tabs.disk.page("hints", { limit: 10_000, keysOnly: true })).rows.length;
}

describe("one node for all tabs", () => {
  test("is run by the first, and every tab reads what the others have written", async () => {
    const tabs = await TabScene.of("a", "b", "c");
    const put = await tabs.settle(tabs.node("b").put("b", "k", utf8("v")));
    assert.equal(put.receipt.localOnly, true);
    assert.deepEqual(await valuesAt(tabs, "c", "k"), ["v"]);
    assert.deepEqual(tabs.opened, ["a"]);
    assert.equal(new Set(["a", "b", "c"].map((tab) => tabs.node(tab).id)).size, 1);
    assert.deepEqual(
      ["a", "b", "c"].map((tab) => tabs.node(tab).facts().pending),
      [1, 1, 1],
    );
    const second = await tabs.settle(tabs.node("c").put("b", "k", utf8("w"), { context: put.context! }));
    assert.deepEqual(await valuesAt(tabs, "a", "k"), ["w"]);
    assert.equal(await tabs.settle(second.until("local")), 0);
    const { keys } = await tabs.settle(tabs.node("b").list("b"));
    assert.deepEqual(keys, ["k"]);
  });

  test("says what changes to every tab, of its next owner too, to one that asks nothing, and to nobody where it is alone", async () => {
    const tabs = await TabScene.of("a");
    const told: string[] = [];
    tabs.onMessage = (from, to, message) => {
      if (message.kind === "facts") told.push(to);
      return from === "deaf" || to === "deaf" ? undefined : message;
    };
    void tabs.begin("deaf");
    await tabs.settle(tabs.node("a").put("b", "k", utf8("v")));
    assert.deepEqual(told, [], "there is no tab that has asked for it");
    tabs.crash("deaf");
    await tabs.open("b", "c");
    await tabs.settle(tabs.node("a").close());
    await tabs.settle(tabs.node("b").put("b", "other", utf8("v")));
    assert.deepEqual([tabs.owner, ...["b", "c"].map((tab) => tabs.node(tab).facts().pending)], ["b", 2, 2]);
  });

  test("passes on what is said in a channel, also by its next owner, to those who take part", async () => {
    const tabs = await TabScene.of("a", "b", "c");
    const heard: string[] = [];
    const hear = (body: Uint8Array): unknown => heard.push(new TextDecoder().decode(body));
    const said = tabs.node("b").join("b", "k", hear);
    const other = tabs.node("c").join("b", "k", hear);
    await microtasks();
    said.send(utf8("one"));
    await microtasks();
    assert.deepEqual(heard, ["one"], "c hears it, and b not itself");
    await tabs.settle(tabs.node("a").close());
    await valuesAt(tabs, "c", "k");
    other.send(utf8("two"));
    await microtasks();
    assert.deepEqual(heard, ["one", "two"]);
    other.leave();
    assert.throws(() => said.send(new Uint8Array(2 ** 15)), failsWith("value-too-large"));
    said.send(utf8("three"));
    await microtasks();
    assert.deepEqual(heard, ["one", "two"]);
  });

  test("has a tab in a channel once, though it asks for it twice", async () => {
    const tabs = await TabScene.of("a", "b", "c");
    tabs.onMessage = (from, to, message) => {
      if (message.kind === "join") tabs.say(to, seal({ from, term: tabs.epoch, message }));
      return message;
    };
    const heard: string[] = [];
    const part = tabs.node("b").join("b", "k", (body) => heard.push(new TextDecoder().decode(body)));
    const other = tabs.node("c").join("b", "k", () => {});
    await microtasks();
    other.send(utf8("one"));
    await microtasks();
    assert.deepEqual(heard, ["one"]);
    part.leave();
    await microtasks();
    other.send(utf8("two"));
    await microtasks();
    assert.deepEqual(heard, ["one"]);
  });

  test("tells errors with code and detail, and takes a bad message for none", async () => {
    const tabs = await TabScene.of("a", "b");
    const b = tabs.node("b");
    await assert.rejects(tabs.settle(b.put("b", "k", new Uint8Array(2 ** 21))), failsWith("value-too-large"));
    await assert.rejects(tabs.settle(b.flush({ timeoutMs: 100 }).then(() => b.get("", "k"))), failsWith("bad-request"));
    await tabs.settle(b.put("b", "k", utf8("v")));
    await assert.rejects(tabs.settle(b.flush({ timeoutMs: 100 })), (error: Error & { detail?: unknown }) => {
      assert.deepEqual(error.detail, { needed: 1, got: 0 });
      return failsWith("quorum-not-met")(error);
    });
    await assert.rejects(tabs.settle(b.discard({ bucket: "b", name: "k", dot: "00:1" })), failsWith("not-found"));
    assert.deepEqual(await tabs.settle(b.parked()), []);
    const message = { everwrite: 1, from: "b", term: 1 };
    for (const data of [
      undefined,
      "call",
      { everwrite: 1 },
      { ...message, message: { kind: "call" } },
      { ...message, message: { kind: "nonsense" } },
      { ...message, message: { kind: "watch", id: 1, bucket: "b", what: null, credit: 1 } },
      { ...message, term: "1", message: { kind: "probe" } },
      { ...message, message: { kind: "toString" } },
      { ...message, message: { kind: "call", id: 1, call: { method: "close" } } },
    ]) {
      for (const tab of ["a", "b"]) tabs.say(tab, data);
    }
    await tabs.clock.advance(10);
    assert.deepEqual(await valuesAt(tabs, "b", "k"), ["v"]);
  });

  test("does nothing for a call that is aborted before, and ends one that is aborted later", async () => {
    const tabs = await TabScene.of("a", "b");
    const b = tabs.node("b");
    await assert.rejects(b.put("b", "k", utf8("v"), { signal: AbortSignal.abort() }), failsWith("aborted"));
    assert.equal(await waiting(tabs), 0);
    const put = await tabs.settle(b.put("b", "k", utf8("v")));
    const ending = new AbortController();
    const until = put.until("quorum", { signal: ending.signal });
    const flush = b.flush({ signal: ending.signal });
    await tabs.clock.advance(100);
    ending.abort();
    await Promise.all([until, flush].map((each) => assert.rejects(each, failsWith("aborted"))));
  });

  test("goes on in another tab when the store is closed in its own, and ends with the last", async () => {
    const tabs = await TabScene.of("a", "b");
    await tabs.settle(tabs.node("a").put("b", "k", utf8("v")));
    await tabs.settle(tabs.node("a").close());
    await assert.rejects(tabs.node("a").get("b", "k"), failsWith("closed"));
    assert.deepEqual(await valuesAt(tabs, "b", "k"), ["v"]);
    const watch = tabs.node("b").watch("b", { prefix: "" }, new AbortController().signal)[Symbol.asyncIterator]();
    assert.equal((await tabs.settle(watch.next())).value.name, "k");
    const next = watch.next();
    const left = assert.rejects(tabs.node("b").flush(), failsWith("closed"));
    await tabs.settle(tabs.node("b").close());
    await left;
    assert.equal((await next).done, true);
    assert.equal(tabs.owner, undefined);
  });

  test("cannot be opened for what the application must see to: the first tab is told, and one that is to take over ends", async () => {
    const tabs = new TabScene();
    tabs.refusal = new StoreError("bad-request", "the data is that of a host");
    await assert.rejects(tabs.open("a"), failsWith("bad-request"));
    assert.equal(tabs.owner, undefined);
    tabs.refusal = undefined;
    await tabs.open("b", "c");
    tabs.refusal = new StoreError("corrupt", "the key cannot be read");
    tabs.crash("b");
    await assert.rejects(tabs.settle(tabs.node("c").get("b", "k")), failsWith("corrupt"));
    assert.equal(tabs.owner, undefined);
  });

  test("is tried again where others may be luckier, or it later", async () => {
    const tabs = await TabScene.of("a", "b");
    tabs.refusal = new StoreError("not-ready", "the code cannot be loaded");
    tabs.crash("a");
    const get = tabs.node("b").get("b", "k");
    await tabs.clock.advance(3_000);
    tabs.refusal = undefined;
    assert.deepEqual((await tabs.settle(get)).siblings, []);
  });

  test("is refused to a tab whose code is another than that of the tab that runs it, as long as that one answers", async () => {
    const tabs = new TabScene();
    const release = tabs.occupy("older");
    const foreign = { everwrite: 0, from: "older", term: 1, message: { kind: "open" } };
    const refused = assert.rejects(tabs.begin("a"), failsWith("not-ready"));
    await tabs.clock.advance(10);
    tabs.say("a", foreign);
    await refused;
    for (let i = 0; i < 20; i++) {
      const get = assert.rejects(tabs.node("a").get("b", "k"), failsWith("not-ready"));
      await tabs.clock.advance(300);
      tabs.say("a", foreign);
      await get;
    }
    assert.equal(tabs.owner, "older");
    release();
    assert.deepEqual(await valuesAt(tabs, "a", "k"), []);
    assert.equal(tabs.owner, "a");
  });

  test("refuses nothing because a tab with another code asks who has the store; where one has it, a write that was sent may have happened", async () => {
    const tabs = await TabScene.of("a", "b");
    tabs.onMessage = (_from, to, message) => (message.kind === "result" && to === "b" ? undefined : message);
    const put = tabs.node("b").put("b", "k", utf8("v"));
    const unknown = assert.rejects(put, failsWith("outcome-unknown"));
    await tabs.clock.advance(20);
    tabs.node("b").freeze();
    await tabs.settle(tabs.node("a").close());
    tabs.occupy("older");
    const get = assert.rejects(tabs.node("b").get("b", "k"), failsWith("not-ready"));
    let isOver = false;
    void unknown.then(() => (isOver = true));
    const foreign = { everwrite: 0, from: "older", term: 9 };
    tabs.say("b", { ...foreign, message: { kind: "seek" } });
    await tabs.clock.advance(20);
    assert.equal(isOver, false);
    tabs.say("b", { ...foreign, message: { kind: "open" } });
    await Promise.all([unknown, get]);
    assert.equal(await waiting(tabs), 1);
  });
});

describe("a put that is under way", () => {
  for (const lost of ["request", "answer"] as const) {
    test(`when the node's tab crashes is made once, its ${lost} being lost; and so when the next does, too`, async () => {
      const tabs = await TabScene.of("a", "b", "c");
      // What `b` asks is not heard, or what it is answered.
      const dots: string[] = [];
      tabs.onMessage = (from, to, message) => {
        if (message.kind === "result" && to === "b") dots.push((message.value as { dot: string }).dot);
        const isLost =
          lost === "request" ? message.kind === "call" && from === "b" : message.kind === "result" && to === "b";
        return isLost ? undefined : message;
      };
      const put = tabs.node("b").put("b", "k", utf8("v"));
      await tabs.clock.advance(20);
      assert.equal(await waiting(tabs), lost === "answer" ? 1 : 0);
      await tabs.open("d");
      // `b` waits before `c`: so that it stays one that asks, it is `c` that gets the lock.
      tabs.node("b").freeze();
      tabs.crash("a");
      await tabs.clock.advance(20);
      assert.equal(tabs.owner, "c");
      assert.equal(await waiting(tabs), lost === "answer" ? 1 : 0);
      tabs.onMessage = (_from, _to, message) => message;
      tabs.crash("c");
      const { dot } = await tabs.settle(put);
      assert.equal(tabs.owner, "d");
      assert.equal(await waiting(tabs), 1);
      assert.deepEqual(await valuesAt(tabs, "d", "k"), ["v"]);
      for (const each of dots) assert.equal(each, dot);
    });
  }

  test("is made by the robber of a stopped tab; what the robbed one says when it wakes counts no more", async () => {
    const tabs = await TabScene.of("a", "b", "c");
    tabs.stop("a");
    const own = tabs.node("a").put("b", "own", utf8("v"));
    const put = tabs.node("b").put("b", "k", utf8("v"));
    const beginMs = tabs.clock.now();
    const { dot } = await tabs.settle(put);
    assert.ok(tabs.clock.now() - beginMs < 2_000, `${tabs.clock.now() - beginMs} ms`);
    assert.equal(tabs.owner, "b");
    tabs.goOn("a");
    await tabs.settle(own);
    assert.deepEqual(await valuesAt(tabs, "a", "own"), ["v"]);
    assert.deepEqual(await valuesAt(tabs, "c", "own"), ["v"]);
    assert.equal(await waiting(tabs), 2);
    const read = await tabs.settle(tabs.node("a").get("b", "k"));
    assert.deepEqual(
      read.siblings.map((each) => each.dot),
      [dot],
    );
  });

  test("is made though the tab answers messages, if its storage does not: a ping proves nothing", async () => {
    const tabs = await TabScene.of("a", "b");
    await tabs.settle(tabs.node("b").put("b", "k", utf8("v")));
    tabs.stall("a");
    await tabs.settle(tabs.node("b").put("b", "k2", utf8("v")));
    assert.equal(tabs.owner, "b");
  });

  test("is left to a tab whose storage answers, however long hosts take", async () => {
    const tabs = await TabScene.of("a", "b");
    const put = await tabs.settle(tabs.node("b").put("b", "k", utf8("v")));
    await assert.rejects(tabs.settle(put.until("quorum", { timeoutMs: 20_000 })), failsWith("quorum-not-met"));
    assert.equal(tabs.owner, "a");
    assert.deepEqual(tabs.opened, ["a"]);
  });

  test("of a tab that freezes is made by the next owner, at once, and answered when it is thawed", async () => {
    const tabs = await TabScene.of("a", "b");
    tabs.stall("a");
    const put = tabs.node("a").put("b", "k", utf8("v"));
    await microtasks();
    tabs.node("a").freeze();
    await microtasks();
    await tabs.clock.advance(20);
    assert.equal(tabs.owner, "b");
    assert.deepEqual(await valuesAt(tabs, "b", "k"), ["v"]);
    tabs.goOn("a");
    tabs.node("a").resume();
    await tabs.settle(put);
    assert.equal(await waiting(tabs), 1);
  });

  test("tells the next owner, and no other, that it was asked for before", async () => {
    const tabs = await TabScene.of("a", "b", "c");
    const asked: unknown[] = [];
    tabs.onMessage = (from, to, message) => {
      if (message.kind !== "call" || from !== "b" || message.call.method !== "put") return message;
      const { request, again } = message.call.options;
      asked.push([to, typeof request, again]);
      return to === "a" ? undefined : message;
    };
    const put = tabs.node("b").put("b", "k", utf8("v"));
    await tabs.clock.advance(20);
    // So that `b` stays one that asks, it is `c` that gets the lock.
    tabs.node("b").freeze();
    tabs.crash("a");
    await tabs.settle(put);
    assert.deepEqual(asked, [
      ["a", "string", undefined],
      ["c", "string", true],
    ]);
  });

  test("would be made twice if it were asked for under another name: this scene shows it", async () => {
    const tabs = await TabScene.of("a", "b", "c");
    let repeats = 0;
    tabs.onMessage = (from, to, message) => {
      if (message.kind === "result" && to === "b") return undefined;
      if (message.kind !== "call" || from !== "b" || message.call.method !== "put") return message;
      const options = { ...message.call.options, request: `000000000000000${repeats++}` };
      return { ...message, call: { ...message.call, options } };
    };
    const put = tabs.node("b").put("b", "k", utf8("v"));
    await tabs.clock.advance(20);
    tabs.crash("a");
    await tabs.settle(put);
    assert.equal(await waiting(tabs), 2);
  });
});
