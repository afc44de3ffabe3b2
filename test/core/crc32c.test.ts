import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { crc32c } from "../../core/storage/crc32c.ts";

const unsigned = (crc: number) => crc >>> 0;

test("crc32c gives the published check values (RFC 3720 B.4)", () => {
  assert.equal(unsigned(crc32c(Buffer.from("123456789"))), 0xe3069283);
  assert.equal(unsigned(crc32c(new Uint8Array(32))), 0x8a9136aa);
  assert.equal(unsigned(crc32c(new Uint8Array(32).fill(0xff))), 0x62a8ab43);
  assert.equal(unsigned(crc32c(Uint8Array.from({ length: 32 }, (_, at) => at))), 0x46dd794e);
  assert.equal(crc32c(new Uint8Array()), 0);
});

test("crc32c equals the bit-by-bit definition for every length, and may be continued at any cut", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(80), (bytes, cut) => {
      assert.equal(crc32c(bytes), bitByBit(bytes));
      assert.equal(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut))), crc32c(bytes));
    }),
  );
});

function bitByBit(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc;
}
