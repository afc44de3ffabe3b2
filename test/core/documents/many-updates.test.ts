/** A document of more updates than a write folds and a message names: replicas that were apart have met. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as Y from "yjs";
import { actorFromRandom } from "../../../core/causality/actor.ts";
import { encodeVersioned } from "../../../core/causality/encoding.ts";
import type { LiveValue } from "../../../core/causality/version-set.ts";
import type { LiveDocument } from "../../../core/documents/live-document.ts";
import type { NodeId } from "../../../core/identity.ts";
import { foldsMax } from "../../../core/limits.ts";
import { call, methods } from "../../../core/rpc/rpc.ts";
import { eventually } from "../../support/eventually.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { MemoryEdges } from "../../support/memory-edges.ts";
import { storeOver } from "../../support/memory-stores.ts";

const count = foldsMax + 50;

/** Each of another client, who has seen none of the others. */
function letters(): Uint8Array {
  const values = Array.from({ length: count }, (_, i): LiveValue => {
    const doc = new Y.Doc();
    doc.clientID = i + 1;
    doc.getText("body").insert(0, "a");
    const dot = { actor: actorFromRandom(Uint8Array.of(1, 1, 1, 1, 1, 1, i >> 8, i & 255)), counter: 1 };
    const body = Y.encodeStateAsUpdate(doc);
    return { dot, stamp: i + 1, kind: "yjs", tombstone: false, contentType: "application/yjs", body };
  });
  const vector = values.map(({ dot }) => ({ ...dot, timeMs: 1 }));
  return encodeVersioned({ vector, values });
}

const textOf = (doc: LiveDocument): string => doc.getText("body").toJSON();

test("a document of a thousand updates and more is edited, folded and followed as any other", async () => {
  const cluster = await MemoryCluster.of(2);
  const edges = new MemoryEdges(cluster);
  const view = { ring: (await cluster.node("h1").status()).ring, life: 1 };
  const request = { view, key: "notes/plan", state: letters() };
  await call(cluster.transport("h1"), "h2" as NodeId, methods.replicate, request, 2_000);
  const live = async (): Promise<number> => (await cluster.node("h1").get("notes", "plan")).siblings.length;
  assert.equal(await live(), count);
  await using one = storeOver(await edges.connected("e1"));
  await using two = storeOver(await edges.connected("e2"));
  const [reader, writer] = [await one.doc("notes/plan"), await two.doc("notes/plan")];
  for (const doc of [reader, writer]) await eventually(() => textOf(doc).length === count, "the whole to be loaded");
  for (let i = 1; i <= 3; i++) {
    writer.getText("body").insert(0, "b");
    await writer.settled;
    await eventually(() => textOf(reader).length === count + i, "the edit to be seen");
  }
  assert.ok((await live()) < 50, "its updates are folded");
  await Promise.all([one.close(), two.close()]);
  await edges.stop();
  await cluster.stop();
});
