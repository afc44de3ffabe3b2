/** An unsent update whose predecessor hosts lack becomes another event: what later writes have seen of it they have seen. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { actorOfEdge } from "../../../core/causality/actor.ts";
import { covers } from "../../../core/causality/version-set.ts";
import { renamed } from "../../../core/edge/new-dots.ts";
import { OutboxRow, OutboxWrite } from "../../../core/edge/outbox.ts";
import type { NodeId } from "../../../core/identity.ts";
import type { OwnEvent } from "../../../core/rpc/edge-messages.ts";

const edge = "e1" as NodeId;
const former = "00000000000000aa";
const latter = "00000000000000bb";

const eventOf = (nonce: string, counter: number): OwnEvent => ({ nonce, counter });
const dotOf = (nonce: string, counter: number) => ({ actor: actorOfEdge(edge, nonce), counter });

function writeOf(sequence: number, how: Partial<OutboxRow> = {}): OutboxWrite {
  const event = eventOf(former, sequence);
  const dot = dotOf(former, sequence);
  const kind = { kind: "yjs" as const, tombstone: false, contentType: "application/yjs", body: new Uint8Array(1) };
  const value = { ...kind, dot, stamp: 1 };
  const times = { acceptedMs: 1, clockMs: 1, floor: 0, renews: false };
  const row = { key: "b/k", event, value, contexts: [], own: [], folds: [], taken: [], w: "quorum", ...times, ...how };
  return new OutboxWrite(edge, sequence, row);
}

test("a delete and an update that were written on an update that is renamed cover and fold it under either name", () => {
  const update = writeOf(2, { sentMs: 5, previous: 1 });
  const holder = writeOf(3, { folds: [update.dot] });
  const tombstone = { ...update.row.value, tombstone: true, dot: dotOf(former, 4) };
  const ending = writeOf(4, { own: [eventOf(former, 2)], value: tombstone });
  const stranger = writeOf(5);
  const all = [update, holder, ending, stranger];
  const name = { event: eventOf(latter, 2), dot: dotOf(latter, 2) };
  const rows = renamed(edge, all, update, name);
  assert.deepEqual([...rows.keys()], [update, holder, ending]);
  update.mayBeOut = true;
  for (const [write, row] of rows) write.become(OutboxRow.decode(OutboxRow.encode(row)));
  assert.deepEqual([update.dot, update.row.event, update.mayBeOut], [name.dot, name.event, false]);
  assert.deepEqual([update.row.sentMs, update.row.previous], [undefined, undefined]);
  assert.deepEqual(new Set(holder.row.folds.map(({ actor }) => actor)), new Set([name.dot.actor, holder.dot.actor]));
  for (const dot of [dotOf(former, 2), name.dot]) assert.ok(covers(ending.coverage.vector, dot));
  assert.deepEqual(ending.dot, dotOf(former, 4));
});
