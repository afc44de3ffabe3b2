import assert from "node:assert/strict";
import { test } from "node:test";
import { truncate } from "../../../core/causality/truncation.ts";
import { contextOf, mint, nothing, nothingSeen, type Versioned } from "../../../core/causality/version-set.ts";
import { encodeVersioned } from "../../../core/causality/encoding.ts";
import { actor, show, value } from "./samples.ts";

const always = () => true;
const never = () => false;

/** Written by actors 1..count in turn, each having seen all before. */
function chain(count: number): Versioned {
  let state = nothing;
  for (let n = 1; n <= count; n++) state = mint(state, contextOf(state), value(n, 1, 10 * n));
  return state;
}

test("at or below the limit nothing is dropped", () => {
  const state = chain(5);
  assert.deepEqual(truncate(state, { entriesMax: 5, ownActor: undefined, agreed: always, replaced: [] }), {
    state,
    dropped: 0,
    forced: 0,
  });
});

test("above it the oldest agreed entries go, but none with a live value and never the node's own", () => {
  const old = mint(chain(1), nothingSeen, value(2, 1, 20)); // 1 and 2 stay live
  let state = old;
  for (let n = 3; n <= 6; n++) {
    const { vector, ...seen } = contextOf(state);
    state = mint(state, { ...seen, vector: vector.filter((entry) => entry.actor > actor(2)) }, value(n, 1, 10 * n));
  }
  assert.equal(show(state), "1:1 2:1 3:1 4:1 5:1 6:1 | 1:1 2:1 6:1");
  const cut = truncate(state, { entriesMax: 4, ownActor: actor(3), agreed: always, replaced: [] });
  assert.equal(show(cut.state), "1:1 2:1 3:1 6:1 | 1:1 2:1 6:1");
  assert.deepEqual([cut.dropped, cut.forced], [2, 0]);
});

test("it drops no more than the excess, oldest first by time, not by actor", () => {
  let state = nothing;
  for (const [n, atMs] of [
    [1, 50],
    [2, 20],
    [3, 40],
    [4, 30],
    [5, 60],
  ] as const) {
    state = mint(state, { ...contextOf(state), vector: [] }, value(n, 1, atMs, { tombstone: true }));
  }
  state = { vector: state.vector, values: state.values.slice(4) };
  const cut = truncate(state, { entriesMax: 3, ownActor: undefined, agreed: always, replaced: [] });
  assert.equal(show(cut.state), "1:1 3:1 5:1 | 5:1");
});

test("an entry on which the others have not agreed stays, and a younger one goes in its place", () => {
  const agreed = (entry: { actor: string }) => entry.actor !== actor(1);
  assert.equal(
    show(truncate(chain(4), { entriesMax: 3, ownActor: undefined, agreed, replaced: [] }).state),
    "1:1 3:1 4:1 | 4:1",
  );
});

test("above ten times the limit the oldest go regardless, and are counted as forced", () => {
  const state = chain(25);
  const kept = truncate(state, { entriesMax: 3, ownActor: undefined, agreed: never, replaced: [] });
  assert.equal(kept.state, state);
  const cut = truncate(state, { entriesMax: 2, ownActor: actor(1), agreed: never, replaced: [] });
  assert.deepEqual([cut.state.vector.length, cut.dropped, cut.forced], [20, 5, 5]);
  assert.equal(cut.state.vector[0]!.actor, actor(1));
  const mixed = truncate(state, {
    entriesMax: 2,
    ownActor: undefined,
    agreed: (entry) => entry.actor === actor(9),
    replaced: [],
  });
  assert.deepEqual([mixed.state.vector.length, mixed.dropped, mixed.forced], [20, 5, 4]);
});

test("a cart written in each of 200 page loads on 3 devices stays below 2 kB, live cart of 300 bytes included", () => {
  let state = nothing;
  let largest = 0;
  for (let load = 0; load < 200; load++) {
    for (let device = 0; device < 3; device++) {
      const n = 1 + load * 3 + device;
      const cart = value(n, 1, Date.UTC(2026, 0, 1) + n, {
        body: new Uint8Array(300),
        contentType: "application/json",
      });
      state = mint(state, contextOf(state), cart);
      state = truncate(state, { entriesMax: 50, ownActor: actor(n), agreed: always, replaced: [] }).state;
      largest = Math.max(largest, encodeVersioned(state).length);
    }
  }
  assert.equal(state.vector.length, 50);
  assert.ok(largest < 2048, `${largest} bytes`);
});
