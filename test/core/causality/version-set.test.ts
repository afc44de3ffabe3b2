import assert from "node:assert/strict";
import { test } from "node:test";
import { actorOfWriteId } from "../../../core/causality/actor.ts";
import { compare } from "../../../core/causality/clock.ts";
import {
  applyWrite,
  contextOf,
  COVERAGE_ENTRIES_MAX,
  deleted,
  kindOfWrite,
  merge,
  mint,
  nothing,
  nothingSeen,
  siblings,
  touch,
  uniteCoverage,
  type Versioned,
} from "../../../core/causality/version-set.ts";
import { makeKey } from "../../../core/bytes/key.ts";
import { actor, dot, show, value } from "./samples.ts";

const timeOf = (state: Versioned, n: number) => state.vector.find((entry) => entry.actor === actor(n))?.timeMs;

test("the history of the Dynamo paper's Figure 3: D1 to D5, written by Sx, Sy and Sz", () => {
  const [sx, sy, sz] = [1, 2, 3] as const;
  const d1 = mint(nothing, nothingSeen, value(sx, 1, 10));
  assert.equal(show(d1), "1:1 | 1:1");
  const d2 = mint(d1, contextOf(d1), value(sx, 2, 20));
  assert.equal(show(d2), "1:2 | 1:2");
  assert.equal(compare(d1, d2), "before", "D2 descends from D1 and overwrites it");

  const d3 = mint(d2, contextOf(d2), value(sy, 1, 30));
  const d4 = mint(d2, contextOf(d2), value(sz, 1, 40));
  assert.equal(show(d3), "1:2 2:1 | 2:1");
  assert.equal(show(d4), "1:2 3:1 | 3:1");
  assert.equal(compare(d1, d4), "before", "a node that knows D1 or D2 can tell that D4 is newer");
  assert.equal(compare(d3, d4), "concurrent", "changes in D3 and D4 that the other does not reflect");

  const both = merge(d3, d4);
  assert.equal(show(both), "1:2 2:1 3:1 | 2:1 3:1", "both versions are kept and presented to a client");
  const d5 = mint(both, contextOf(both), value(sx, 3, 50));
  assert.equal(show(d5), "1:3 2:1 3:1 | 1:3", "the context summarises D3 and D4; Sx coordinates the reconciliation");
  assert.equal(merge(d5, d3), d5);
});

test("two writers who interleave 100 writes, each having seen only up to its own last, end with 2 siblings, not 99", () => {
  const contexts = [nothingSeen, nothingSeen];
  let state = nothing;
  for (let i = 1; i <= 100; i++) {
    const writer = i % 2;
    state = mint(state, contexts[writer]!, value(1, i, i));
    contexts[writer] = contextOf(state);
    assert.ok(state.values.length <= 2);
  }
  assert.equal(show(state), "1:100 | 1:99 1:100");
});

test("writes without a context are siblings, and one write that has seen them leaves one", () => {
  let state = nothing;
  for (let i = 1; i <= 5; i++) state = mint(state, nothingSeen, value(i, 1, i));
  assert.equal(siblings(state, 0).length, 5);
  assert.equal(show(mint(state, contextOf(state), value(1, 2, 9))), "1:2 2:1 3:1 4:1 5:1 | 1:2");
});

test("a stale context drops only what its reader saw", () => {
  const first = mint(nothing, nothingSeen, value(1, 1, 1));
  const second = mint(first, contextOf(first), value(1, 2, 2));
  assert.equal(show(mint(second, contextOf(first), value(1, 3, 3))), "1:3 | 1:2 1:3");
});

test("a context of values that this node has not got yet drops them when they arrive", () => {
  const elsewhere = mint(nothing, nothingSeen, value(2, 1, 1));
  const here = mint(nothing, contextOf(elsewhere), value(1, 1, 2));
  assert.equal(show(merge(here, elsewhere)), "1:1 2:1 | 1:1");
});

test("a delete leaves a tombstone; a value written beside it stays, and the key reads as deleted too", () => {
  const first = mint(nothing, nothingSeen, value(1, 1, 1));
  const gone = mint(first, contextOf(first), value(1, 2, 2, { tombstone: true }));
  assert.deepEqual([siblings(gone, 5).length, deleted(gone, 5)], [0, true]);
  const beside = mint(gone, contextOf(first), value(2, 1, 3));
  assert.deepEqual([siblings(beside, 5).length, deleted(beside, 5)], [1, true]);
  const again = mint(gone, contextOf(gone), value(2, 1, 3));
  assert.deepEqual([siblings(again, 5).length, deleted(again, 5)], [1, false]);
  assert.deepEqual([siblings(nothing, 5).length, deleted(nothing, 5)], [0, false]);
});

