import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fromBase64url, toBase64url } from "../../../core/bytes/base64url.ts";
import { DecodeError, field, message } from "../../../core/bytes/codec.ts";
import { makeKey } from "../../../core/bytes/key.ts";
import { CONTEXT_CHARS_MAX, contextSecret, openContext, sealContext } from "../../../core/causality/context.ts";
import { contextOf, COVERAGE_ENTRIES_MAX, mint, nothing, nothingSeen } from "../../../core/causality/version-set.ts";
import { sealedContext } from "../../../core/rpc/common-messages.ts";
import { actor, value } from "./samples.ts";

const key = makeKey("carts", "alice");
const secret = contextSecret(new Uint8Array(32).fill(1));
const other = contextSecret(new Uint8Array(32).fill(2));
const read = contextOf(
  mint(mint(nothing, nothingSeen, value(1, 70_000, 10)), nothingSeen, value(2, 1, 20, { kind: "lww" })),
);
const sealed = sealContext(read, key, secret);

const badContext = (pattern: RegExp) => ({ name: "StoreError", code: "bad-context", message: pattern });

test("a context opens to what was sealed, under any secret of the cluster", () => {
  assert.deepEqual(openContext(sealed, key, [secret]), read);
  assert.deepEqual(openContext(sealed, key, [other, secret]), read);
  assert.deepEqual(openContext(sealContext(nothingSeen, key, other), key, [secret, other]), nothingSeen);
  assert.match(sealed, /^[\w-]+$/);
});

test("a context keeps its golden bytes: clients hold them across versions", () => {
  assert.equal(
    sealContext({ vector: [{ actor: actor(1), counter: 3 }], stamp: 5, kinds: ["opaque"] }, key, secret),
    "CgTN1CvmEgS27MQiGhCrhX6Dsn9F-guDhqriglzDIhIKDAoIAAAAAAAAAAEQAxAFGAA",
  );
});

test("a context travels between nodes as the bytes that it spells, and arrives letter for letter", () => {
  const Carrier = message("Carrier", { context: field(1, sealedContext) });
  const encoded = Carrier.encode({ context: sealed });
  assert.ok(encoded.length < 0.8 * sealed.length);
  assert.deepEqual(Carrier.decode(encoded), { context: sealed });
  assert.throws(() => Carrier.encode({ context: "no base64url!" }), RangeError);
  const tooLong = Uint8Array.of(0x0a, 0x81, 0x80, 0x02, ...new Uint8Array(32_769));
  assert.throws(() => Carrier.decode(tooLong), DecodeError);
});

test("a context for another key, forged, cut short or not a context at all is refused with the reason", () => {
  const bytes = fromBase64url(sealed)!;
  const flipped = bytes.with(bytes.length - 1, bytes.at(-1)! ^ 1);
  const renamed = fromBase64url(sealContext(read, makeKey("carts", "bob"), secret))!;
  renamed.set(bytes.subarray(8, 12), 8); // the name of its key
  const cases: [text: string, reason: RegExp][] = [
    [sealContext(read, makeKey("carts", "bob"), secret), /was given for another key/],
    [sealContext(read, key, other), /under a secret that this cluster does not know/],
    [toBase64url(flipped), /has a wrong seal/],
    [toBase64url(renamed), /has a wrong seal/],
    [
      toBase64url(bytes.subarray(0, bytes.length - 1)),
      /is truncated or damaged \(Context\.coverage: \d+ bytes announced/,
    ],
    [sealed.slice(0, 4), /is truncated or damaged/],
    [sealed.slice(0, 5), /is not base64url, or was cut short/],
    ["", /is truncated or damaged/],
    ["not a context!", /is not base64url/],
    [`${sealed}=`, /is not base64url/],
    ["A".repeat(CONTEXT_CHARS_MAX + 1), /is longer than 32768 characters/],
  ];
  for (const [text, reason] of cases) assert.throws(() => openContext(text, key, [secret]), badContext(reason), text);
});

test("no prefix of a context and no change of one of its characters opens", () => {
  for (let at = 0; at < sealed.length; at++) {
    assert.throws(() => openContext(sealed.slice(0, at), key, [secret]), badContext(/./));
    const changed = sealed.slice(0, at) + (sealed[at] === "A" ? "B" : "A") + sealed.slice(at + 1);
    assert.throws(() => openContext(changed, key, [secret]), badContext(/./));
  }
});

test("the largest context fits its limit", () => {
  const vector = Array.from({ length: COVERAGE_ENTRIES_MAX }, (_, n) => ({
    actor: actor(n),
    counter: Number.MAX_SAFE_INTEGER,
  }));
  const largest = { vector, stamp: Number.MAX_SAFE_INTEGER, kinds: ["lww", "opaque", "yjs"] as const };
  const text = sealContext(largest, key, secret);
  assert.ok(text.length <= CONTEXT_CHARS_MAX, `${text.length} characters`);
  assert.deepEqual(openContext(text, key, [secret]), largest);
});

test("base64url is that of the platform, and has one spelling for each byte string", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 50 }), (bytes) => {
      const text = toBase64url(bytes);
      assert.equal(text, Buffer.from(bytes).toString("base64url"));
      assert.deepEqual(fromBase64url(text), bytes);
    }),
  );
  fc.assert(
    fc.property(fc.string({ maxLength: 8 }), (text) => {
      const bytes = fromBase64url(text);
      if (bytes !== undefined) assert.equal(toBase64url(bytes), text);
    }),
  );
  for (const text of ["A", "AB", "AA=", "A+==", "AAé", "AAAAA"]) assert.equal(fromBase64url(text), undefined, text);
});
