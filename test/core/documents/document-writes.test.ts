/** What is written of a live document while hosts are away, while others vanish, and while it is closed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Awareness } from "y-protocols/awareness";
import * as Y from "yjs";
import { Ahead } from "../../../core/documents/ahead.ts";
import type { LiveDocument } from "../../../core/documents/live-document.ts";
import { EverwriteProvider } from "../../../core/documents/provider.ts";
import { StoreError } from "../../../core/errors.ts";
import { loadDocuments } from "../../../core/load-documents.ts";
import type { StoreNode } from "../../../core/store-node.ts";
import { Store } from "../../../core/store/store.ts";
import { eventually } from "../../support/eventually.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { MemoryCluster, realRandom } from "../../support/memory-cluster.ts";
import { MemoryEdges } from "../../support/memory-edges.ts";
import { hostStoreNode, storeOver } from "../../support/memory-stores.ts";

const textOf = (doc: LiveDocument): string => doc.getText("body").toJSON();

async function readAt(cluster: MemoryCluster, host: string, r: "all" | "quorum" = "all"): Promise<string> {
  const { siblings } = await cluster.node(host).get("notes", "plan", { r });
  const doc = new Y.Doc();
  Y.applyUpdate(doc, Y.mergeUpdates(siblings.map(({ body }) => body)));
  return doc.store.pendingStructs === null ? doc.getText("body").toJSON() : "not whole";
}

test("a document that was deleted, and is edited twice offline, is written whole", async () => {
  const cluster = await MemoryCluster.of(3);
  const edges = new MemoryEdges(cluster);
  const edge = await edges.connected("e1");
  const store = storeOver(edge);
  const doc = await store.doc("notes/plan");
  doc.getText("body").insert(0, "hello");
  await doc.settled;
  await eventually(() => !doc.status().absent, "the document to be there");
  const { context } = await cluster.node("h2").get("notes", "plan", { r: "all" });
  await cluster.node("h2").delete("notes", "plan", { context: context! });
  await eventually(() => doc.status().absent, "the deletion to arrive");
  edges.cut("e1");
  await eventually(() => !edge.facts().connected, "the edge to be offline");
  for (const [at, letter] of ["!", "?"].entries()) {
    doc.getText("body").insert(5 + at, letter);
    await doc.flush();
  }
  edges.heal("e1");
  await edge.flush();
  assert.equal(await readAt(cluster, "h3"), "hello!?");
  await store.close();
  await edges.stop();
  await cluster.stop();
});

for (const isAdopted of [false, true]) {
  const when = isAdopted ? "before it is adopted" : "by the edit that builds on it";
  test(`what an author who vanished had typed is stored with what is written offline, ${when}`, async () => {
    const scene = await withVanishedAuthor();
    const { doc } = scene;
    doc.getText("body").insert(0, "b"); // builds on nothing of his
    await doc.flush();
    if (isAdopted) await new Promise((resolve) => setTimeout(resolve, 7_000)); // keystrokes are adopted after six seconds
    else doc.getText("body").insert(textOf(doc).length, "c");
    await doc.flush();
    await isStoredWhole(scene);
  });
}

test("what is typed offline on keystrokes of an author who vanished is stored with them, however often it is written", async () => {
  const scene = await withVanishedAuthor();
  const { doc } = scene;
  for (const letter of "bc") {
    doc.getText("body").insert(textOf(doc).length, letter);
    await doc.flush();
  }
  await isStoredWhole(scene);
});

/** A document at an edge that is offline, with a keystroke that its author did not live to store. */
async function withVanishedAuthor() {
  const cluster = await MemoryCluster.of(3);
  const edges = new MemoryEdges(cluster);
  const [edge, other] = [await edges.connected("e1"), await edges.connected("e2")];
  const [mine, yours] = [storeOver(edge), storeOver(other)];
  const [doc, author] = [await mine.doc("notes/plan"), await yours.doc("notes/plan")];
  await Promise.all([doc.loaded, author.loaded]);
  author.getText("body").insert(0, "0");
  await author.settled;
  await eventually(() => textOf(doc) === "0", "the first letter");
  // Until a keystroke arrives before it is stored: the author takes part in the channel then.
  for (let length = 1; length === 1 || (await readAt(cluster, "h1")).length === length; length++) {
    author.getText("body").insert(length, "A");
    await eventually(() => textOf(doc).length === length + 1, "the keystroke to be seen");
  }
  await edges.kill("e2");
  edges.cut("e1");
  await eventually(() => !edge.facts().connected, "the edge to be offline");
  return { cluster, edges, edge, store: mine, doc };
}

