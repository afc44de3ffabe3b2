/** Edits that were sent without an answer, too long ago to be sent again: they are parked, and later ones build on them. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as Y from "yjs";
import type { LiveDocument } from "../../../core/documents/live-document.ts";
import { TransportError } from "../../../core/ports.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import type { Store } from "../../../core/store/store.ts";
import { eventually } from "../../support/eventually.ts";
import type { MemoryCluster } from "../../support/memory-cluster.ts";
import type { MemoryEdges } from "../../support/memory-edges.ts";
import { storeOver } from "../../support/memory-stores.ts";
import { flushed, losesNext, offline, withEdges } from "../edge/scene.ts";

const textOf = (doc: Y.Doc): string => doc.getText("body").toJSON();

/** After half of it what was sent without an answer is parked. */
const graceMs = 400;
const tooLong = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, graceMs));

async function opened(store: Store): Promise<LiveDocument> {
  const doc = await store.doc("notes/plan");
  await doc.loaded;
  return doc;
}

async function readAt(cluster: MemoryCluster): Promise<string> {
  const { siblings } = await cluster.node("h2").get("notes", "plan", { r: "all" });
  const doc = new Y.Doc();
  for (const { body } of siblings) Y.applyUpdate(doc, body);
  return doc.store.pendingStructs === null ? textOf(doc) : `${textOf(doc)} and what builds on something else`;
}

/** An edge whose process has ended while its second edit was on its way, and which is offline since, for too long. */
async function cutOff(edges: MemoryEdges) {
  const doc = await opened(storeOver(await edges.connected("e1")));
  doc.getText("body").insert(0, "one ");
  await doc.settled;
  const lost = losesNext(edges, "e1", "request");
  doc.getText("body").insert(4, "two ");
  await lost;
  await edges.kill("e1");
  await tooLong();
  const edge = await edges.start("e1", { seeds: [] });
  return { edge, store: storeOver(edge) };
}

describe("an edit that was sent without an answer, too long ago", { concurrency: true }, () => {
  test("is written anew when its document is open, so that what builds on it is seen by all", () =>
    withEdges(
      3,
      async (edges, cluster) => {
        const { edge, store } = await cutOff(edges);
        const doc = await opened(store);
        doc.getText("body").insert(8, "three");
        await doc.flush();
        await edges.transport("e1").meet("memory:h1");
        await eventually(async () => (await readAt(cluster)) === "one two three", "the document to be whole");
        await eventually(() => edge.facts().parked === 0, "the parked one to be forgotten");
        assert.equal(textOf(doc), "one two three");
        await store.close();
      },
      { graceMs },
    ));

  test("is written anew at once where its document was open all the time", () =>
    withEdges(
      3,
      async (edges, cluster) => {
        const edge = await edges.connected("e1");
        const store = storeOver(edge);
        const doc = await opened(store);
        doc.getText("body").insert(0, "one ");
        await doc.settled;
        const transport = edges.transport("e1");
        const request = transport.request.bind(transport);
        transport.request = async (to, body, timeoutMs) => {
          if (body[0] !== methods.edgeWrite.number) return request(to, body, timeoutMs);
          transport.request = request;
          edges.cut("e1");
          throw new TransportError("lost", "cut off");
        };
        doc.getText("body").insert(4, "two");
        await offline(edge);
        await tooLong();
        edges.heal("e1");
        await eventually(async () => (await readAt(cluster)) === "one two", "the edit to arrive");
        await eventually(() => edge.facts().parked === 0, "the parked one to be forgotten");
        await doc.settled;
        assert.equal(doc.status().problem, undefined);
        await store.close();
      },
      { graceMs },
    ));

  test("stays parked where the document was begun anew since: it may have been deleted with it", () =>
    withEdges(
      3,
      async (edges, cluster) => {
        const { edge, store } = await cutOff(edges);
        const host = cluster.node("h1");
        const { context } = await host.get("notes", "plan", { r: "all" });
        await host.delete("notes", "plan", { kind: "yjs", context: context!, w: "all" });
        const { context: seen } = await host.get("notes", "plan", { r: "all" });
        const anew = new Y.Doc();
        anew.getText("body").insert(0, "anew");
        const options = { kind: "yjs", contentType: "application/yjs", context: seen!, w: "all" } as const;
        await host.put("notes", "plan", Y.encodeStateAsUpdate(anew), options);
        await edges.transport("e1").meet("memory:h1");
        await flushed(edge);
        await edge.get("notes", "plan");
        const doc = await opened(store);
        assert.equal(textOf(doc), "anew");
        await new Promise((resolve) => setTimeout(resolve, 200));
        assert.deepEqual([edge.facts().parked, textOf(doc), await readAt(cluster)], [1, "anew", "anew"]);
        await store.close();
      },
      { graceMs },
    ));
});