test("an expired value reads as a tombstone under its own dot, from its last millisecond on", () => {
  const state = mint(nothing, nothingSeen, value(1, 1, 1, { expiresAtMs: 100 }));
  assert.deepEqual([siblings(state, 99).length, deleted(state, 99)], [1, false]);
  assert.deepEqual([siblings(state, 100).length, deleted(state, 100)], [0, true]);
});

test("a put repeated under its write id is one event, whoever mints it, and changes nothing where it is known", () => {
  const key = makeKey("carts", "alice");
  const named = { actor: actorOfWriteId(key, "00000000000000aa"), counter: 1 };
  const here = mint(nothing, nothingSeen, value(0, 0, 1, { dot: named }));
  assert.equal(mint(here, nothingSeen, value(0, 0, 5, { dot: named })), here);

  const overwritten = mint(here, contextOf(here), value(1, 1, 9));
  assert.equal(mint(overwritten, nothingSeen, value(0, 0, 10, { dot: named })), overwritten);

  const there = mint(nothing, nothingSeen, value(0, 0, 5, { dot: named }));
  assert.deepEqual(merge(here, there).values, there.values, "the later record of the one event stays");
  assert.equal(merge(overwritten, there).values.length, 1, "and is dropped where it was overwritten");
});

test("of two records of one dot the greater stamp stays, then the later expiry, then the greater digest", () => {
  const record = (rest: object) => mint(nothing, nothingSeen, value(1, 1, 5, rest));
  const pairs: [lesser: Versioned, greater: Versioned][] = [
    [record({ expiresAtMs: 900 }), mint(nothing, nothingSeen, value(1, 1, 6, { expiresAtMs: 100 }))],
    [record({ expiresAtMs: 100 }), record({ expiresAtMs: 101 })],
    [record({ expiresAtMs: 100 }), record({})],
    // SHA-256 of 0x01 begins with 4b, of 0x02 with db.
    [record({ body: Uint8Array.of(1) }), record({ body: Uint8Array.of(2) })],
    [record({}), record({ tombstone: true })],
  ];
  for (const [lesser, greater] of pairs) {
    assert.deepEqual(merge(lesser, greater).values, greater.values);
    assert.deepEqual(merge(greater, lesser).values, greater.values);
  }
});

test("of lww values the highest stamp stays, then the highest dot, whatever their contexts covered", () => {
  const lww = { kind: "lww" } as const;
  const early = mint(nothing, nothingSeen, value(1, 1, 10, lww));
  const late = mint(nothing, nothingSeen, value(2, 1, 20, lww));
  assert.equal(show(merge(early, late)), "1:1 2:1 | 2:1");
  const tied = mint(nothing, nothingSeen, value(3, 1, 20, lww));
  assert.equal(show(merge(late, tied)), "2:1 3:1 | 3:1");
  // An edge with a slow clock has seen `late` and overwrites it: its write loses, for everyone alike.
  const slow = applyWrite(late, contextOf(late), value(4, 1, 15, lww), 30);
  assert.equal(show(slow), "2:1 4:1 | 2:1");
  const slowElsewhere = applyWrite(nothing, contextOf(late), value(4, 1, 15, lww), 30);
  assert.equal(show(merge(slowElsewhere, late)), "2:1 4:1 | 2:1");
});

test("a write or delete whose state or context holds an lww value is itself lww", () => {
  const state = mint(nothing, nothingSeen, value(1, 1, 10, { kind: "lww" }));
  assert.equal(kindOfWrite(nothing, nothingSeen, "opaque"), "opaque");
  assert.equal(kindOfWrite(state, nothingSeen, "yjs"), "lww");
  assert.equal(kindOfWrite(nothing, contextOf(state), "opaque"), "lww");
  const gone = mint(state, contextOf(state), value(1, 2, 20, { tombstone: true }));
  assert.equal(show(gone), "1:2 | 1:2");
  assert.equal(show(merge(gone, state)), "1:2 | 1:2", "the deleted value does not come back");
});

test("kinds never fold with each other: an lww value stays beside opaque siblings, and drops those it has seen", () => {
  const opaque = mint(nothing, nothingSeen, value(1, 1, 30));
  const lww = mint(nothing, nothingSeen, value(2, 1, 10, { kind: "lww" }));
  assert.equal(show(merge(opaque, lww)), "1:1 2:1 | 1:1 2:1");
  const resolved = mint(opaque, contextOf(opaque), value(2, 1, 40, { kind: "lww" }));
  assert.equal(show(merge(resolved, opaque)), "1:1 2:1 | 2:1");
});

