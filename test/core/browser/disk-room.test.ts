/** What a page does to learn whether a full disk has room again: in a cache that says what the test wants. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, mock, test } from "node:test";
import { DiskRoom, endRoomTries } from "../../../core/browser/disk-room.ts";
import { openIndexedDbStorage } from "../../../core/browser/indexeddb-storage.ts";
import { isKind, put, text } from "../../conformance/storage.ts";
import { installFakeIndexedDb } from "../../support/fake-indexeddb.ts";
import { ManualClock } from "../../support/manual-clock.ts";

installFakeIndexedDb();

const estimate = async () => ({ usage: 4_096, quota: 1_000_000 });

/** Of one cache: how often it was written, and whether something is in it. */
class FakeCaches {
  puts = 0;
  isThere = false;
  answer: () => Promise<void> = async () => {};
  opening: () => Promise<void> = async () => {};

  async open(): Promise<unknown> {
    await this.opening();
    const put = async (): Promise<void> => {
      this.puts += 1;
      this.isThere = true;
      await this.answer();
    };
    return { put };
  }

  async delete(): Promise<boolean> {
    const { isThere } = this;
    this.isThere = false;
    return isThere;
  }
}

const refusal = (name: string) => () => Promise.reject(new DOMException("planned", name));

describe("the room of a disk", () => {
  let caches: FakeCaches;
  let clock: ManualClock;
  let room: DiskRoom;
  beforeEach(() => {
    caches = new FakeCaches();
    Object.assign(globalThis, { caches });
    clock = new ManualClock();
    room = new DiskRoom(clock);
  });
  afterEach(() => void Reflect.deleteProperty(globalThis, "caches"));

  test("is tried once for all who ask within some seconds after a no, and anew for each after a yes", async () => {
    caches.answer = refusal("QuotaExceededError");
    for (let i = 0; i < 10; i++) assert.equal(await room.isThere(), false);
    assert.equal(caches.puts, 1);
    await clock.advance(2_999);
    assert.equal(await room.isThere(), false);
    assert.equal(caches.puts, 1);
    caches.answer = async () => {};
    await clock.advance(1);
    assert.equal(await room.isThere(), true);
    assert.equal(await room.isThere(), true);
    assert.equal(caches.puts, 3);
    assert.ok(!caches.isThere);
    assert.deepEqual(clock.pendingMs, []);
  });

  test("is denied where the browser does not answer, and not tried again meanwhile; an answer that comes late is heard", async () => {
    let answer = (): void => {};
    caches.answer = () =>
      new Promise((resolve) => {
        answer = resolve;
      });
    for (let i = 0; i < 3; i++) {
      const asked = room.isThere();
      await clock.advance(500);
      assert.equal(await asked, false);
      await clock.advance(10_000);
    }
    assert.equal(caches.puts, 1);
    answer();
    await clock.advance(0);
    assert.equal(await room.isThere(), true);
    assert.equal(caches.puts, 1);
  });

  test("is not in question where a page may not keep anything there, and is where that fails", async () => {
    for (const [name, isThere] of [
      ["SecurityError", true],
      ["UnknownError", false],
    ] as const) {
      caches.opening = refusal(name);
      assert.equal(await new DiskRoom(clock).isThere(), isThere);
    }
  });

  test("is given back that a page took which ended in the middle", async () => {
    caches.isThere = true;
    const storage = await openIndexedDbStorage({ name: "left", estimate, clock });
    await clock.advance(0);
    assert.ok(!caches.isThere);
    await storage.close();
    caches.delete = refusal("UnknownError");
    await endRoomTries();
  });

  test("keeps a store whose browser does not answer from no call, no sign of life and no close longer than half a second", async () => {
    const storage = await openIndexedDbStorage({ name: "hanging", estimate, clock });
    const mocked = mock.method(IDBDatabase.prototype, "transaction", () => {
      mocked.mock.restore();
      throw new DOMException("IO error: FILE_ERROR_NO_SPACE", "UnknownError");
    });
    const write = (): Promise<void> => storage.batch([put(text("a"), text("1"))], "synced");
    await assert.rejects(write(), isKind("full"));
    caches.answer = () => new Promise(() => {});
    const [read, alive] = [storage.get("objects", text("a")), storage.touch()];
    const refused = assert.rejects(read, isKind("full"));
    await clock.advance(500);
    await Promise.all([refused, alive]);
    const rejected = assert.rejects(write(), isKind("closed"));
    await clock.advance(0);
    const closed = storage.close();
    await clock.advance(500);
    await Promise.all([rejected, closed]);
    assert.equal(caches.puts, 1);
  });
});
