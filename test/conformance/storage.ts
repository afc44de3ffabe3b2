/**
 * What every `Storage` must do, as rules that need no platform, so that pages check them too. In Node a new adapter is
 * proved by `storage-tests.ts`.
 */
import fc from "fast-check";
import { encodeUtf8 } from "lib0/string";
import { toHex } from "../../core/bytes/hex.ts";
import type { KeyRange, Namespace, PageRequest, Row, Storage, StorageOperation } from "../../core/ports.ts";
import { StorageError } from "../../core/ports.ts";
import * as assert from "../support/assert.ts";

export interface Opened {
  readonly storage: Storage;
  /** Closes and opens the same data again; absent where nothing outlives the instance. */
  readonly reopen?: () => Promise<Storage>;
}

const namespaces: readonly Namespace[] = ["objects", "hints", "meta", "merkle"];

export const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
export const text = (value: string): Uint8Array => encodeUtf8(value);
export const hex = (value: Uint8Array | undefined): string | undefined => value && toHex(value);
export const put = (key: Uint8Array, value: Uint8Array, ns: Namespace = "objects"): StorageOperation => ({
  kind: "put",
  ns,
  key,
  value,
});
export const del = (key: Uint8Array, ns: Namespace = "objects"): StorageOperation => ({
  kind: "delete",
  ns,
  key,
});
export const isKind = (kind: string) => (error: unknown) => error instanceof StorageError && error.kind === kind;

/** All rows of a range, page by page; checks what holds for every page. */
async function scan(storage: Storage, ns: Namespace, request: PageRequest): Promise<Row[]> {
  const rows: Row[] = [];
  let range: KeyRange = request;
  for (;;) {
    const page = await storage.page(ns, { ...request, ...range });
    assert.ok(page.rows.length <= request.limit, "a page has no more rows than its limit");
    assert.ok(page.next === null || page.rows.length > 0, "a page that is not the last has a row");
    rows.push(...page.rows);
    if (page.next === null) return rows;
    range = request.reverse ? { lt: page.next } : { gte: page.next };
  }
}

const pairs = (rows: readonly Row[]) => rows.map(({ key, value }) => `${hex(key)}=${hex(value)}`);

/** A sentence of the specification; `check` throws where it does not hold. */
export interface Rule {
  readonly name: string;
  readonly check: () => Promise<void>;
}

/** Its rules share one storage, and are checked in their order, between `open` and `close`. */
export interface StorageSuite {
  readonly rules: readonly Rule[];
  readonly open: () => Promise<void>;
  readonly close: () => Promise<void>;
}