test("an entry's time is that of its last event, or of the write that dropped its last value, the later", () => {
  const first = mint(mint(nothing, nothingSeen, value(1, 1, 10)), nothingSeen, value(2, 1, 15));
  const dropsOne = mint(first, { ...contextOf(first), vector: [dot(1, 1)] }, value(3, 1, 40));
  assert.deepEqual([timeOf(dropsOne, 1), timeOf(dropsOne, 2), timeOf(dropsOne, 3)], [40, 15, 40]);
});

test("vectors join to the larger counter and the larger time, entry by entry", () => {
  const one: Versioned = {
    vector: [
      { ...dot(1, 5), timeMs: 10 },
      { ...dot(2, 1), timeMs: 7 },
    ],
    values: [],
  };
  const other: Versioned = { vector: [{ ...dot(1, 3), timeMs: 99 }], values: [] };
  assert.deepEqual(merge(one, other).vector, [
    { ...dot(1, 5), timeMs: 99 },
    { ...dot(2, 1), timeMs: 7 },
  ]);
});

test("an entry's time is also that of a write which covers events that only others hold", () => {
  const elsewhere = mint(nothing, nothingSeen, value(2, 1, 10));
  const here = mint(nothing, contextOf(elsewhere), value(1, 1, 40));
  assert.equal(timeOf(here, 2), 40);
});

test("two nodes that drop one half of an actor's values each count as droppers both", () => {
  const both = mint(mint(nothing, nothingSeen, value(1, 1, 10)), nothingSeen, value(1, 2, 11));
  const one = mint(both, { ...nothingSeen, vector: [dot(1, 1)] }, value(2, 1, 20));
  const other = applyWrite(
    mint(nothing, nothingSeen, value(1, 2, 11)),
    { ...nothingSeen, vector: [dot(1, 2)] },
    value(3, 1, 30),
    30,
  );
  assert.equal(timeOf(merge(one, other), 1), 30);
  assert.equal(timeOf(one, 1), 20);
});

test("the write of an edge that was offline counts from its arrival: only then do others begin to learn what it drops", () => {
  const state = mint(nothing, nothingSeen, value(1, 1, 10));
  const late = applyWrite(state, contextOf(state), value(2, 1, 20), 5_000);
  assert.deepEqual([timeOf(late, 1), timeOf(late, 2)], [5_000, 5_000]);
  assert.equal(late.values[0]!.stamp, value(2, 1, 20).stamp, "its stamp is never changed");
});

test("touching marks the entries that a merge taught something new or took a value from, and no others", () => {
  const old = merge(mint(nothing, nothingSeen, value(1, 1, 10)), mint(nothing, nothingSeen, value(2, 1, 11)));
  const seen = mint(nothing, { ...nothingSeen, vector: [dot(1, 1)] }, value(3, 1, 12));
  const merged = merge(old, seen);
  assert.deepEqual(
    touch(old, merged, 99).vector.map((entry) => entry.timeMs),
    [99, 11, 99],
  );
  assert.equal(touch(old, merge(old, nothing), 99), old);
});

test("united contexts cover what either covers", () => {
  const one = contextOf(mint(nothing, nothingSeen, value(1, 5, 10)));
  const two = contextOf(
    mint(mint(nothing, nothingSeen, value(1, 3, 1)), nothingSeen, value(2, 1, 20, { kind: "lww" })),
  );
  assert.deepEqual(uniteCoverage(one, two), {
    vector: [dot(1, 5), dot(2, 1)],
    stamp: value(2, 1, 20).stamp,
    kinds: ["lww", "opaque"],
  });
});

test("the context of a state with too many entries leaves out the oldest that have no live value", () => {
  const count = COVERAGE_ENTRIES_MAX + 50;
  let state = mint(nothing, nothingSeen, value(1, 1, 1));
  for (let n = 2; n <= count; n++) state = mint(state, n === 2 ? nothingSeen : contextOf(state), value(n, 1, n));
  state = merge(state, mint(nothing, nothingSeen, value(2000, 1, 0)));
  const context = contextOf(state);
  assert.equal(context.vector.length, COVERAGE_ENTRIES_MAX);
  assert.equal(mint(state, context, value(1, 2, 9999)).values.length, 1, "it still drops every live value");
});
