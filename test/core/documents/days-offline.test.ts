/** A document that is edited for days without a host, far beyond the time for which hosts remember what was deleted. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as Y from "yjs";
import { nodeDefaults } from "../../../core/config.ts";
import type { LiveDocument } from "../../../core/documents/live-document.ts";
import { eventually } from "../../support/eventually.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { MemoryEdges } from "../../support/memory-edges.ts";
import { storeOver } from "../../support/memory-stores.ts";
import { realClock } from "../../support/real-clock.ts";

const dayMs = 86_400_000;
const days = 5;
const textOf = (doc: Y.Doc): string => doc.getText("body").toJSON();
const type = (doc: LiveDocument, text: string): void => doc.getText("body").insert(textOf(doc).length, text);

test("a document that is offline for days delivers every edit when it is back; nothing is parked, and all see the same", async () => {
  assert.ok(days * dayMs > 2 * nodeDefaults.graceMs);
  let passedMs = 0;
  const clock = { ...realClock, wallTime: () => realClock.wallTime() + passedMs };
  const cluster = await MemoryCluster.of(3, { clock });
  const edges = new MemoryEdges(cluster);
  const home = storeOver(await edges.connected("e2", { clock }));
  let edge = await edges.connected("e1", { clock });
  let store = storeOver(edge);
  let [away, there] = [await store.doc("notes/plan"), await home.doc("notes/plan")];
  await Promise.all([away.loaded, there.loaded]);
  type(there, "begun;");
  await there.settled;
  await eventually(() => textOf(away) === "begun;", "the beginning to be seen");
  edges.cut("e1");
  await eventually(() => !edge.facts().connected, "the edge to be offline");
  for (let day = 1; day <= days; day++) {
    passedMs += dayMs;
    type(away, `away ${day};`);
    type(there, `there ${day};`);
    await Promise.all([away.flush(), there.settled]);
    if (day !== 3) continue;
    await store.close();
    await edges.kill("e1");
    edge = await edges.start("e1", { clock });
    store = storeOver(edge);
    away = await store.doc("notes/plan");
    await away.loaded;
  }
  assert.ok(edge.facts().pending > 0);
  edges.heal("e1");
  await eventually(() => edge.facts().connected, "the edge to be back");
  await away.settled;
  await eventually(() => textOf(away) === textOf(there), "all to see the same");
  for (let day = 1; day <= days; day++)
    for (const who of ["away", "there"]) assert.ok(textOf(away).includes(`${who} ${day};`));
  assert.deepEqual([edge.facts().parked, edge.facts().pending, away.status().problem], [0, 0, undefined]);
  const { siblings } = await cluster.node("h3").get("notes", "plan", { r: "all" });
  const stored = new Y.Doc();
  for (const { body } of siblings) Y.applyUpdate(stored, body);
  assert.equal(textOf(stored), textOf(away));
  await Promise.all([store.close(), home.close()]);
  await edges.stop();
  await cluster.stop();
});