/** Once the edge is back, the hosts hold what it shows; the scene ends. */
async function isStoredWhole({ cluster, edges, edge, store, doc }: Awaited<ReturnType<typeof withVanishedAuthor>>) {
  edges.heal("e1");
  await edge.flush();
  assert.equal(await readAt(cluster, "h3"), textOf(doc));
  await store.close();
  await edges.stop();
  await cluster.stop();
}

test("keystrokes at two places, of an author who vanished, are adopted together whichever is first", async () => {
  const base = new Y.Doc();
  base.getText("body").insert(0, "abc");
  const author = new Y.Doc();
  Y.applyUpdate(author, Y.encodeStateAsUpdate(base));
  const said: Uint8Array[] = [];
  author.on("update", (update: Uint8Array) => said.push(update));
  author.getText("body").insert(0, "X");
  author.getText("body").insert(4, "Y");
  const clock = new ManualClock();
  const draws = [0.9, 0.1];
  const random = { next: () => draws.shift()!, bytes: (count: number) => new Uint8Array(count) };
  const ahead = new Ahead({ clock, random }, (update) => {
    const body = Y.mergeUpdates([...ahead.below([update], 1), update]);
    Y.applyUpdate(base, body);
    ahead.stored(body);
  });
  ahead.stored(Y.encodeStateAsUpdate(base));
  for (const update of said) ahead.heard(update);
  await clock.advance(10_000);
  assert.equal(base.getText("body").toJSON(), "XabcY");
});

test("keystrokes that wait to be stored share one timer, which is gone when the document is closed", async () => {
  const doc = new Y.Doc();
  const clock = new ManualClock();
  const adopted: Uint8Array[] = [];
  const ahead = new Ahead({ clock, random: realRandom }, (update) => adopted.push(update));
  doc.on("update", (update: Uint8Array) => ahead.heard(update));
  for (let i = 0; i < 100; i++) doc.getText("body").insert(i, "x");
  assert.equal(clock.pendingMs.length, 1);
  await clock.advance(7_000);
  assert.equal(adopted.length, 100);
  doc.getText("body").insert(0, "y");
  ahead.end();
  assert.deepEqual(clock.pendingMs, []);
  assert.equal(adopted.length, 100);
});

for (const how of ["let go of", "closed"] as const) {
  test(`a store that is closed waits for a document that was ${how} right before`, async () => {
    const cluster = await MemoryCluster.of(3);
    const store = storeOver(
      puttingWith(hostStoreNode(cluster, "h1"), async (put) => {
        const write = await put();
        await new Promise((resolve) => setTimeout(resolve, 500));
        return write;
      }),
    );
    const held = how === "let go of" ? store.holdDoc("notes/plan") : undefined;
    const doc = await (held?.doc ?? store.doc("notes/plan"));
    await doc.loaded;
    doc.getText("body").insert(0, "a");
    await new Promise((resolve) => setTimeout(resolve, 200)); // it is being written
    doc.getText("body").insert(1, "b");
    if (held === undefined) void doc.close();
    else held.release();
    await store.close(); // and with it its host
    assert.equal(await readAt(cluster, "h2", "quorum"), "ab");
    await cluster.stop();
  });
}

test("a deletion that was heard and is never stored is stored by those who heard it, and only then", async () => {
  const doc = new Y.Doc();
  doc.getText("body").insert(0, "0123456");
  const said: Uint8Array[] = [];
  doc.on("update", (update: Uint8Array) => said.push(update));
  for (const at of [4, 2]) doc.getText("body").delete(at, 2);
  const clock = new ManualClock();
  const adopted: Uint8Array[] = [];
  const random = { next: () => 0.5, bytes: (count: number) => new Uint8Array(count) };
  const ahead = new Ahead({ clock, random }, (update) => adopted.push(update));
  for (const update of said) ahead.heard(update);
  ahead.stored(said[0]!);
  await clock.advance(6_000);
  assert.deepEqual(adopted, [said[1]]);
  // Two stored deletions make up one that was heard as a whole.
  const parts = new Y.Doc();
  Y.applyUpdate(parts, Y.encodeStateAsUpdate(doc));
  ahead.heard(Y.mergeUpdates(said));
  for (const update of said) ahead.stored(update);
  await clock.advance(6_000);
  assert.equal(adopted.length, 1);
});

