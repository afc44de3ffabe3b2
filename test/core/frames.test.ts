import assert from "node:assert/strict";
import { it } from "node:test";
import * as fc from "fast-check";
import { FrameQueue } from "../../core/rpc/frame-queue.ts";
import { defaultFrameLimits, FrameError, FrameReader, type FrameLimits, type Message } from "../../core/rpc/frames.ts";

const limits: FrameLimits = { messageBytesMax: 300_000, assemblyBytesMax: 600_000 };

const id = fc.integer({ min: 0, max: 0xffffffff });
/** Mostly small; some of several pieces. */
const body = fc.oneof(
  { weight: 8, arbitrary: fc.uint8Array({ maxLength: 300 }) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.integer({ min: 60_000, max: 300_000 }), fc.nat(255))
      .map(([n, b]) => new Uint8Array(n).fill(b)),
  },
);
const reason = fc.string({ maxLength: 100 });
const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({
    kind: fc.constant("request" as const),
    id,
    deadlineMs: fc.integer({ min: 1000, max: 100_000 }),
    body,
  }),
  fc.record({ kind: fc.constant("response" as const), id, body }),
  fc.record({ kind: fc.constantFrom("failed" as const, "refused" as const), id, reason }),
  fc.record({ kind: fc.constantFrom("ping" as const, "pong" as const, "bye" as const), id }),
);
/** Ids are unique, as whoever asks guarantees. */
const messages = fc.uniqueArray(message, { maxLength: 30, selector: (one) => one.id });

function encode(all: readonly Message[], nowMs = 0, writeBytes = 1 << 16): Uint8Array {
  const queue = new FrameQueue(limits);
  for (const one of all) queue.push(one);
  const writes: Uint8Array[] = [];
  for (let write = queue.take(writeBytes, nowMs); write !== undefined; write = queue.take(writeBytes, nowMs))
    writes.push(write);
  assert.equal(queue.bytes, 0);
  assert.ok(queue.empty);
  return Buffer.concat(writes);
}

/** A reader with what it has read. */
function reading(frameLimits: FrameLimits = limits): { reader: FrameReader; read: Message[] } {
  const read: Message[] = [];
  return { reader: new FrameReader(frameLimits, (one) => read.push(one)), read };
}

function decode(chunks: Iterable<Uint8Array>, nowMs = 0): Message[] {
  const { reader, read } = reading();
  for (const chunk of chunks) reader.read(chunk, nowMs);
  assert.equal(reader.heldBytes, 0);
  return read;
}

function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length]!;
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return chunks;
}

/** Big ones arrive later than small ones: compare as sets. */
function byId(all: readonly Message[]): unknown[] {
  return all
    .map((one) => ("body" in one ? { ...one, body: Buffer.from(one.body).toString("base64") } : { ...one }))
    .toSorted((a, b) => a.id - b.id);
}

function frame(kind: number, rest: readonly number[], length = rest.length + 5, frameId = 1): Uint8Array {
  return Uint8Array.of(...uint32(length), kind, ...uint32(frameId), ...rest);
}

function uint32(n: number): number[] {
  return [(n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];
}

it("what is written is read, wherever the chunks are cut", () => {
  fc.assert(
    fc.property(
      messages,
      fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 8 }),
      (all, sizes) => {
        assert.deepEqual(byId(decode(cut(encode(all), sizes))), byId(all));
      },
    ),
    { numRuns: 150 },
  );
});

it("a chunk of one byte at a time is enough", () => {
  fc.assert(
    fc.property(fc.uniqueArray(message, { maxLength: 4, selector: (one) => one.id }), (all) => {
      const small = all.filter((one) => !("body" in one) || one.body.length < 1000);
      assert.deepEqual(byId(decode(cut(encode(small), [1]))), byId(small));
    }),
    { numRuns: 30 },
  );
});

it("small messages keep their order, and overtake the pieces of a big one", () => {
  const big: Message = { kind: "response", id: 1, body: new Uint8Array(300_000) };
  const small = [2, 3, 4].map((n): Message => ({ kind: "ping", id: n }));
  const read = decode([encode([big, ...small], 0, 1024)]);
  assert.deepEqual(
    read.map((one) => one.id),
    [2, 3, 4, 1],
  );
});

it("big ones advance although small ones never end", () => {
  const queue = new FrameQueue(limits);
  const big = queue.push({ kind: "response", id: 1, body: new Uint8Array(300_000) });
  for (let n = 0; n < 10 && big.state !== "sent"; n += 1) {
    for (let m = 0; m < 100; m += 1) queue.push({ kind: "response", id: 2, body: new Uint8Array(100) });
    queue.take(1024, 0);
  }
  assert.equal(big.state, "sent");
});

it("a deadline travels as the time that is left when it is written", () => {
  const request: Message = { kind: "request", id: 1, deadlineMs: 1500, body: new Uint8Array(1) };
  const [read] = decode([encode([request], 1200)], 77_000);
  assert.equal(read?.kind === "request" && read.deadlineMs, 77_300);
});

it("an item is dropped only before its first byte was taken, and costs nothing afterwards", () => {
  const queue = new FrameQueue(limits);
  const items = [1, 2, 3].map((n) => queue.push({ kind: "request", id: n, deadlineMs: 0, body: new Uint8Array(100) }));
  const big = queue.push({ kind: "request", id: 4, deadlineMs: 0, body: new Uint8Array(200_000) });
  assert.ok(queue.drop(items[1]!));
  assert.ok(!queue.drop(items[1]!));
  const { reader, read } = reading();
  reader.read(queue.take(1, 0)!, 0);
  assert.deepEqual(
    read.map((one) => one.id),
    [1],
  );
  assert.ok(!queue.drop(items[0]!));
  assert.ok(!queue.drop(big), "its first piece went with the small one");
  assert.equal(big.state, "queued");
});

