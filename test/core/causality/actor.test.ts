import assert from "node:assert/strict";
import { test } from "node:test";
import { makeKey } from "../../../core/bytes/key.ts";
import { actorFromRandom, actorOfEdge, actorOfWriteId, parseWriteId } from "../../../core/causality/actor.ts";
import type { NodeId } from "../../../core/identity.ts";

const alice = makeKey("carts", "alice");
const id = "0123456789abcdef";

test("a fresh actor is its 8 random bytes as hex digits", () => {
  assert.equal(actorFromRandom(Uint8Array.of(0, 1, 2, 3, 252, 253, 254, 255)), "00010203fcfdfeff");
  assert.throws(() => actorFromRandom(new Uint8Array(7)), /invariant/);
});

test("a derived actor is the same wherever it is derived, and another for another key, id, edge or purpose", () => {
  assert.equal(actorOfWriteId(alice, id), "240fd7dba5992791");
  const derived = [
    actorOfWriteId(alice, id),
    actorOfWriteId(alice, "0123456789abcdee"),
    actorOfWriteId(makeKey("carts", "bob"), id),
    actorOfEdge("carts/alice" as NodeId, id),
    actorOfEdge("12D3KooW" as NodeId, id),
  ];
  assert.equal(new Set(derived).size, derived.length);
});

test("a write id is 16 lower-case hex digits", () => {
  assert.equal(parseWriteId(id), id);
  for (const text of ["", "0123", "0123456789ABCDEF", "0123456789abcdefaa", "0123456789abcdeg"]) {
    assert.throws(() => parseWriteId(text), { code: "bad-request" });
  }
});