test("flushing during a write waits for what was edited meanwhile; a document that is closing is not handed out", async () => {
  const cluster = await MemoryCluster.of(3);
  let begun = 0;
  let ended = 0;
  const store = storeOver(
    puttingWith(hostStoreNode(cluster, "h1"), async (put) => {
      begun += 1;
      await new Promise((resolve) => setTimeout(resolve, 100));
      const write = await put();
      ended += 1;
      return write;
    }),
  );
  const doc = await store.doc("notes/plan");
  await doc.loaded;
  doc.getText("body").insert(0, "1");
  const first = doc.flush();
  await eventually(() => begun === 1, "the first write to begin");
  doc.getText("body").insert(1, "2");
  await Promise.all([doc.flush().then(() => assert.equal(ended, 2)), doc.flush().then(() => assert.equal(ended, 2))]);
  await first;

  const closing = doc.close();
  const again = await store.doc("notes/plan");
  assert.notEqual(again, doc);
  await closing;
  await again.loaded;
  again.getText("body").insert(2, "3");
  await again.settled;
  assert.equal(await readAt(cluster, "h2"), "123");
  await store.close();
  await cluster.stop();
});

test("a document whose link has ended is kept by nobody; a provider ends the awareness that it made, and no other", async () => {
  const cluster = await MemoryCluster.of(3);
  const store = storeOver(hostStoreNode(cluster, "h1"));
  const ended: string[] = [];
  const closed = await Promise.all(["a", "b", "c"].map((name) => linkedAndClosed(store, name, ended)));
  await eventually(() => ended.length === closed.length, "the awareness of each to end");
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  await eventually(() => {
    collect();
    return closed.every((doc) => doc.deref() === undefined);
  }, "all to be collected");

  const doc = new Y.Doc();
  const awareness = new Awareness(doc);
  awareness.on("destroy", () => ended.push("given"));
  const given = new EverwriteProvider(store, "notes/given", doc, { awareness });
  const link = await given.linked;
  given.destroy();
  await link.close();
  await store.close();
  assert.ok(!ended.includes("given"));
  awareness.destroy();
  await cluster.stop();
});

async function linkedAndClosed(store: Store, name: string, ended: string[]): Promise<WeakRef<Y.Doc>> {
  const doc = new Y.Doc();
  const provider = new EverwriteProvider(store, `notes/${name}`, doc);
  await provider.whenSynced;
  provider.awareness.on("destroy", () => ended.push(name));
  provider.destroy();
  await (await provider.linked).close();
  return new WeakRef(doc);
}

/** The node, with puts of its own. */
function puttingWith(
  node: StoreNode,
  put: (put: () => ReturnType<StoreNode["put"]>) => ReturnType<StoreNode["put"]>,
): StoreNode {
  return new Proxy(node, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (name === "put") return (...call: Parameters<StoreNode["put"]>) => put(() => target.put(...call));
      return typeof member === "function" ? (member.bind(target) as unknown) : member;
    },
  });
}

test("closing a store waits for a node that takes no edits as long as a request may last, and tells which document lost some", async () => {
  const clock = new ManualClock();
  const cluster = await MemoryCluster.of(1);
  const node = puttingWith(hostStoreNode(cluster, "h1"), () => new Promise(() => {}));
  const store = new Store("test", { node, clock, random: realRandom, loadDocuments });
  const told: string[] = [];
  store.on("error", ({ bucket, error }) => told.push(`${bucket} ${error.code} ${error.message}`));
  const [edited, untouched] = [await store.doc("notes/plan"), await store.doc("notes/other")];
  await Promise.all([edited.loaded, untouched.loaded]);
  edited.getText("body").insert(0, "a");
  let isClosed = false;
  const closed = store.close().then(() => void (isClosed = true));
  await clock.advance(4_999);
  assert.equal(isClosed, false);
  await clock.advance(1);
  await closed;
  assert.equal(told.length, 1);
  assert.match(told[0]!, /^notes outcome-unknown notes\/plan was closed before its last edits were stored/);
  await cluster.stop();
});

test("closing a document whose edits are refused is told with the reason", async () => {
  const cluster = await MemoryCluster.of(1);
  const full = new StoreError("storage-full", "the disk is full");
  const node = puttingWith(hostStoreNode(cluster, "h1"), () => Promise.reject(full));
  const store = storeOver(node);
  const told: unknown[] = [];
  store.on("error", ({ error }) => told.push([error.code, error.cause]));
  const doc = await store.doc("notes/plan");
  await doc.loaded;
  doc.getText("body").insert(0, "a");
  await doc.close();
  assert.deepEqual(told, [["storage-full", full]]);
  await store.close();
  await cluster.stop();
});
