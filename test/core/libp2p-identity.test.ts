import "../../node-host/polyfill.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import { StoreError } from "../../core/errors.ts";
import { makeKey, readKey } from "../../core/libp2p/identity.ts";

test("a key is the same after it was kept, and no two are alike", async () => {
  const [bytes, other] = [await makeKey(), await makeKey()];
  assert.equal(readKey(bytes).publicKey.toString(), readKey(bytes.slice()).publicKey.toString());
  assert.notEqual(readKey(bytes).publicKey.toString(), readKey(other).publicKey.toString());
});

test("a key that is damaged is a typed error, and no other one is made", async () => {
  const bytes = await makeKey();
  for (const damaged of [new Uint8Array(0), bytes.subarray(0, 20), new Uint8Array(200).fill(7)]) {
    assert.throws(
      () => readKey(damaged),
      (error: unknown) => error instanceof StoreError && error.code === "corrupt",
    );
  }
});
