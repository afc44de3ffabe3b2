/** States of documents travel in parts: to hosts without the bodies that they have, to edges without the values. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { actorFromRandom } from "../../../core/causality/actor.ts";
import { clockDigest } from "../../../core/causality/clock.ts";
import { decodeVersioned } from "../../../core/causality/encoding.ts";
import { filled, leanStateOf } from "../../../core/causality/lean-state.ts";
import {
  compareDots,
  type LiveValue,
  mint,
  nothing,
  nothingSeen,
  type Versioned,
} from "../../../core/causality/version-set.ts";
import { ToldStates } from "../../../core/coordinate/told-states.ts";
import { toldBy } from "../../../core/edge/told.ts";
import { StoreError } from "../../../core/errors.ts";
import type { Key, NodeId } from "../../../core/identity.ts";
import { encodedAnew } from "../../../core/replica/state-cache.ts";
import { call, methods } from "../../../core/rpc/rpc.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";

const actor = actorFromRandom(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));

function update(counter: number, bytes = 1_000): LiveValue {
  const body = new Uint8Array(bytes).fill(counter);
  return { dot: { actor, counter }, stamp: counter, kind: "yjs", tombstone: false, contentType: "x", body };
}

function stateOf(counters: readonly number[]): Versioned {
  return counters.reduce<Versioned>((state, counter) => mint(state, nothingSeen, update(counter)), nothing);
}

test("a state without the bodies that its receiver has is filled with those, and with no others", () => {
  const state = stateOf([1, 2, 3]);
  const lean = leanStateOf(state, ({ dot }) => dot.counter < 3)!;
  assert.ok(lean.state.length < 1_500);
  const decoded = decodeVersioned(lean.state);
  assert.deepEqual(filled(decoded, lean.omitted, stateOf([1, 2]).values), state);
  assert.equal(filled(decoded, lean.omitted, stateOf([1]).values), undefined);
  const others = stateOf([1, 2]).values.map((value) => ({ ...value, stamp: 9 }));
  assert.equal(filled(decoded, lean.omitted, others), undefined, "two records of one event are two");
  assert.equal(
    leanStateOf(state, () => false),
    undefined,
  );
});

test("an edge is told what is new to it, and which of its own values are still live; another gets the whole", () => {
  const told = new ToldStates();
  const before = stateOf([1, 2]);
  const asked = { state: before, contexts: [] };
  const first = told.stateFor(encodedAnew(before), undefined);
  assert.deepEqual(toldBy(first, "b/k" as Key, { state: nothing, contexts: [] }).state, before);
  const after = mint(before, nothingSeen, update(3, 10), [{ actor, counter: 1 }]);
  const held = encodedAnew(after);
  const second = told.stateFor(held, clockDigest(before));
  assert.ok(second.state!.length < 200);
  assert.deepEqual(toldBy(second, "b/k" as Key, asked).state, after);
  assert.deepEqual(told.stateFor(held, clockDigest(after)), { kept: [], omitted: [] });
  const own = update(3, 10);
  const echo = told.stateFor(held, clockDigest(before), own);
  assert.deepEqual(toldBy(echo, "b/k" as Key, asked, [own]).state, after);
  const unknown = told.stateFor(held, clockDigest(stateOf([9])));
  assert.deepEqual(toldBy(unknown, "b/k" as Key, { state: nothing, contexts: [] }).state, after);
  const hostile = { ...second, kept: [17] };
  assert.throws(() => toldBy(hostile, "b/k" as Key, asked), StoreError);
  assert.deepEqual(
    after.values.toSorted((a, b) => compareDots(a.dot, b.dot)),
    after.values,
  );
});

test("a host that lacks what was left out says so, and nothing has changed there", async () => {
  const cluster = await MemoryCluster.of(2);
  const [from, to] = [cluster.transport("h1"), "h2" as NodeId];
  const view = { ring: (await cluster.node("h1").status()).ring, life: 1 };
  const state = stateOf([1, 2]);
  const { state: lean, omitted } = leanStateOf(state, ({ dot }) => dot.counter === 1)!;
  const request = { view, key: "b/k", state: lean, omitted: { places: omitted }, minted: true };
  assert.equal((await call(from, to, methods.replicate, request, 2_000)).lacks, true);
  assert.equal((await cluster.node("h2").getLocal("b", "k")).context, null);
  const { state: first } = encodedAnew(stateOf([1]));
  const whole = { view, key: "b/k", state: encodedAnew(first).encoded!, minted: true };
  await call(from, to, methods.replicate, whole, 2_000);
  assert.equal((await call(from, to, methods.replicate, request, 2_000)).lacks, undefined);
  assert.equal((await cluster.node("h2").getLocal("b", "k")).siblings.length, 2);
  await cluster.stop();
});
