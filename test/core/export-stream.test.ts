import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { encodeVersioned } from "../../core/causality/encoding.ts";
import type { ActorId, Key } from "../../core/identity.ts";
import { type ExportItem, exportStream, type ImportItem, readExport } from "../../core/storage/export-stream.ts";
import { collected } from "../support/collected.ts";
import { failsWith, utf8 } from "../support/values.ts";

const head = {
  cluster: "c",
  node: "n",
  kind: "edge",
  atMs: 5,
  partitions: 0,
  marks: new Uint8Array(0),
  foundings: [],
} as const;

function stateOf(i: number): Uint8Array {
  const dot = { actor: "00000000000000aa" as ActorId, counter: i + 1 };
  const value = { dot, stamp: 1, kind: "opaque", tombstone: false, contentType: "t", body: utf8(`v${i}`) } as const;
  return encodeVersioned({ vector: [{ ...dot, timeMs: 0 }], values: [value] });
}

async function* items(count: number): AsyncGenerator<ExportItem> {
  for (let i = 0; i < count; i++) {
    if (i % 5 === 4) yield { kind: "write", row: utf8(`row ${i}`) };
    else if (i % 7 === 6) yield { kind: "damaged" };
    else yield { kind: "state", key: `b/k${i}` as Key, state: stateOf(i), contexts: [`c${i}`] };
  }
}

async function bytesOf(count: number): Promise<Uint8Array> {
  return Buffer.concat(await collected(exportStream(head, items(count))));
}

async function* pieces(all: Uint8Array, sizes: readonly number[] = [all.length]): AsyncGenerator<Uint8Array> {
  for (let at = 0, i = 0; at < all.length; i++) {
    const size = sizes[i % sizes.length]!;
    yield all.subarray(at, at + size);
    at += size;
  }
}

const read = (source: AsyncIterable<Uint8Array>): Promise<ImportItem[]> => collected(readExport(source));

describe("an export", () => {
  test("is read as it was written, in whatever pieces it comes", async () => {
    const all = await bytesOf(20);
    const whole = await read(pieces(all));
    assert.deepEqual(
      whole.map(({ kind }) => kind).filter((kind) => kind !== "state"),
      ["head", "write", "write", "write", "write", "end"],
    );
    const sizes = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 10 });
    await fc.assert(
      fc.asyncProperty(sizes, async (each) => assert.deepEqual(await read(pieces(all, each)), whole)),
      { numRuns: 50 },
    );
  });

  test("that is cut anywhere, or of which a bit is flipped, is refused, and what comes before it is told", async () => {
    const all = await bytesOf(9);
    const whole = await read(pieces(all));
    const change = fc.record({ at: fc.nat(all.length - 1), bit: fc.nat(7), cuts: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(change, async ({ at, bit, cuts }) => {
        const changed = cuts
          ? all.slice(0, at)
          : Uint8Array.from(all, (byte, i) => (i === at ? byte ^ (1 << bit) : byte));
        const told: ImportItem[] = [];
        const reading = (async () => {
          for await (const item of readExport(pieces(changed, [64]))) told.push(item);
        })();
        await assert.rejects(reading, failsWith("bad-request"));
        assert.deepEqual(told, whole.slice(0, told.length));
        assert.ok(told.length < whole.length);
      }),
      { numRuns: 300 },
    );
  });

  test("of which frames are missing, twice or in another order is refused", async () => {
    const frames = await collected(exportStream(head, items(9)));
    const join = (order: readonly number[]) => pieces(Buffer.concat(order.map((i) => frames[i]!)));
    const last = frames.length - 1;
    const inOrder = frames.map((_, i) => i);
    assert.equal((await read(join(inOrder))).length, frames.length);
    for (const order of [
      inOrder.filter((i) => i !== 2),
      [0, 1, 1, ...inOrder.slice(2)],
      [0, 2, 1, ...inOrder.slice(3)],
      inOrder.slice(1),
      [...inOrder, last],
      [0, ...inOrder],
    ]) {
      await assert.rejects(read(join(order)), failsWith("bad-request"), order.join());
    }
  });

  test("is not made of what is none: empty, text, or of another version", async () => {
    await assert.rejects(read(pieces(new Uint8Array(0))), failsWith("bad-request"));
    await assert.rejects(read(pieces(utf8("x".repeat(100_000)))), failsWith("bad-request"));
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 500 }), (noise) =>
        assert.rejects(read(pieces(noise)), failsWith("bad-request")),
      ),
      { numRuns: 100 },
    );
  });
});
