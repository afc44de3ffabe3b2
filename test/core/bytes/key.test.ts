import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compareBytes, equalBytes, equalSecrets } from "../../../core/bytes/compare.ts";
import { fromHex, toHex } from "../../../core/bytes/hex.ts";
import { bucketOf, makeKey, nameOf, parseKey } from "../../../core/bytes/key.ts";

const badRequest = (message: RegExp) => ({ name: "StoreError", code: "bad-request", message });

test("a key is bucket/name, and the name may hold further slashes", () => {
  const key = parseKey("carts/alice/ä😀");
  assert.deepEqual([bucketOf(key), nameOf(key)], ["carts", "alice/ä😀"]);
  assert.equal(makeKey("carts", "alice/ä😀"), key);
});

test("what is no key is refused with the reason", () => {
  assert.throws(() => parseKey(""), badRequest(/needs a "\/" between bucket and name/));
  assert.throws(() => parseKey("carts"), badRequest(/needs a "\/"/));
  assert.throws(() => parseKey("/alice"), badRequest(/empty bucket/));
  assert.throws(() => parseKey("carts/"), badRequest(/empty name/));
  assert.throws(() => makeKey("a/b", "c"), badRequest(/"\/" in its bucket "a\/b"/));
  for (const name of ["\ud800", "\udc00", "\udc00\ud800", "a\ud83d"]) {
    assert.throws(() => makeKey("b", name), badRequest(/lone surrogate/));
  }
});

test("a key takes at most 1,024 bytes of UTF-8, not characters", () => {
  for (const [unit, bytes] of [
    ["a", 1],
    ["ä", 2],
    ["€", 3],
    ["😀", 4],
  ] as const) {
    const count = Math.floor(1022 / bytes);
    const filler = "x".repeat(1022 - count * bytes);
    assert.equal(Buffer.byteLength(makeKey("b", unit.repeat(count) + filler)), 1024);
    assert.throws(() => makeKey("b", `${unit.repeat(count)}${filler}x`), badRequest(/takes 1025 bytes of UTF-8/));
  }
});

test("byte strings are ordered as storage orders them", () => {
  const short = fc.uint8Array({ maxLength: 4, max: 3 });
  fc.assert(
    fc.property(short, short, (a, b) => {
      const expected = Buffer.compare(a, b);
      assert.equal(Math.sign(compareBytes(a, b)), expected);
      assert.equal(equalBytes(a, b), expected === 0);
      assert.equal(equalSecrets(a, b), expected === 0);
    }),
  );
});

test("hex digits are those of the platform; upper case, odd length and other characters are refused", () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      assert.equal(toHex(bytes), Buffer.from(bytes).toString("hex"));
      assert.deepEqual(fromHex(toHex(bytes)), bytes);
    }),
  );
  for (const digits of ["a", "AB", "0g", "g0", " 0", "0é"]) assert.equal(fromHex(digits), undefined);
});
