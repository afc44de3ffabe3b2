/** The judge of the crash tests is judged: a ledger that cannot complain proves nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Ledger } from "../support/ledger.ts";

const key = "b/k";

test("a ledger misses an acknowledged write that no live value has seen, directly or through others", () => {
  const ledger = new Ledger("b");
  const { number: first } = ledger.begin(key, []);
  const { number: second } = ledger.begin(key, [first]);
  const { number: third } = ledger.begin(key, [second]);
  const { number: blind } = ledger.begin(key, []);
  ledger.acknowledge(first);
  assert.deepEqual(ledger.complaints(key, [third]), []);
  assert.deepEqual(ledger.complaints(key, [first]), []);
  assert.equal(ledger.complaints(key, [blind]).length, 1);
  assert.equal(ledger.complaints(key, []).length, 1);
});

test("a ledger notices a value that is back although an acknowledged write had seen it", () => {
  const ledger = new Ledger("b");
  const { number: first } = ledger.begin(key, []);
  const { number: second } = ledger.begin(key, [first]);
  assert.deepEqual(ledger.complaints(key, [first, second]), []);
  ledger.acknowledge(second);
  assert.equal(ledger.complaints(key, [first, second]).length, 1);
});

test("a ledger knows its own values, whole and under their own key", () => {
  const ledger = new Ledger("b");
  const { number, body } = ledger.begin(key, []);
  assert.deepEqual(ledger.numbersOf(key, [body]), [number]);
  assert.throws(() => ledger.numbersOf("b/other", [body]), /corrupt/);
  for (const damaged of [body.subarray(1), body.map((byte, i) => (i === 9 ? byte ^ 1 : byte)), new Uint8Array()]) {
    assert.throws(() => ledger.numbersOf(key, [damaged]), /corrupt/);
  }
});
