/** States of documents travel in parts: to hosts without the bodies that they have, to edges without the values. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { actorFromRandom } from "../../../core/causality/actor.ts";
import { clockDigest } from "../../../core/causality/clock.ts";
import { decodeVersioned } from "../../../core/causality/encoding.ts";
import { filled, leanStateOf, omittedMax } from "../../../core/causality/lean-state.ts";
import {
  compareDots,
  type LiveValue,
  mint,
  nothing,
  nothingSeen,
  type Versioned,
} from "../../../core/causality/version-set.ts";
import { type Receiver, ToldStates } from "../../../core/coordinate/told-states.ts";
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

const [edge, key] = ["e1" as NodeId, "b/k" as Key];
const to = (have?: Uint8Array, own?: LiveValue): Receiver => ({ edge, key, have, ...(own && { own }) });
const none = { state: nothing, contexts: [] };

test("an edge is told what is new to it, and which of its own values are still live", () => {
  const told = new ToldStates();
  const before = stateOf([1, 2]);
  const asked = { state: before, contexts: [] };
  const first = told.stateFor(encodedAnew(before), to());
  assert.deepEqual(toldBy(first, key, none)?.state, before);
  const after = mint(before, nothingSeen, update(3, 10), [{ actor, counter: 1 }]);
  const held = encodedAnew(after);
  const second = told.stateFor(held, to(clockDigest(before)));
  assert.ok(second.state!.length < 200);
  assert.deepEqual(toldBy(second, key, asked)?.state, after);
  assert.deepEqual(told.stateFor(held, to(clockDigest(after))), { omitted: [] });
  const own = update(3, 10);
  const echo = told.stateFor(held, to(clockDigest(before), own));
  assert.deepEqual(toldBy(echo, key, asked, [own])?.state, after);
  for (const gone of [[17], [1, 1, 17]]) {
    assert.throws(() => toldBy({ ...second, rest: { gone } }, key, asked), StoreError);
  }
  assert.deepEqual(
    after.values.toSorted((a, b) => compareDots(a.dot, b.dot)),
    after.values,
  );
});

test("an edge that has what another host told is told all but what is large, and the whole where it lacks that", () => {
  const told = new ToldStates();
  const large = mint(nothing, nothingSeen, update(1, 100_000));
  const after = mint(large, nothingSeen, update(2, 100));
  const answer = told.stateFor(encodedAnew(after), to(clockDigest(large)));
  assert.ok(answer.state!.length < 500);
  assert.deepEqual(toldBy(answer, key, { state: large, contexts: [] })?.state, after);
  assert.equal(toldBy(answer, key, none), undefined);
  assert.deepEqual(toldBy(told.stateFor(encodedAnew(after), to()), key, none)?.state, after);
});

test("an edge is told the whole of a document of which more was folded than a message names", () => {
  const told = new ToldStates();
  const many = Array.from({ length: omittedMax + 1 }, (_, i) => i + 1);
  const before = { vector: stateOf([many.length]).vector, values: many.map((counter) => update(counter, 1)) };
  told.stateFor(encodedAnew(before), to());
  const folds = many.map((counter) => ({ actor, counter }));
  const after = mint(before, nothingSeen, update(many.length + 1, 10), folds);
  const { state, rest } = told.stateFor(encodedAnew(after), to(clockDigest(before)));
  assert.equal(rest, undefined);
  assert.deepEqual(decodeVersioned(state!), after);
});

test("an edge that watches is told what is new since it was told last, and nobody else is", () => {
  const told = new ToldStates();
  const states = [stateOf([1]), stateOf([1, 2]), stateOf([1, 2, 3])] as const;
  told.stateFor(encodedAnew(states[0]), to());
  assert.equal(told.newsFor(encodedAnew(states[1]), { edge, key }), undefined, "it was not followed then");
  told.follow(edge);
  told.stateFor(encodedAnew(states[0]), to());
  assert.equal(told.wasTold({ edge, key }, clockDigest(states[0])), true);
  for (const i of [1, 2] as const) {
    assert.equal(told.wasTold({ edge, key }, clockDigest(states[i])), false);
    const { base, ...news } = told.newsFor(encodedAnew(states[i]), { edge, key })!;
    assert.deepEqual(base, clockDigest(states[i - 1]!));
    assert.ok(news.state!.length < 1_200);
    assert.deepEqual(toldBy(news, key, { state: states[i - 1]!, contexts: [] })?.state, states[i]);
  }
  told.forget(edge);
  assert.equal(told.wasTold({ edge, key }, clockDigest(states[2])), false);
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
