import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { actorOfEdge, actorOfWriteId } from "../../../core/causality/actor.ts";
import { HybridClock } from "../../../core/causality/hybrid-clock.ts";
import { applyWrite, contextOf, nothing, nothingSeen, type Versioned } from "../../../core/causality/version-set.ts";
import { OwnActor } from "../../../core/edge/own-actor.ts";
import type { Key, NodeId } from "../../../core/identity.ts";
import { realRandom } from "../../support/memory-cluster.ts";

const edge = "e1" as NodeId;
const key = "b/k" as Key;
const value = { kind: "opaque" as const, tombstone: false, contentType: "text/plain", body: new Uint8Array(1) };

const actorFor = (): OwnActor =>
  new OwnActor({ edge, random: realRandom, hybridClock: new HybridClock({ clockDriftMaxMs: 1_000 }) });

/** A write that has seen `known`, or nothing; and what is known then. */
function write(actor: OwnActor, known: Versioned, how: { readonly blind?: true; readonly writeId?: string } = {}) {
  const coverage = how.blind ? nothingSeen : contextOf(known);
  const { blind: _blind, ...rest } = how;
  const minted = actor.mint({ key, known, coverage, value, ...rest }, 1_000, 50);
  return { ...minted, known: applyWrite(known, coverage, minted.value, 1_000) };
}

describe("an edge's actor", () => {
  test("goes on for writes that have seen its last event on the key, and on other keys", () => {
    const actor = actorFor();
    const first = write(actor, nothing);
    const second = write(actor, first.known);
    const elsewhere = write(actor, nothing);
    const dots = [first, second, elsewhere].map(({ value: { dot } }) => dot);
    assert.deepEqual(
      dots,
      [1, 2, 3].map((counter) => ({ actor: dots[0]!.actor, counter })),
    );
    assert.equal(dots[0]!.actor, actorOfEdge(edge, first.event.nonce));
  });

  test("ends at a write that has not: its dot must not claim that event", () => {
    const actor = actorFor();
    const first = write(actor, nothing);
    const blind = write(actor, first.known, { blind: true });
    assert.notEqual(blind.value.dot.actor, first.value.dot.actor);
    assert.equal(blind.value.dot.counter, 1);
    assert.equal(blind.known.values.length, 2);
  });

  test("ends when a state that names it is forgotten, and not with another", () => {
    const actor = actorFor();
    const first = write(actor, nothing);
    actor.forget(write(actorFor(), nothing).known);
    assert.equal(write(actor, nothing).value.dot.actor, first.value.dot.actor);
    actor.forget(first.known);
    assert.notEqual(write(actor, nothing).value.dot.actor, first.value.dot.actor);
  });

  test("ends when an event is named that may never be stored: nothing follows that", () => {
    const actor = actorFor();
    const first = write(actor, nothing);
    const drawn = actor.draw(7);
    assert.equal(drawn.dot.counter, 7);
    const next = write(actor, first.known);
    for (const { actor: former } of [first.value.dot, drawn.dot]) assert.notEqual(next.value.dot.actor, former);
  });

  test("is that of the client's write id where there is one, the same each time", () => {
    const actor = actorFor();
    const writeId = "0123456789abcdef";
    const first = write(actor, nothing, { writeId });
    assert.deepEqual(first.value.dot, { actor: actorOfWriteId(key, writeId), counter: 1 });
    assert.deepEqual(write(actor, first.known, { writeId }).value.dot, first.value.dot);
    const lww = actor.mint(
      { key, known: nothing, coverage: nothingSeen, value: { ...value, kind: "lww" }, writeId },
      1,
      50,
    );
    assert.equal(lww.writeIdIgnored, true);
  });
});
