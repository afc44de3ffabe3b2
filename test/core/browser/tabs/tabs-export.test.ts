import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { gathered } from "../../../../core/browser/tabs/messages.ts";
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
    const chunks = await tabs.settle(gathered(tabs.node("b").export()));
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
    const unheard = gathered(tabs.node("c").export());
    await tabs.clock.advance(100);
    tabs.onMessage = (_from, _to, message) => (message.kind === "ended" ? undefined : message);
    const heard = gathered(tabs.node("c").export());
    const failed = assert.rejects(heard, failsWith("not-ready"));
    await tabs.clock.advance(100);
    tabs.onMessage = (_from, _to, message) => message;
    tabs.crash("a");
    assert.equal((await tabs.settle(unheard)).length, 3);
    await tabs.settle(failed);
  });
});
