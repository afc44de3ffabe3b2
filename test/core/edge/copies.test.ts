/** How an edge's copies of documents lie on its disk: large updates apart, so that an edit is written without them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { actorFromRandom } from "../../../core/causality/actor.ts";
import { type LiveValue, mint, nothing, nothingSeen, type Versioned } from "../../../core/causality/version-set.ts";
import { Copies, noCopy } from "../../../core/edge/copies.ts";
import type { Copy } from "../../../core/edge/copy-row.ts";
import type { OwnActor } from "../../../core/edge/own-actor.ts";
import type { Key, NodeId } from "../../../core/identity.ts";
import { locate } from "../../../core/placement/locate.ts";
import type { Namespace, StorageOperation } from "../../../core/ports.ts";
import { MemoryStorage } from "../../../core/storage/memory-storage.ts";
import { RecordStore } from "../../../core/storage/record-store.ts";
import { FaultyStorage } from "../../support/faulty-storage.ts";
import { failsWith } from "../../support/values.ts";

const actor = actorFromRandom(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
const located = locate("notes/plän" as Key, 1);
const large = 100_000;

/** Counts what is to be written. */
class CountingStorage extends FaultyStorage {
  written = 0;

  override batch(operations: readonly StorageOperation[], durability: "synced" | "buffered"): Promise<void> {
    for (const each of operations) if (each.kind === "put") this.written += each.value.length;
    return super.batch(operations, durability);
  }
}

async function opened(storage: FaultyStorage, isPinned = true) {
  const events: string[] = [];
  const copies = new Copies(
    {
      self: "e1" as NodeId,
      records: new RecordStore(storage),
      actor: { forget: () => {}, drop: () => {} } as unknown as OwnActor,
      telemetry: { event: ({ kind }) => events.push(kind) },
      isPinned: () => isPinned,
    },
    { copyBytesMax: 1, cacheBytesMax: 0 },
  );
  await copies.open();
  return { copies, events, read: () => copies.get(located), store: (copy: Copy) => stored(copies, copy) };
}

const stored = (copies: Copies, copy: Copy): Promise<void> =>
  copies.store(located, copy, { more: [], ifFull: () => {} });

function update(counter: number, bytes: number): LiveValue {
  const body = new Uint8Array(bytes).fill(counter);
  return { dot: { actor, counter }, stamp: counter, kind: "yjs", tombstone: false, contentType: "x", body };
}

/** Updates of so many bytes, one after the other. */
function copyOf(...bytes: readonly number[]): Copy {
  return { state: bytes.reduce<Versioned>((state, each, i) => edited(state, i + 1, each), nothing), contexts: [] };
}

function edited(state: Versioned, counter: number, bytes: number, folds: readonly number[] = []): Versioned {
  const dots = folds.map((fold) => ({ actor, counter: fold }));
  return mint(state, nothingSeen, update(counter, bytes), dots);
}

async function rows(storage: FaultyStorage, ns: Namespace): Promise<number> {
  return (await storage.page(ns, { limit: 100 })).rows.length;
}

test("of a large document each edit writes little, and what a restart finds is all of it", async () => {
  const storage = new CountingStorage(new MemoryStorage());
  const { copies, read, store } = await opened(storage);
  await store(copyOf(large, 500));
  for (const copy of [copyOf(large, 500, 300), copyOf(large, 500, 300, 200)]) {
    storage.written = 0;
    await store(copy);
    assert.ok(storage.written < 2_000, `${storage.written} bytes were written`);
    assert.deepEqual(await read(), copy);
  }
  const after = await opened(storage);
  assert.deepEqual(await after.read(), copyOf(large, 500, 300, 200));
  assert.equal(after.copies.bytes, copies.bytes);
  assert.ok(copies.bytes > large);
  storage.written = 0;
  await after.store(copyOf(large, 500));
  assert.ok(storage.written < 2_000, `${storage.written} bytes were written`);
});

test("updates that were folded leave the disk, and so does all of a copy that goes", async () => {
  const storage = new CountingStorage(new MemoryStorage());
  const { copies, read, store } = await opened(storage, false);
  const { state } = copyOf(large, large, large);
  await store({ state, contexts: [] });
  assert.equal(await rows(storage, "meta"), 3);
  const folded = { state: edited(state, 4, 2 * large, [1, 3]), contexts: [] };
  await store(folded);
  assert.equal(await rows(storage, "meta"), 2);
  assert.deepEqual(await read(), folded);
  await copies.evict(located);
  assert.equal((await rows(storage, "meta")) + (await rows(storage, "objects")), 0);
  assert.equal(copies.bytes, 0);
  await store(folded);
  await store(noCopy);
  assert.equal((await rows(storage, "meta")) + (await rows(storage, "objects")), 0);
});

for (const how of ["damaged", "missing"] as const) {
  test(`a copy of which a part is ${how} is none, and the next one is written whole`, async () => {
    const storage = new CountingStorage(new MemoryStorage());
    await (await opened(storage)).store(copyOf(large, large, 500));
    const [part] = (await storage.page("meta", { limit: 1 })).rows;
    const { store, read, events } = await opened(storage);
    if (how === "damaged") await storage.rot("meta", part!.key);
    else await storage.batch([{ kind: "delete", ns: "meta", key: part!.key }], "synced");
    assert.equal(await read(), noCopy);
    assert.deepEqual(events, ["corrupt-record"]);
    await store(copyOf(large, large, 500));
    assert.deepEqual(await (await opened(storage)).read(), copyOf(large, large, 500));
  });
}

for (const isWritten of [false, true]) {
  test(`what a disk refused, though it may ${isWritten ? "" : "not "}have taken it, is written with the next change`, async () => {
    const storage = new CountingStorage(new MemoryStorage());
    const { copies, store } = await opened(storage);
    await store(copyOf(large));
    storage.writesWhatItRefuses = isWritten;
    storage.refusesWrites = "full";
    const folded = { state: edited(copyOf(large).state, 2, large + 1, [1]), contexts: [] };
    await store(folded);
    storage.refusesWrites = "io";
    const next = { state: edited(folded.state, 3, large), contexts: [] };
    await assert.rejects(stored(copies, next), failsWith("internal"));
    storage.refusesWrites = undefined;
    await store(next);
    assert.equal(await rows(storage, "meta"), 2);
    assert.deepEqual(await (await opened(storage)).read(), next);
  });
}

test("parts that an older release left are removed: those of a copy that it dropped, and of one that it wrote whole", async () => {
  const storage = new CountingStorage(new MemoryStorage());
  await (await opened(storage)).store(copyOf(large, 500));
  await storage.batch([{ kind: "delete", ns: "objects", key: located.row }], "synced");
  await opened(storage);
  assert.equal(await rows(storage, "meta"), 0);
  const whole = new CountingStorage(new MemoryStorage());
  await (await opened(whole)).store(copyOf(500));
  const [row] = (await whole.page("objects", { limit: 1 })).rows;
  await (await opened(storage)).store(copyOf(large, 500));
  await storage.batch([{ kind: "put", ns: "objects", ...row! }], "synced");
  const { read, store } = await opened(storage);
  assert.deepEqual(await read(), copyOf(500));
  await store(copyOf(500, 300));
  assert.equal(await rows(storage, "meta"), 0);
});
