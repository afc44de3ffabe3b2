import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { collected } from "../../../support/collected.ts";
import { failsWith, texts, utf8 } from "../../../support/values.ts";
import { TabScene } from "./scene.ts";

async function scene(...tabs: readonly string[]): Promise<TabScene> {
  const made = new TabScene();
  await made.open(...tabs);
  return made;
}

async function* given(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

describe("one node for all tabs", () => {
  test("is exported by any tab, and an export is imported by any", async () => {
    const tabs = await scene("a", "b");
    await tabs.settle(tabs.node("a").put("b", "k", utf8("v")));
    const chunks = await tabs.settle(collected(tabs.node("b").export()));
    const { writes, failed } = await tabs.settle(tabs.node("b").import(given(chunks)));
    assert.deepEqual({ writes, failed }, { writes: 0, failed: 0 }, "it has them already");
    await assert.rejects(tabs.settle(tabs.node("b").import(given([utf8("no export")]))), failsWith("bad-request"));
    assert.deepEqual(texts((await tabs.settle(tabs.node("b").get("b", "k"))).siblings), ["v"]);
  });

  test("is exported piece by piece: no more are on their way than the application is ready to take", async () => {
    const tabs = await scene("a", "b");
    const puts = Array.from({ length: 200 }, (_, i) => tabs.node("a").put("b", `k${i}`, utf8("v")));
    await tabs.settle(Promise.all(puts));
    let pieces = 0;
    tabs.onMessage = (_from, _to, message) => {
      if (message.kind === "piece") pieces += 1;
      return message;
    };
    const exported = tabs.node("b").export()[Symbol.asyncIterator]();
    await tabs.settle(exported.next());
    await tabs.clock.advance(1_000);
    assert.ok(pieces >= 2 && pieces <= 64, `${pieces} pieces for one that was taken`);
    let taken = 1;
    while (!(await tabs.settle(exported.next())).done) taken += 1;
    assert.deepEqual({ taken, pieces }, { taken: 202, pieces: 202 }, "a head, the writes, an end");
  });

  test("is exported by its next owner when the first is gone, unless pieces of the export were told: then it fails", async () => {
    const tabs = await scene("a", "b", "c");
    await tabs.settle(tabs.node("a").put("b", "k", utf8("v")));
    const isExported = (kind: string): boolean => kind === "piece" || kind === "ended";
    tabs.onMessage = (from, _to, message) => (from === "a" && isExported(message.kind) ? undefined : message);
    const unheard = collected(tabs.node("c").export());
    await tabs.clock.advance(100);
    tabs.onMessage = (_from, _to, message) => (message.kind === "ended" ? undefined : message);
    const heard = collected(tabs.node("c").export());
    const failed = assert.rejects(heard, failsWith("not-ready"));
    await tabs.clock.advance(100);
    tabs.onMessage = (_from, _to, message) => message;
    tabs.crash("a");
    assert.equal((await tabs.settle(unheard)).length, 3);
    await tabs.settle(failed);
  });

  /** An export of that many values of 4 KiB, as another node has them. */
  const exportOf = async (count: number): Promise<Uint8Array[]> => {
    const tabs = await scene("a");
    const body = new Uint8Array(4_096);
    await tabs.settle(Promise.all(Array.from({ length: count }, (_, i) => tabs.node("a").put("b", `k${i}`, body))));
    return tabs.settle(collected(tabs.node("a").export()));
  };

  test("imports piece by piece: of the stream no more is read than the node has taken, and one piece", async () => {
    const chunks = await exportOf(500);
    const tabs = await scene("a", "b");
    let read = 0;
    const source = async function* (): AsyncGenerator<Uint8Array> {
      for (const chunk of chunks) {
        read += 1;
        yield chunk;
      }
    };
    tabs.onMessage = (from, _to, message) => (from === "a" && message.kind === "result" ? undefined : message);
    const unanswered = tabs.node("b").import(source());
    unanswered.catch(() => undefined);
    await tabs.clock.advance(1_000);
    assert.ok(read > 1 && read < 100, `${read} of ${chunks.length} chunks`);
    tabs.crash("b");
    tabs.onMessage = (_from, _to, message) => message;
    await tabs.open("c");
    assert.equal((await tabs.settle(tabs.node("c").import(given(chunks)))).failed, 0);
    assert.equal(tabs.node("c").facts().pending, 500);
  });

  test("fails to import when the tab that runs the node is lost in the middle, and may be asked again", async () => {
    const chunks = await exportOf(500);
    const tabs = await scene("a", "b");
    let pieces = 0;
    tabs.onMessage = (from, _to, message) => {
      if (from === "b" && message.kind === "call") pieces += 1;
      if (pieces < 3) return message;
      tabs.onMessage = (_from, _to, each) => each;
      tabs.crash("a");
      return undefined;
    };
    await assert.rejects(tabs.settle(tabs.node("b").import(given(chunks))), failsWith("not-ready"));
    assert.equal((await tabs.settle(tabs.node("b").import(given(chunks)))).failed, 0);
    assert.equal(tabs.node("b").facts().pending, 500);
  });

  test("tells what is wrong with an import in its middle, and with its source", async () => {
    const chunks = await exportOf(200);
    const tabs = await scene("a", "b");
    const damaged = [...chunks.slice(0, 100), ...chunks.slice(101)];
    await assert.rejects(tabs.settle(tabs.node("b").import(given(damaged))), failsWith("bad-request"));
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield* chunks.slice(0, 150);
      throw new RangeError("the file cannot be read");
    };
    await assert.rejects(tabs.settle(tabs.node("b").import(broken())), RangeError);
  });
});
