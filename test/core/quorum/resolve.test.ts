import assert from "node:assert/strict";
import { test } from "node:test";
import { StoreError } from "../../../core/errors.ts";
import { parseQuorum, resolveQuorum } from "../../../core/quorum/resolve.ts";
import { failsWith } from "../../support/values.ts";

test("a quorum is the majority of the replicas there are, one is one, all is all", () => {
  assert.deepEqual(
    [1, 2, 3, 4, 5].map((replicas) => resolveQuorum("quorum", replicas, "r")),
    [1, 2, 2, 3, 3],
  );
  assert.equal(resolveQuorum("one", 3, "w"), 1);
  assert.equal(resolveQuorum("all", 3, "w"), 3);
  assert.equal(resolveQuorum(2, 3, "w"), 2);
});

test("a number above the replicas there are fails at once and says how many there are", () => {
  assert.throws(
    () => resolveQuorum(4, 3, "w"),
    (error: unknown) =>
      error instanceof StoreError &&
      error.code === "quorum-not-met" &&
      error.detail.needed === 4 &&
      error.detail.got === 0 &&
      /w=4.*the 3 there are/.test(error.message),
  );
});

test("a quorum that is no number from 1 is a bad request, in a program as in a text", () => {
  for (const spec of [0, -1, 1.5, Number.NaN]) {
    assert.throws(() => resolveQuorum(spec, 3, "r"), failsWith("bad-request"));
  }
  for (const text of ["", "0", "-1", "01", "1.5", "majority", "100000"]) {
    assert.throws(() => parseQuorum(text, "r"), failsWith("bad-request"));
  }
  assert.deepEqual(
    ["one", "quorum", "all", "7"].map((text) => parseQuorum(text, "r")),
    ["one", "quorum", "all", 7],
  );
});