it("a big item that waits for its turn costs nothing when it is dropped, is not sent, and leaves its turn to the next", () => {
  const queue = new FrameQueue(limits);
  const push = (n: number) => queue.push({ kind: "request", id: n, deadlineMs: 0, body: new Uint8Array(150_000) });
  // Four have turns, of which the first has sent a piece: the fifth waits until one of them is over.
  const items = [1, 2, 3, 4, 5].map(push);
  const { reader, read } = reading();
  reader.read(queue.take(1, 0)!, 0);
  assert.ok(!queue.drop(items[0]!));
  const { bytes } = queue;
  assert.ok(queue.drop(items[1]!));
  assert.ok(!queue.drop(items[1]!));
  assert.ok(bytes - queue.bytes >= 150_000);
  // A piece of each that has a turn: the fifth has that of the second.
  reader.read(queue.take(4 * 64 * 1024, 0)!, 0);
  assert.deepEqual(
    items.map(({ taken }) => taken > 0),
    [true, false, true, true, true],
  );
  assert.ok(queue.drop(push(6)), "as one that has no turn yet");
  for (let write = queue.take(1 << 16, 0); write !== undefined; write = queue.take(1 << 16, 0)) reader.read(write, 0);
  assert.deepEqual(
    read.map(({ id: of }) => of),
    [1, 3, 4, 5],
  );
  assert.deepEqual([queue.bytes, queue.empty, reader.heldBytes], [0, true, 0]);
});

it("frames of kinds that a later version adds are skipped", () => {
  const ping = encode([{ kind: "ping", id: 9 }]);
  const bytes = Buffer.concat([frame(200, [1, 2, 3]), ping, frame(0, [])]);
  assert.deepEqual(decode([bytes]), [{ kind: "ping", id: 9 }]);
});

it("whatever bytes come, a reader ends in a FrameError or goes on, and holds no more than it received, doubled", () => {
  const noise = fc.uint8Array({ maxLength: 2000 });
  const almost = fc
    .tuple(fc.integer({ min: 0, max: 12 }), fc.array(fc.nat(255), { maxLength: 40 }), fc.integer({ min: -3, max: 3 }))
    .map(([kind, rest, slip]) => frame(kind, rest, Math.max(0, rest.length + 5 + slip)));
  fc.assert(
    fc.property(fc.array(fc.oneof(noise, almost), { maxLength: 30 }), (chunks) => {
      const { reader, read } = reading();
      let received = 0;
      try {
        for (const chunk of chunks) {
          received += chunk.length;
          reader.read(chunk, 0);
          assert.ok(reader.heldBytes <= 2 * received + 64, `${reader.heldBytes} held of ${received} received`);
        }
      } catch (error) {
        assert.ok(error instanceof FrameError, String(error));
      }
      assert.ok(read.every((one) => !("body" in one) || one.body.length <= limits.messageBytesMax));
    }),
    { numRuns: 2000 },
  );
});

const zeros = (n: number): number[] => Array.from({ length: n }, () => 0);
const hostile: readonly [string, Uint8Array, FrameError["kind"]][] = [
  ["a frame of 4 GiB", Uint8Array.of(255, 255, 255, 255), "too-long"],
  ["a frame without an id", Uint8Array.of(0, 0, 0, 4, 1, 0, 0, 0), "malformed"],
  ["a body above the limit", frame(2, [...uint32(300_001), 1]), "too-long"],
  ["a request that ends in its header", frame(1, zeros(7)), "malformed"],
  ["a body longer than it said", frame(2, [...uint32(1), 1, 1]), "malformed"],
  ["a body that begins with nothing", frame(2, uint32(1)), "malformed"],
  ["a piece of nothing", Buffer.concat([frame(2, [...uint32(3), 1]), frame(6, [])]), "malformed"],
  ["a piece without a beginning", frame(6, [1]), "malformed"],
  ["a piece of the other direction", Buffer.concat([frame(2, [...uint32(3), 1]), frame(5, [1])]), "malformed"],
  ["more pieces than the body", Buffer.concat([frame(2, [...uint32(3), 1]), frame(6, [1, 1, 1])]), "malformed"],
  ["two bodies of one id", Buffer.concat([frame(2, [...uint32(3), 1]), frame(2, [...uint32(3), 1])]), "malformed"],
  ["five bodies in pieces", Buffer.concat([1, 2, 3, 4, 5].map((n) => frame(2, [...uint32(9), 1], 10, n))), "too-much"],
  [
    "too many bytes in pieces",
    Buffer.concat([1, 2, 3].map((n) => frame(2, [...uint32(250_000), 1], 10, n))),
    "too-much",
  ],
  ["a reason that is not UTF-8", frame(3, [0xff, 0xfe]), "malformed"],
  ["an endless reason", frame(3, zeros(600)), "too-long"],
];

for (const [name, bytes, kind] of hostile) {
  it(`${name} is a FrameError of kind ${kind}, in one chunk or in many`, () => {
    assert.throws(() => decode([bytes]), { name: "FrameError", kind });
    assert.throws(() => decode(cut(bytes, [1])), { name: "FrameError", kind });
  });
}

it("a claimed length costs no memory before its bytes come", () => {
  const { reader } = reading(defaultFrameLimits);
  reader.read(frame(2, [...uint32(64 * 1024 * 1024), 1]), 0);
  reader.read(Uint8Array.of(0, 4, 0, 5, 6), 0);
  assert.ok(reader.heldBytes < 100, `${reader.heldBytes} bytes held`);
});
