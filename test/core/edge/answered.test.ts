import assert from "node:assert/strict";
import { test } from "node:test";
import { actorOfEdge } from "../../../core/causality/actor.ts";
import { Answered } from "../../../core/edge/answered.ts";
import { OutboxWrite } from "../../../core/edge/outbox.ts";
import type { Key, NodeId } from "../../../core/identity.ts";
import { MemoryStorage } from "../../../core/storage/memory-storage.ts";
import { RecordStore } from "../../../core/storage/record-store.ts";

const self = "e1" as NodeId;
const ack = { durable: [], hinted: [], needed: 1, got: 1 };
const requestOf = (i: number): string => i.toString(16).padStart(16, "0");

function writeOf(i: number): OutboxWrite {
  const event = { nonce: "00000000000000aa", counter: i };
  const dot = { actor: actorOfEdge(self, event.nonce), counter: i };
  const body = new Uint8Array(0);
  const value = { kind: "opaque" as const, tombstone: false, contentType: "text/plain", body, dot, stamp: 1 };
  const times = { acceptedMs: i, clockMs: i, floor: 0, renews: false };
  const seen = { contexts: [], own: [], folds: [], taken: [], w: "quorum" };
  return new OutboxWrite(self, i, { key: "b/k", event, value, ...seen, ...times, request: requestOf(i) });
}

test("the latest answers are known again however many older ones a disk that was full has kept", async () => {
  const records = new RecordStore(new MemoryStorage());
  const answered = new Answered({ self, records });
  const last = 3_000;
  for (let i = 1; i <= last; i++) {
    const operations = answered.adding([writeOf(i)], ack);
    await records.commit(operations.filter(({ kind }) => kind === "put"));
  }
  const again = new Answered({ self, records });
  await again.open();
  assert.equal((await again.find("b/k" as Key, requestOf(last), undefined))?.dot.counter, last);
  await records.commit(again.adding([writeOf(last + 1)], ack));
  const { rows } = await records.page("meta", { limit: 5_000, keysOnly: true });
  assert.equal(rows.length, 1_024);
});
