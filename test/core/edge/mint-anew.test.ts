import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { stampOfMs, stampToMs } from "../../../core/causality/hybrid-clock.ts";
import { nothing } from "../../../core/causality/version-set.ts";
import { mintedAnew } from "../../../core/edge/mint-anew.ts";
import { type OutboxRow, OutboxWrite } from "../../../core/edge/outbox.ts";
import { dotOf } from "../../../core/edge/evidence.ts";
import type { Key, NodeId } from "../../../core/identity.ts";

const hour = 3_600_000;
const trueMs = 1_700_000_000_000;

/** Accepted when the own clock showed `clockMs`, which was taken for right. */
function written(sequence: number, clockMs: number, { floor = 0, ttlMs }: { floor?: number; ttlMs?: number } = {}) {
  const event = { nonce: "0123456789abcdef", counter: sequence };
  const dot = dotOf({ edge: "e1" as NodeId, key: "b/k" as Key }, event);
  const row: OutboxRow = {
    key: "b/k",
    event,
    value: {
      dot,
      stamp: stampOfMs(clockMs),
      kind: "lww",
      tombstone: false,
      contentType: "a/b",
      body: new Uint8Array(0),
      ...(ttlMs === undefined ? {} : { expiresAtMs: clockMs + ttlMs }),
    },
    contexts: [],
    own: [],
    folds: [],
    taken: [],
    w: "quorum",
    acceptedMs: clockMs,
    clockMs,
    floor,
    renews: false,
  };
  return new OutboxWrite("e1" as NodeId, sequence, row);
}

/** All that is known of the key. */
const alone = (...own: OutboxWrite[]) => ({ copy: nothing, own, stamps: { highest: () => 0 } });

/** The own clock is ahead by so much. */
const ahead = (ms: number) => ({ wallMs: trueMs, clockMs: trueMs + ms, isKnown: true });

describe("a write minted anew", () => {
  test("is stamped with when it was made by the hosts' clocks, and expires as long after that", () => {
    fc.assert(
      fc.property(fc.integer({ min: -hour, max: hour }), fc.nat(hour), fc.nat(hour), (offMs, ageMs, ttlMs) => {
        const write = written(1, trueMs - ageMs + offMs, { ttlMs });
        const { value, acceptedMs } = mintedAnew(write, alone(write), ahead(offMs));
        assert.deepEqual([acceptedMs, stampToMs(value.stamp)], [trueMs - ageMs, trueMs - ageMs]);
        assert.equal(value.expiresAtMs, trueMs - ageMs + ttlMs);
        assert.deepEqual(value.dot, write.dot);
      }),
    );
  });

  test("stays later than what was known when it was made, and than the own write before it", () => {
    const floor = stampOfMs(trueMs + 5 * hour);
    const [first, second] = [written(1, trueMs, { floor }), written(2, trueMs)];
    first.row = mintedAnew(first, alone(first, second), ahead(hour));
    second.row = mintedAnew(second, alone(first, second), ahead(hour));
    assert.ok(first.row.value.stamp > floor && second.row.value.stamp > first.row.value.stamp);
  });

  test("is not of the time to come, where the clock was set back since", () => {
    const write = written(1, trueMs + hour);
    assert.equal(mintedAnew(write, alone(write), ahead(0)).acceptedMs, trueMs);
  });

  test("is later than the own write that it has seen, also when hosts have that one; a renewal is just above it", () => {
    const first = written(1, trueMs + 5 * hour);
    const seen = { own: [first.row.event] };
    for (const renews of [false, true]) {
      const { row } = written(2, trueMs);
      const second = new OutboxWrite("e1" as NodeId, 2, { ...row, ...seen, renews });
      const stamps = { highest: (_key: Key, own: readonly unknown[]) => (own.length > 0 ? first.row.value.stamp : 0) };
      const copied = { ...alone(second), copy: { vector: [], values: [first.row.value] } };
      for (const known of [{ ...alone(second), stamps }, copied, { ...alone(first, second), stamps }]) {
        assert.equal(mintedAnew(second, known, ahead(0)).value.stamp, first.row.value.stamp + 1);
      }
    }
  });
});
