/** Writers of one thread, and how their flushes fall. All times are of a clock that the test moves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Durability, StorageOperation } from "../../core/ports.ts";
import { MemoryStorage } from "../../core/storage/memory-storage.ts";
import { RecordStore } from "../../core/storage/record-store.ts";
import { put, text } from "../conformance/storage.ts";
import { ManualClock } from "../support/manual-clock.ts";

const writers = 8;

/** A disk on which every flush takes so long. */
class TimedStorage extends MemoryStorage {
  readonly sizes: number[] = [];
  readonly #clock: ManualClock;
  flushMs = 0;

  constructor(clock: ManualClock) {
    super();
    this.#clock = clock;
  }

  override async batch(operations: readonly StorageOperation[], durability: Durability): Promise<void> {
    this.sizes.push(operations.length);
    await wait(this.#clock, this.flushMs);
    return super.batch(operations, durability);
  }
}

/** Shared by all who begin to wait at the same moment: they go on in one task. */
class Turns {
  readonly #clock: ManualClock;
  readonly #ms: number;
  #sinceMs = -1;
  #turn: Promise<void> = Promise.resolve();

  constructor(clock: ManualClock, ms: number) {
    this.#clock = clock;
    this.#ms = ms;
  }

  next(): Promise<void> {
    if (this.#clock.now() > this.#sinceMs) this.#turn = wait(this.#clock, this.#ms);
    this.#sinceMs = this.#clock.now();
    return this.#turn;
  }
}

function wait(clock: ManualClock, ms: number): Promise<void> {
  return new Promise((resolve) => void clock.after(ms, resolve));
}

/** Sizes of the last flushes of writers who write again `turnMs` after each answer. */
async function flushed(halvesFrom: number, turnMs: number, flushesMs: readonly number[]): Promise<number[]> {
  const clock = new ManualClock();
  const storage = new TimedStorage(clock);
  const store = new RecordStore(storage, { clock, halvesFrom });
  const turns = new Turns(clock, turnMs);
  const state = { goesOn: true };
  const lanes = Array.from({ length: writers }, async (_, lane) => {
    for (let i = 0; state.goesOn; i += 1) {
      await store.commit([put(text(`${lane}.${i}`), text("v"))]);
      await turns.next();
    }
  });
  for (const flushMs of flushesMs) {
    storage.flushMs = flushMs;
    for (let i = 0; i < 2_000; i += 1) await clock.advance(1);
  }
  state.goesOn = false;
  for (let i = 0; i < 100; i += 1) await clock.advance(1);
  await Promise.all(lanes);
  return storage.sizes.slice(-20, -3);
}

const all = (sizes: readonly number[], size: number): boolean => sizes.every((each) => each === size);

test("writers of one thread are flushed in halves while the disk is faster than they are", async () => {
  const fast = await flushed(writers, 6, [4]);
  assert.ok(all(fast, writers / 2), fast.join());
});

test("and together where the disk is slower, also when it becomes so, and where they are few", async () => {
  for (const [halvesFrom, flushesMs] of [
    [writers, [10]],
    [writers, [4, 20]],
    [writers + 1, [4]],
  ] as const) {
    const sizes = await flushed(halvesFrom, 6, flushesMs);
    assert.ok(all(sizes, writers), sizes.join());
  }
});
