import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DecodeError, field, message, varint } from "../../../core/bytes/codec.ts";
import { toHex } from "../../../core/bytes/hex.ts";
import { clockDigest, sameClock } from "../../../core/causality/clock.ts";
import { coverage, decodeVersioned, encodeVersioned, liveValue, versioned } from "../../../core/causality/encoding.ts";
import { type LiveValue, mint, nothing, nothingSeen, type Versioned } from "../../../core/causality/version-set.ts";
import { actor, dot, value } from "./samples.ts";

const entry = (n: number, counter: number, timeMs = 1) => ({ actor: actor(n), counter, timeMs });
const one = mint(nothing, nothingSeen, value(1, 3, 5, { expiresAtMs: 300, contentType: "a/b" }));

test("a state keeps its golden bytes: disks hold them across versions", () => {
  assert.equal(toHex(encodeVersioned(nothing)), "");
  assert.equal(
    toHex(encodeVersioned(one)),
    ["0a0e", "0a080000000000000001", "1003", "1805"].join("") +
      ["1221", "0a0c0a0800000000000000011003", "108028", "1800", "2000", "2a03612f62", "30ac02", "42020103"].join(""),
  );
});

test("the clock's digest keeps its golden bytes: nodes of different versions compare them", () => {
  assert.equal(toHex(clockDigest(nothing)), "e3b0c44298fc1c149afbf4c8996fb924");
  assert.equal(toHex(clockDigest(one)), "ca0f3ba8ccde2722d300c1b96d08df62");
});

test("the clock's digest depends on the clock, and not on timestamps of the vector, content types or bodies", () => {
  const digest = (state: Versioned) => toHex(clockDigest(state));
  const live = one.values[0]!;
  const alike: Versioned = {
    vector: [entry(1, 3, 999)],
    values: [{ ...live, body: new Uint8Array(9), contentType: "x/y" }],
  };
  assert.equal(digest(alike), digest(one));
  const changes: Partial<LiveValue>[] = [
    { stamp: live.stamp + 1 },
    { kind: "yjs" },
    { tombstone: true },
    { expiresAtMs: 301 },
    { dot: dot(1, 2) },
  ];
  const different: Versioned[] = changes.map((change) => ({ ...one, values: [{ ...live, ...change }] }));
  different.push(one, { ...one, values: [] }, { ...one, vector: [entry(1, 4)] });
  assert.equal(new Set(different.map(digest)).size, different.length);
  for (const a of different) for (const b of different) assert.equal(sameClock(a, b), a === b);
  assert.ok(sameClock(one, alike));
});

test("a state that breaks an invariant does not decode", () => {
  const live = value(1, 1, 1);
  const cases: [state: Versioned, reason: RegExp][] = [
    [{ vector: [entry(2, 1), entry(1, 1)], values: [] }, /not sorted by distinct actors/],
    [{ vector: [entry(1, 1), entry(1, 2)], values: [] }, /not sorted by distinct actors/],
    [{ vector: [entry(1, 2)], values: [value(1, 2, 1), live] }, /not sorted by distinct dots/],
    [{ vector: [entry(1, 2)], values: [live, live] }, /not sorted by distinct dots/],
    [{ vector: [], values: [live] }, /does not cover a value/],
    [{ vector: [entry(1, 1)], values: [value(1, 2, 1)] }, /does not cover a value/],
    [{ vector: [entry(1, 1)], values: [value(1, 0, 1)] }, /does not cover a value/],
    [
      { vector: [entry(1, 2)], values: [value(1, 1, 1, { kind: "lww" }), value(1, 2, 1, { kind: "lww" })] },
      /more than one lww value/,
    ],
  ];
  const Envelope = message("Envelope", { state: field(1, versioned), end: field(2, varint) });
  for (const [state, message] of cases) {
    assert.throws(() => decodeVersioned(encodeVersioned(state)), { name: "DecodeError", message });
    assert.throws(() => Envelope.decode(Envelope.encode({ state, end: 1 })), { name: "DecodeError", message });
  }
  assert.deepEqual(Envelope.decode(Envelope.encode({ state: one, end: 1 })), { state: one, end: 1 });
  assert.throws(() => liveValue.decode(liveValue.encode(value(1, 0, 1))), /counters start at 1/);
  assert.throws(
    () => coverage.decode(coverage.encode({ ...nothingSeen, vector: [dot(2, 1), dot(1, 1)] })),
    /not sorted by distinct actors/,
  );
});

test("damaged bytes of a state are refused with DecodeError, or are a state", () => {
  const whole = encodeVersioned(one);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 3 }), (changes) => {
      const damaged = whole.slice();
      for (const [at, byte] of changes) damaged[at] = byte;
      try {
        const state = decodeVersioned(damaged);
        assert.deepEqual(decodeVersioned(encodeVersioned(state)), state);
      } catch (error: unknown) {
        if (!(error instanceof DecodeError)) throw error;
      }
    }),
    { numRuns: 2000 },
  );
});