export function storageSuite(openEmpty: () => Promise<Opened>): StorageSuite {
  const rules: Rule[] = [];
  const rule = (name: string, check: () => Promise<void>) => rules.push({ name, check });
  let opened: Opened;
  let storage: Storage;

  rule(
    "a key that was never put is undefined, one that was put has its value, a deleted one is undefined",
    async () => {
      const key = text("a");
      assert.equal(await storage.get("objects", key), undefined);
      await storage.batch([put(key, text("1"))], "synced");
      assert.equal(hex(await storage.get("objects", key)), hex(text("1")));
      await storage.batch([del(key)], "synced");
      assert.equal(await storage.get("objects", key), undefined);
    },
  );

  rule("namespaces do not see each other's keys", async () => {
    const key = text("shared");
    for (const ns of namespaces) await storage.batch([put(key, text(ns), ns)], "buffered");
    for (const ns of namespaces) assert.equal(hex(await storage.get(ns, key)), hex(text(ns)));
    await storage.batch([del(key, "hints")], "buffered");
    assert.equal(await storage.get("hints", key), undefined);
    assert.deepEqual(pairs(await scan(storage, "meta", { limit: 10 })), pairs([{ key, value: text("meta") }]));
    for (const ns of namespaces) await storage.clear(ns, {});
  });

  rule("a batch is applied in order: the last operation on a key wins", async () => {
    const key = text("order");
    await storage.batch([put(key, text("1")), del(key), put(key, text("2"))], "synced");
    assert.equal(hex(await storage.get("objects", key)), hex(text("2")));
    await storage.batch([put(key, text("3")), del(key)], "synced");
    assert.equal(await storage.get("objects", key), undefined);
  });

  rule("batches of one caller are applied in the order of the calls, without waiting between them", async () => {
    const key = text("race");
    await Promise.all(Array.from({ length: 50 }, (_, index) => storage.batch([put(key, bytes(index))], "buffered")));
    assert.equal(hex(await storage.get("objects", key)), hex(bytes(49)));
  });

  rule("an empty batch resolves and deleting an absent key is no error", async () => {
    await storage.batch([], "synced");
    await storage.batch([del(text("never"))], "synced");
  });

  rule(
    "getMany answers in the order of the keys, with undefined for the absent and repeated for the repeated",
    async () => {
      await storage.batch([put(text("m1"), text("1")), put(text("m2"), text("2"))], "synced");
      const values = await storage.getMany("objects", [text("m2"), text("none"), text("m1"), text("m2")]);
      assert.deepEqual(values.map(hex), [hex(text("2")), undefined, hex(text("1")), hex(text("2"))]);
      assert.deepEqual(await storage.getMany("objects", []), []);
    },
  );

  rule("empty values, empty keys and values of 1 MiB come back as they were", async () => {
    const large = new Uint8Array(1024 * 1024).map((_, index) => index * 31);
    await storage.batch([put(text("empty"), bytes()), put(bytes(), text("root")), put(text("large"), large)], "synced");
    assert.equal(hex(await storage.get("objects", text("empty"))), "");
    assert.equal(hex(await storage.get("objects", bytes())), hex(text("root")));
    const read = await storage.get("objects", text("large"));
    assert.ok(read !== undefined && hex(read) === hex(large));
  });

  rule("the caller may reuse its arrays once a batch has resolved", async () => {
    const key = text("reuse");
    const value = text("before");
    await storage.batch([put(key, value)], "synced");
    value.fill(0);
    assert.equal(hex(await storage.get("objects", text("reuse"))), hex(text("before")));
  });

  rule("rows are ordered byte by byte, shorter first, in both directions", async () => {
    const ascending = [
      bytes(),
      bytes(0),
      bytes(0, 0),
      bytes(0, 255),
      bytes(1),
      bytes(127),
      bytes(128),
      bytes(255),
      bytes(255, 255),
    ];
    await storage.clear("hints", {});
    await storage.batch(
      ascending.toReversed().map((key) => put(key, key, "hints")),
      "synced",
    );
    const expected = ascending.map(hex);
    for (const limit of [1, 2, 3, 100]) {
      assert.deepEqual(
        (await scan(storage, "hints", { limit })).map(({ key }) => hex(key)),
        expected,
      );
      const backwards = await scan(storage, "hints", { limit, reverse: true });
      assert.deepEqual(
        backwards.map(({ key }) => hex(key)),
        expected.toReversed(),
      );
    }
  });

  rule("a range includes gte and excludes lt; an inverted range is empty", async () => {
    await storage.clear("meta", {});
    await storage.batch(
      Array.from({ length: 10 }, (_, at) => put(bytes(at), bytes(at), "meta")),
      "synced",
    );
    const keysIn = async (range: KeyRange, reverse: boolean) =>
      (await scan(storage, "meta", { ...range, reverse, limit: 4 })).map(({ key }) => key[0]);
    assert.deepEqual(await keysIn({ gte: bytes(3), lt: bytes(6) }, false), [3, 4, 5]);
    assert.deepEqual(await keysIn({ gte: bytes(3), lt: bytes(6) }, true), [5, 4, 3]);
    assert.deepEqual(await keysIn({ gte: bytes(6), lt: bytes(3) }, false), []);
    assert.deepEqual(await keysIn({ gte: bytes(6), lt: bytes(3) }, true), []);
    assert.deepEqual(await keysIn({ gte: bytes(8) }, false), [8, 9]);
    assert.deepEqual(await keysIn({ lt: bytes(2) }, true), [1, 0]);
  });

  rule("a page ends after the row that reaches maxBytes and has at least one row", async () => {
    await storage.clear("meta", {});
    await storage.batch(
      Array.from({ length: 10 }, (_, at) => put(bytes(at), new Uint8Array(99), "meta")),
      "synced",
    );
    const rowsFor = async (maxBytes: number, reverse: boolean) =>
      (await storage.page("meta", { limit: 100, maxBytes, reverse })).rows.length;
    for (const reverse of [false, true]) {
      assert.equal(await rowsFor(1, reverse), 1);
      assert.equal(await rowsFor(100, reverse), 1);
      assert.equal(await rowsFor(101, reverse), 2);
      assert.equal(await rowsFor(350, reverse), 4);
      assert.equal(await rowsFor(5_000, reverse), 10);
      assert.equal((await scan(storage, "meta", { limit: 100, maxBytes: 250, reverse })).length, 10);
    }
  });

  rule("keysOnly rows have their keys and empty values", async () => {
    const rows = await scan(storage, "meta", { limit: 3, keysOnly: true });
    assert.equal(rows.length, 10);
    assert.ok(rows.every(({ key, value }, at) => key[0] === at && value.length === 0));
  });

  rule("clear deletes its range, also one of several thousand rows, and nothing else", async () => {
    const key = (at: number) => bytes(at >> 8, at & 255);
    await storage.clear("merkle", {});
    await storage.batch(
      Array.from({ length: 3_000 }, (_, at) => put(key(at), bytes(1), "merkle")),
      "synced",
    );
    await storage.clear("merkle", { gte: key(10), lt: key(2_990) });
    const left = await scan(storage, "merkle", { limit: 1_000, keysOnly: true });
    assert.deepEqual(
      left.map((row) => hex(row.key)),
      [...Array.from({ length: 10 }, (_, at) => at), ...Array.from({ length: 10 }, (_, at) => 2_990 + at)].map((at) =>
        hex(key(at)),
      ),
    );
    await storage.clear("merkle", {});
    assert.deepEqual(await scan(storage, "merkle", { limit: 10 }), []);
  });

  rule("usage tells bytes", async () => {
    const { bytes: used } = await storage.usage();
    assert.ok(Number.isFinite(used) && used > 0);
  });

  rule("any sequence of operations leaves what a plain map would hold (model)", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        for (const ns of namespaces) await storage.clear(ns, {});
        await followModel(storage, steps);
      }),
      { numRuns: 60 },
    );
  });

  rule("what was synced is there after closing and opening again", async () => {
    // Nothing outlives some.
    if (opened.reopen === undefined) return;
    await storage.batch([put(text("kept"), text("value"))], "synced");
    storage = await opened.reopen();
    assert.equal(hex(await storage.get("objects", text("kept"))), hex(text("value")));
  });

  rule("every call on a closed storage rejects as closed, and closing twice is harmless", async () => {
    const { storage: closed } = await openEmpty();
    await closed.batch([put(text("x"), text("y"))], "synced");
    await closed.close();
    await closed.close();
    await assert.rejects(closed.get("objects", text("x")), isKind("closed"));
    await assert.rejects(closed.getMany("objects", [text("x")]), isKind("closed"));
    await assert.rejects(closed.batch([put(text("x"), text("z"))], "synced"), isKind("closed"));
    await assert.rejects(closed.batch([], "synced"), isKind("closed"));
    await assert.rejects(closed.page("objects", { limit: 1 }), isKind("closed"));
    await assert.rejects(closed.clear("objects", {}), isKind("closed"));
    await assert.rejects(closed.usage(), isKind("closed"));
  });

  rule("a write under way while closing is either refused or there afterwards", async () => {
    const { storage: closing } = await openEmpty();
    const write = closing.batch([put(text("late"), text("1"))], "synced");
    await closing.close();
    await write.catch((error: unknown) => assert.ok(isKind("closed")(error)));
  });

  return {
    rules,
    async open() {
      opened = await openEmpty();
      storage = opened.storage;
    },
    close: () => storage.close(),
  };
}

