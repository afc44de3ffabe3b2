/**
 * What one key weighs in a Merkle tree: 64 bits of its ring position and its clock (PROTOCOL 8).
 *
 * Not a cryptographic hash: it runs once for every key at each start, and SHA-256 alone would take half of that time.
 * Two different clocks of one key agree by chance once in 2^64. Who could construct such a pair must be able to write
 * the key, and gains that a divergence of it goes unrepaired until the next write or read. Nothing is authenticated by it.
 * Invariant: equal for clocks that `sameClock` calls equal, whatever the timestamps of the vector and the bodies.
 */
import type { StateClock } from "../causality/encoding.ts";
import type { Dot, ValueKind } from "../causality/version-set.ts";

/** Two lanes of 32 bits, unsigned. */
export interface Hash64 {
  readonly high: number;
  readonly low: number;
}

export const hashBytes = 8;

const kindNumber: Readonly<Record<ValueKind, number>> = { opaque: 0, lww: 1, yjs: 2 };

/** Hashing is synchronous and never re-entered, so the two lanes are variables of the module. */
let high = 0;
let low = 0;

/** The clock alone: what is the same for one state under any key. */
export function clockHash({ vector, values }: StateClock): Hash64 {
  begin(vector.length, values.length);
  for (const entry of vector) absorbDot(entry);
  for (const value of values) absorbValue(value);
  return end();
}

/** The key's part is its position: the first 16 bytes of its row. */
export function entryHash(row: Uint8Array, clock: Hash64): Hash64 {
  begin(clock.high, clock.low);
  for (let at = 0; at < 16; at += 4) {
    absorb((row[at]! << 24) | (row[at + 1]! << 16) | (row[at + 2]! << 8) | row[at + 3]!);
  }
  return end();
}

/** Any two numbers below 2^32. */
export function hashOfNumbers(a: number, b: number): Hash64 {
  begin(a, b);
  return end();
}

/** Each lane modulo 2^32. */
export function sumOf(hashes: readonly Hash64[]): Hash64 {
  const sum = { high: 0, low: 0 };
  for (const hash of hashes) {
    sum.high = (sum.high + hash.high) >>> 0;
    sum.low = (sum.low + hash.low) >>> 0;
  }
  return sum;
}

export function sameHash(a: Hash64, b: Hash64): boolean {
  return a.high === b.high && a.low === b.low;
}

/** As on the wire: 8 bytes, big-endian, at `index` of a list of them. */
export function writeHash(list: Uint8Array, index: number, hash: Hash64): void {
  const view = new DataView(list.buffer, list.byteOffset + index * hashBytes, hashBytes);
  view.setUint32(0, hash.high);
  view.setUint32(4, hash.low);
}

export function packHashes(hashes: readonly Hash64[]): Uint8Array {
  const list = new Uint8Array(hashes.length * hashBytes);
  hashes.forEach((hash, index) => writeHash(list, index, hash));
  return list;
}

function absorbDot({ actor, counter }: Dot): void {
  for (let at = 0; at < actor.length; at += 4) {
    absorb(
      (actor.charCodeAt(at) << 24) |
        (actor.charCodeAt(at + 1) << 16) |
        (actor.charCodeAt(at + 2) << 8) |
        actor.charCodeAt(at + 3),
    );
  }
  absorbNumber(counter);
}

function absorbValue(value: StateClock["values"][number]): void {
  const { expiresAtMs } = value;
  absorbDot(value.dot);
  absorbNumber(value.stamp);
  absorb(kindNumber[value.kind] | (value.tombstone ? 4 : 0) | (expiresAtMs === undefined ? 0 : 8));
  if (expiresAtMs !== undefined) absorbNumber(expiresAtMs);
}

/** An integer of 0..2^53-1 in two words. */
function absorbNumber(value: number): void {
  absorb(value | 0);
  absorb((value / 2 ** 32) | 0);
}

function begin(a: number, b: number): void {
  high = 0x9e3779b9;
  low = 0x7f4a7c15;
  absorb(a);
  absorb(b);
}

/** MurmurHash3 (Appleby), its 32-bit round in each lane with constants of its own, and each lane fed to the other. */
function absorb(word: number): void {
  high = Math.imul(rotated(high ^ Math.imul(rotated(Math.imul(word, 0xcc9e2d51), 15), 0x1b873593), 13) + low, 5);
  low = Math.imul(rotated(low ^ Math.imul(rotated(Math.imul(word, 0x38b34ae5), 17), 0xa1e38b93), 15) + high, 5);
  high = (high + 0xe6546b64) | 0;
  low = (low + 0x561ccd1b) | 0;
}

function end(): Hash64 {
  high = avalanche(high + low);
  low = avalanche(low + high);
  return { high: (high + low) >>> 0, low: low >>> 0 };
}

/** Every bit of the input changes every bit of the output with probability 1/2: so sums of hashes behave as random. */
function avalanche(lane: number): number {
  let mixed = Math.imul(lane ^ (lane >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

function rotated(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}
