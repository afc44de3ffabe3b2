/** Documents in several tabs of one store: what one tab adds to an unsent write the others must hear. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as Y from "yjs";
import type { LiveDocument } from "../../../../core/documents/live-document.ts";
import { StoreError } from "../../../../core/errors.ts";
import { loadDocuments } from "../../../../core/load-documents.ts";
import { Store } from "../../../../core/store/store.ts";
import { eventually } from "../../../support/eventually.ts";
import { holdWrites } from "../../../support/held-writes.ts";
import { MemoryCluster, realRandom } from "../../../support/memory-cluster.ts";
import { failsWith } from "../../../support/values.ts";
import { TabScene } from "./scene.ts";

/** More than the channel of a document passes on. */
const paste = "P".repeat(20_000);
const textOf = (doc: LiveDocument): string => doc.getText("body").toJSON();

test("a store whose node ends by itself says that it is closed, and lets nobody wait for what never comes", async () => {
  await loadDocuments();
  const tabs = await TabScene.of("a", "b");
  const store = new Store("test", { node: tabs.node("b"), clock: tabs.clock, random: realRandom, loadDocuments });
  tabs.refusal = new StoreError("corrupt", "the key cannot be read");
  const waiting = [store.connected, store.settled].map((each) => assert.rejects(each, failsWith("closed")));
  tabs.crash("a");
  const doc = await tabs.settle(store.doc("notes/plan"));
  const unloaded = assert.rejects(doc.loaded, failsWith("corrupt"));
  await assert.rejects(tabs.settle(store.bucket("b").get("k")), failsWith("corrupt"));
  await tabs.settle(Promise.all([...waiting, unloaded, assert.rejects(doc.settled, failsWith("corrupt"))]));
  assert.equal(store.status().closed, true);
});

test("a paste into an unsent write is heard in the other tab, whose next edit loses nothing; no edit of either is refused", async () => {
  await loadDocuments();
  const tabs = new TabScene();
  await tabs.open("a", "b");
  const open = async (tab: string): Promise<LiveDocument> => {
    const store = new Store("test", { node: tabs.node(tab), clock: tabs.clock, random: realRandom, loadDocuments });
    const doc = await tabs.settle(store.doc("notes/plan"));
    await tabs.settle(doc.loaded);
    return doc;
  };
  const edit = async (doc: LiveDocument, text: string): Promise<void> => {
    doc.getText("body").insert(textOf(doc).length, text);
    await tabs.settle(doc.flush());
    await tabs.clock.advance(300);
  };
  const [a, b] = [await open("a"), await open("b")];
  for (const text of ["1", "2"]) await edit(b, text);
  for (const text of ["A", paste]) await edit(a, text);
  assert.equal(textOf(b), `12A${paste}`);
  await edit(b, "3");
  const { siblings } = await tabs.settle(tabs.node("a").get("notes", "plan"));
  const stored = new Y.Doc();
  for (const { body } of siblings) Y.applyUpdate(stored, body);
  assert.equal(stored.getText("body").toJSON(), `12A${paste}3`);
  assert.equal(textOf(a), textOf(b));
  for (const doc of [a, b]) {
    assert.equal(doc.status().problem, undefined);
    assert.equal(
      doc.status().bytes,
      siblings.reduce((sum, { body }) => sum + body.length, 0),
    );
  }
});

for (const isGone of [true, false]) {
  const end = isGone
    ? "is not stored when its tab is gone: it would wait for that for ever"
    : "is shown as soon as that is stored";
  test(`a keystroke that is heard without the one before it ${end}`, async () => {
    await loadDocuments();
    const tabs = await TabScene.of("a", "b");
    const open = async (tab: string): Promise<LiveDocument> => {
      const store = new Store("test", { node: tabs.node(tab), clock: tabs.clock, random: realRandom, loadDocuments });
      const doc = await tabs.settle(store.doc("notes/plan"));
      await tabs.settle(doc.loaded);
      return doc;
    };
    const [a, b] = [await open("a"), await open("b")];
    let heard = 0;
    tabs.onMessage = (from, _to, message) =>
      from === "b" && message.kind === "say" && heard++ === 0 ? undefined : message;
    const type = async (letter: string): Promise<void> => {
      b.getText("body").insert(textOf(b).length, letter);
      await tabs.clock.advance(10);
    };
    for (const letter of "12") await type(letter);
    assert.equal(heard, 2);
    assert.equal(textOf(a), "");
    if (isGone) {
      tabs.crash("b");
      await tabs.clock.advance(10_000); // keystrokes of who is gone are adopted after six seconds
    } else {
      for (let i = 0; i < 20 && textOf(a) === ""; i++) await type(".");
      assert.equal(textOf(a), textOf(b));
    }
    a.getText("body").insert(0, "A");
    await tabs.settle(a.flush());
    const { siblings } = await tabs.settle(tabs.node("a").get("notes", "plan"));
    const stored = new Y.Doc();
    for (const { body } of siblings) Y.applyUpdate(stored, body);
    assert.equal(stored.store.pendingStructs, null);
    if (isGone) assert.deepEqual([textOf(a), stored.getText("body").toJSON()], ["A", "A"]);
  });
}

test("an edit that is made while the one before it stalls survives both its tab and the one that runs the node", async () => {
  await loadDocuments();
  const cluster = await MemoryCluster.of(3);
  const transport = cluster.network.node("edge");
  const tabs = new TabScene();
  tabs.transport = transport;
  tabs.seeds = ["memory:h1"];
  await tabs.open("a", "b");
  const open = async (tab: string): Promise<LiveDocument> => {
    const store = new Store("test", { node: tabs.node(tab), clock: tabs.clock, random: realRandom, loadDocuments });
    const doc = await tabs.settle(store.doc("notes/plan"));
    await passing(() => doc.status().loaded);
    return doc;
  };
  // Hosts take their time, so that of the tabs must not fly.
  const passing = async (holds: () => boolean): Promise<void> => {
    await eventually(async () => (await tabs.clock.advance(20), holds()), "the tabs");
  };
  await passing(() => tabs.node("b").facts().connected);
  const doc = await open("b");
  doc.getText("body").insert(0, "0");
  await passing(() => doc.status().settled);
  const held = holdWrites(transport);
  doc.getText("body").insert(1, "1");
  await passing(() => held.sent.length === 1);
  doc.getText("body").insert(2, "2");
  await tabs.clock.advance(250);
  for (const tab of ["a", "b"]) tabs.crash(tab);
  transport.die();
  await tabs.open("c");
  const { siblings } = await tabs.settle(tabs.node("c").get("notes", "plan", { r: "local" }));
  const stored = new Y.Doc();
  for (const { body } of siblings) Y.applyUpdate(stored, body);
  assert.equal(stored.getText("body").toJSON(), "012");
  await cluster.stop();
});