/** Few short keys, so that operations meet each other. */
const shortKey = fc.uint8Array({ maxLength: 2, max: 3 });
const namespace = fc.constantFrom(...namespaces.slice(0, 2));
const range = fc.record({ gte: shortKey, lt: shortKey }, { requiredKeys: [] });
const operation: fc.Arbitrary<StorageOperation> = fc.oneof(
  fc.record({
    kind: fc.constant("put" as const),
    ns: namespace,
    key: shortKey,
    value: fc.uint8Array({ maxLength: 12 }),
  }),
  fc.record({ kind: fc.constant("delete" as const), ns: namespace, key: shortKey }),
);
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("batch" as const),
      operations: fc.array(operation, { maxLength: 6 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("clear" as const), ns: namespace, range }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("get" as const), ns: namespace, key: shortKey }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("scan" as const),
      ns: namespace,
      range,
      reverse: fc.boolean(),
      limit: fc.integer({ min: 1, max: 5 }),
      maxBytes: fc.integer({ min: 1, max: 40 }),
    }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

/** The oracle: keys as hex strings, whose order is that of the bytes. */
async function followModel(storage: Storage, steps: readonly Step[]): Promise<void> {
  const model = new Map<Namespace, Map<string, string>>(namespaces.map((ns) => [ns, new Map()]));
  const inRange = (key: string, { gte, lt }: KeyRange) =>
    (gte === undefined || key >= hex(gte)!) && (lt === undefined || key < hex(lt)!);
  for (const now of steps) {
    if (now.do === "batch") {
      await storage.batch(now.operations, "buffered");
      for (const change of now.operations) {
        if (change.kind === "put") model.get(change.ns)!.set(hex(change.key)!, hex(change.value)!);
        else model.get(change.ns)!.delete(hex(change.key)!);
      }
    } else if (now.do === "clear") {
      await storage.clear(now.ns, now.range);
      const table = model.get(now.ns)!;
      for (const key of table.keys()) if (inRange(key, now.range)) table.delete(key);
    } else if (now.do === "get") {
      assert.equal(hex(await storage.get(now.ns, now.key)), model.get(now.ns)!.get(hex(now.key)!));
    } else {
      const { ns, range: within, ...rest } = now;
      const rows = await scan(storage, ns, { ...rest, ...within });
      const expected = [...model.get(ns)!]
        .filter(([key]) => inRange(key, within))
        .toSorted(([a], [b]) => (a < b ? -1 : 1));
      if (now.reverse) expected.reverse();
      assert.deepEqual(
        pairs(rows),
        expected.map(([key, value]) => `${key}=${value}`),
      );
    }
  }
}
