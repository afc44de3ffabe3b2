/** openStore of browsers with parts that are not a browser's. (In real ones: test/browser/open-store.test.ts.) */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openStore, StorageBudget } from "../../../core/browser/index.ts";
import { loadPageIdentity } from "../../../core/browser/page-identity.ts";
import { StoreError } from "../../../core/errors.ts";
import type { NodeId } from "../../../core/identity.ts";
import { MemoryStorage } from "../../../core/storage/memory-storage.ts";
import { RecordStore } from "../../../core/storage/record-store.ts";
import { MemoryCluster, realRandom } from "../../support/memory-cluster.ts";
import { realClock } from "../../support/real-clock.ts";
import { testIdentity } from "../../support/test-identity.ts";
import { utf8 } from "../../support/values.ts";

test("a store opens over an application's own storage, network, clock and chance, and closes them", async (t) => {
  const cluster = await MemoryCluster.of(3);
  t.after(() => cluster.stop());
  const transport = cluster.network.node("page");
  const storage = new MemoryStorage();
  let stops = 0;
  const stop = async (): Promise<void> => {
    transport.die();
    stops += 1;
  };
  const network = { transport, identity: testIdentity("page" as NodeId), stop };
  const parts = { storage, network, clock: realClock, random: realRandom };
  const store = await openStore<{ notes: string }>({ name: "test", seeds: ["memory:h1"], ...parts });
  assert.equal(store.status().id, "page");
  await store.connected;
  const receipt = await store.bucket("notes").put("a", "1");
  assert.equal(receipt.localOnly, false);
  await store.close();
  assert.equal(stops, 1);
  await assert.rejects(storage.get("meta", utf8("x")), { kind: "closed" });
});

test("a store whose storage is of another cluster is refused, and what was opened for it is closed", async (t) => {
  const cluster = await MemoryCluster.of(1);
  t.after(() => cluster.stop());
  let closes = 0;
  const storage = new (class extends MemoryStorage {
    override async close(): Promise<void> {
      closes += 1;
    }
  })();
  let stops = 0;
  const open = (name: string, node: string) => {
    const transport = cluster.network.node(node);
    const stop = async (): Promise<void> => {
      transport.die();
      stops += 1;
    };
    const network = { transport, identity: testIdentity(node as NodeId), stop };
    return openStore({ name, seeds: ["memory:h1"], storage, network });
  };
  const store = await open("test", "page");
  await store.connected;
  await store.close();
  await assert.rejects(open("another", "page2"), { code: "bad-request", message: /"test", not of "another"/ });
  assert.deepEqual([stops, closes], [2, 2]);
});

test("a store that a browser keeps from opening, in its own words, rejects with a StoreError", async () => {
  const said = new DOMException("a mutation operation was attempted", "InvalidStateError");
  const storage = new (class extends MemoryStorage {
    override get(): Promise<never> {
      return Promise.reject(said);
    }
  })();
  const isTyped = (error: unknown): boolean =>
    error instanceof StoreError && error.code === "not-ready" && error.cause === said;
  await assert.rejects(openStore({ name: "test", storage }), isTyped);
});

test("a page keeps its identity, and makes no other where it is damaged", async () => {
  const storage = new MemoryStorage();
  const made = await loadPageIdentity(new RecordStore(storage), "edge");
  assert.match(made.id, /^12D3Koo/);
  assert.deepEqual(await loadPageIdentity(new RecordStore(storage), "edge"), made);
  await assert.rejects(loadPageIdentity(new RecordStore(storage), "host"), {
    code: "bad-request",
    message: /that of an edge/,
  });
  const { rows } = await storage.page("meta", { limit: 10 });
  assert.equal(rows.length, 1);
  const [row] = rows;
  await new RecordStore(storage).commit([{ kind: "put", ns: "meta", key: row!.key, value: utf8("no key") }]);
  await assert.rejects(loadPageIdentity(new RecordStore(storage), "edge"), {
    code: "corrupt",
    message: /identity of this page/,
  });
});

test("a store over its budget refuses writes as a full disk does, reads on, and writes again when there is room", async (t) => {
  const cluster = await MemoryCluster.of(3);
  t.after(() => cluster.stop());
  const transport = cluster.network.node("page");
  const network = { transport, identity: testIdentity("page" as NodeId), stop: async () => transport.die() };
  const storageBudget = new StorageBudget();
  const storage = new MemoryStorage();
  const parts = { storage, network, clock: realClock, random: realRandom, storageBudget };
  const store = await openStore<{ notes: string }>({ name: "test", seeds: ["memory:h1"], ...parts });
  const notes = store.bucket("notes");
  await store.connected;
  await (await notes.put("a", "before")).until("all");
  await store.flush();
  storageBudget.limit(0);
  await assert.rejects(notes.put("b", "too much"), { code: "storage-full", message: /0 are left/ });
  await assert.rejects(
    notes.update("a", () => "too much"),
    { code: "storage-full" },
  );
  assert.equal((await notes.get("a", { r: "local" })).value, "before");
  assert.equal((await notes.get("b")).value, undefined);
  storageBudget.limit(10_000);
  await assert.rejects(notes.put("b", "x".repeat(20_000)), { code: "storage-full" });
  storageBudget.lift();
  await notes.update("a", () => "afterwards");
  assert.equal((await notes.get("a")).value, "afterwards");
  await store.close();
});
