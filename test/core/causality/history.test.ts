import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { clockDigest, compare, sameClock } from "../../../core/causality/clock.ts";
import { decodeVersioned, encodeVersioned } from "../../../core/causality/encoding.ts";
import { coversAll, merge, nothing, type ValueKind, type Versioned } from "../../../core/causality/version-set.ts";
import { toHex } from "../../../core/bytes/hex.ts";
import { steps, World } from "./world.ts";

const equal = (a: Versioned, b: Versioned, law: string) => assert.deepEqual(a, b, law);

/** Three states out of one random history, old ones too. */
const threeStates = fc.tuple(steps(), fc.nat(), fc.nat(), fc.nat()).map(([history, ...picks]) => {
  const world = new World();
  for (const step of history) world.step(step);
  const states = [nothing, ...world.snapshots.map((snapshot) => snapshot.state)];
  return picks.map((pick) => states[pick % states.length]!) as [Versioned, Versioned, Versioned];
});

for (const [name, kinds] of [
  ["mixed kinds", undefined],
  ["values that never fold", fc.constant<ValueKind>("opaque")],
  ["lww alone", fc.constant<ValueKind>("lww")],
] as const) {
  test(`at every step of a history of ${name}, the live values are those that a model of causal histories names`, () => {
    fc.assert(
      fc.property(steps(kinds), (history) => {
        const world = new World();
        for (const step of history) {
          world.step(step);
          const replica = world.replicas[step.node]!;
          assert.deepEqual(world.liveInState(replica), world.liveInModel(replica));
          equal(decodeVersioned(encodeVersioned(replica.state)), replica.state, "its invariants hold");
        }
      }),
      { numRuns: 1000 },
    );
  });
}

test("replicas that have exchanged all they know are equal, in whatever order they did", () => {
  fc.assert(
    fc.property(steps(), fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4 }), (history, order) => {
      const world = new World();
      for (const step of history) world.step(step);
      const states = world.replicas.map((replica) => replica.state);
      const forward = states.reduce(merge, nothing);
      const shuffled = order.map((i) => states[i]!).reduce(merge, nothing);
      equal(shuffled, forward, "any order");
      equal([...states, ...states].reduce(merge, nothing), forward, "repeated");
    }),
    { numRuns: 500 },
  );
});

test("merging is commutative, associative and idempotent, timestamps included", () => {
  fc.assert(
    fc.property(threeStates, ([a, b, c]) => {
      equal(merge(a, b), merge(b, a), "commutative");
      equal(merge(merge(a, b), c), merge(a, merge(b, c)), "associative");
      equal(merge(a, a), a, "idempotent");
      equal(merge(merge(a, b), b), merge(a, b), "absorbing");
    }),
    { numRuns: 2000 },
  );
});

test("a merge that adds nothing returns its first argument itself", () => {
  fc.assert(
    fc.property(threeStates, ([a, b]) => {
      const merged = merge(a, b);
      assert.equal(merge(merged, a), merged);
      assert.equal(merge(merged, decodeVersioned(encodeVersioned(b))), merged);
      assert.equal(merge(merged, nothing), merged);
    }),
  );
});

test("the order of two states says which of them would learn from the other", () => {
  const mirrored = { equal: "equal", before: "after", after: "before", concurrent: "concurrent" } as const;
  fc.assert(
    fc.property(threeStates, ([a, b]) => {
      const relation = compare(a, b);
      assert.equal(compare(b, a), mirrored[relation]);
      assert.equal(relation === "equal", sameClock(a, b));
      assert.equal(toHex(clockDigest(a)) === toHex(clockDigest(b)), sameClock(a, b));
      assert.notEqual(compare(a, merge(a, b)), "after");
      if (relation === "before") assert.ok(coversAll(b.vector, a.vector));
    }),
    { numRuns: 1000 },
  );
});
