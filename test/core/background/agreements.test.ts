import assert from "node:assert/strict";
import { test } from "node:test";
import { Agreements } from "../../../core/background/agreements.ts";
import type { NodeId, PartitionIndex } from "../../../core/identity.ts";

const [h1, h2] = ["h1", "h2"] as NodeId[] as [NodeId, NodeId];
const partition = 3 as PartitionIndex;

test("agreements are forgotten with their peer, also when it comes back: it may have lost its disk", () => {
  const agreements = new Agreements(16);
  agreements.note(h1, [partition], 5);
  agreements.note(h2, [partition], 7);
  assert.equal(agreements.lastOfAllMs(partition, [h1, h2]), 5);
  agreements.keep((peer) => peer === h1);
  assert.deepEqual([agreements.lastMs(partition, h1), agreements.lastMs(partition, h2)], [5, undefined]);
});
