/** The library in a process of its own, beside real hosts and on real files. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { openStore, type OpenStoreOptions } from "../../node-host/index.ts";
import { eventually } from "../support/eventually.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { kv } from "../support/http-client.ts";
import { failsWith } from "../support/values.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const app = fileURLToPath(new URL("./store-app.js", import.meta.url));

/** Runs the application until it has had `count` writes acknowledged, and kills it. Which ones, it has told. */
async function killedAfter(count: number, ...args: readonly string[]): Promise<readonly number[]> {
  const child = spawn(process.execPath, [app, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  const closed = once(child, "close");
  await eventually(() => output.split("\n").length > count || child.exitCode !== null, "writes to be acknowledged");
  child.kill("SIGKILL");
  await closed;
  const acknowledged = output.split("\n").slice(0, -1).map(Number);
  assert.ok(acknowledged.length >= count, `the application ended by itself after ${acknowledged.length} writes`);
  return acknowledged;
}

test("an application's store joins three hosts, and each sees what the other writes", async () => {
  const folder = dirname(temporaryDirectory());
  await using hosts = await HostProcesses.of(3, folder);
  await using store = await openStore<{ carts: { books: string[] } }>({
    name: "everwrite",
    seeds: hosts.addresses,
    data: join(folder, "app"),
    deviceGroup: "app",
  });
  await store.connected;
  await eventually(
    async () => (await hosts.status(0)).members.some(({ id, tokens }) => id === store.status().id && tokens > 0),
    "the application's host to have its share",
  );
  const carts = store.bucket("carts");
  const changes: string[] = [];
  carts.subscribe("alice", ({ origin, value }) => {
    const change = `${origin} ${value?.books.join("+")}`;
    // While the share moves, the same values may be told again as degraded.
    if (changes.at(-1) !== change) changes.push(change);
  });
  await eventually(() => changes.length === 1, "the first snapshot");

  const receipt = await carts.put("alice", { books: ["a"] });
  assert.ok((await receipt.until("all")) >= 3);
  const through = kv(hosts.url(1));
  const read = await through.get("carts/alice");
  assert.deepEqual(read.values, ['{"books":["a"]}']);
  assert.equal((await through.put("carts/alice", '{"books":["a","b"]}', { context: read.context })).status, 200);
  await eventually(() => changes.at(-1)?.endsWith("a+b") === true, "both changes to be told");
  assert.deepEqual(changes, ["storage undefined", "local a", "remote a+b"]);
  assert.deepEqual((await carts.get("alice")).value, { books: ["a", "b"] });

  // A host that is gone stops nobody.
  await hosts.signal(2, "SIGKILL");
  await carts.update("alice", (cart) => ({ books: [...cart!.books, "c"] }));
  assert.deepEqual((await through.get("carts/alice")).values, ['{"books":["a","b","c"]}']);
});

test("an application that was killed finds every acknowledged write, alone and among hosts", async () => {
  const folder = dirname(temporaryDirectory());
  const alone = join(folder, "alone");
  const acknowledged = await killedAfter(300, "host", alone, "shop");
  {
    await using store = await openStore<{ notes: number }>({ name: "shop", data: alone });
    const notes = store.bucket("notes");
    for (const i of acknowledged) assert.equal((await notes.get(String(i))).value, i);
  }
  await using hosts = await HostProcesses.of(3, folder);
  const among = await killedAfter(100, "host", join(folder, "among"), "everwrite", ...hosts.addresses);
  const through = kv(hosts.url(0));
  for (const i of among) assert.deepEqual((await through.get(`notes/${i}`)).values, [String(i)]);
});

test("an edge that was killed offline sends every acknowledged write once when it finds hosts", async () => {
  const folder = dirname(temporaryDirectory());
  const data = join(folder, "edge");
  const nobody = "/ip4/127.0.0.1/tcp/9";
  const acknowledged = await killedAfter(200, "edge", data, "everwrite", nobody);
  {
    const offline = { name: "everwrite", data, seeds: [nobody], role: "edge" } as const;
    await using store = await openStore<{ notes: number }>(offline);
    assert.ok(store.status().pending >= acknowledged.length);
    assert.equal((await store.bucket("notes").get(String(acknowledged[0]))).source, "local");
  }
  await using hosts = await HostProcesses.of(3, folder);
  await using store = await openStore<{ notes: number }>({
    name: "everwrite",
    data,
    seeds: hosts.addresses,
    role: "edge",
  });
  await store.flush();
  assert.equal(store.status().parked, 0);
  const through = kv(hosts.url(2));
  for (const i of acknowledged) assert.deepEqual((await through.get(`notes/${i}`)).values, [String(i)]);
  await store.close();
  await assert.rejects(openStore({ name: "everwrite", data }), failsWith("bad-request"));
});

test("stores that end together find each other again without seeds: each keeps its port", async () => {
  const folder = dirname(temporaryDirectory());
  const [a, b] = [join(folder, "a"), join(folder, "b")];
  const first = await openStore({ name: "pair", data: a });
  const port = (await readFile(join(a, "p2p-port"), "utf8")).trim();
  const second = await openStore({ name: "pair", data: b, seeds: [`/ip4/127.0.0.1/tcp/${port}`] });
  await second.connected;
  await (await second.bucket<number>("notes").put("k", 1)).until("all");
  await Promise.all([first.close(), second.close()]);

  const [again, other] = await Promise.all([
    openStore({ name: "pair", data: a }),
    openStore({ name: "pair", data: b }),
  ]);
  try {
    await Promise.all([again.connected, other.connected]);
    const notes = again.bucket<number>("notes", { r: "all", w: "all" });
    assert.equal((await notes.update("k", (count = 0) => count + 1)).value, 2);
    assert.equal((await other.bucket<number>("notes").get("k")).value, 2);
  } finally {
    await Promise.all([again.close(), other.close()]);
  }
});

test("a limit that is given as undefined is the one that holds where none is given", async (t) => {
  const setRealTimeout = globalThis.setTimeout;
  const inHaste = (hear: () => void, ms: number): unknown => setRealTimeout(hear, ms === 30_000 ? 300 : ms);
  t.mock.method(globalThis, "setTimeout", inHaste as typeof setTimeout);
  const silent = { name: "shop", data: temporaryDirectory(), seeds: ["/ip4/127.0.0.1/tcp/9"] };
  const opening = openStore({ ...silent, timeoutMs: undefined } as unknown as OpenStoreOptions);
  await assert.rejects(opening, { code: "not-ready", message: /within 30000 ms/ });
});

test("an application that goes to another directory takes its store with it", async () => {
  const folder = dirname(temporaryDirectory());
  const home = process.cwd();
  const elsewhere = await mkdtemp(join(folder, "elsewhere-"));
  for (const role of ["host", "edge"] as const) {
    process.chdir(folder);
    const store = await openStore({ name: "shop", data: role, role, seeds: [] });
    process.chdir(elsewhere);
    try {
      const notes = store.bucket<string>("notes");
      // More than one table of LevelDB, so that it makes files.
      await Promise.all(Array.from({ length: 60 }, (_, i) => notes.put(String(i), "x".repeat(200_000))));
      await store.close();
      assert.deepEqual(await readdir(elsewhere), []);
    } finally {
      process.chdir(home);
      await store.close();
    }
    await using again = await openStore({ name: "shop", data: join(folder, role), role, seeds: [] });
    for (let i = 0; i < 60; i++) assert.equal((await again.bucket("notes").get(String(i))).values.length, 1);
  }
});

test("what keeps a store from opening is said with a code, and leaves nothing behind that is open", async () => {
  const data = temporaryDirectory();
  await assert.rejects(openStore({ name: "shop", data, signal: AbortSignal.abort() }), failsWith("aborted"));
  const silent = { name: "shop", data, seeds: ["/ip4/127.0.0.1/tcp/9"] };
  await assert.rejects(openStore({ ...silent, timeoutMs: 300 }), failsWith("not-ready"));
  await assert.rejects(openStore({ ...silent, signal: AbortSignal.timeout(300) }), failsWith("aborted"));
  await assert.rejects(openStore({ name: "shop", data, seeds: ["nowhere"] }), failsWith("bad-request"));
  for (const role of ["host", "edge"] as const) {
    const nowhere = { name: "shop", data: "/sys/no-place-to-write", role, seeds: [] };
    await assert.rejects(openStore(nowhere), failsWith("not-ready"), role);
  }
  const callers = [{ data }, { name: "", data }, { name: "shop", data, role: "guest" }] as unknown[];
  for (const options of callers) {
    await assert.rejects(openStore(options as OpenStoreOptions), failsWith("bad-request"));
  }
  await assert.rejects(openStore({ name: "shop", data, partitions: 3 }), failsWith("bad-request"));
  {
    await using store = await openStore({ name: "shop", data, n: 2 });
    assert.equal(store.status().loaded, true);
    await assert.rejects(openStore({ name: "shop", data }), failsWith("not-ready"));
  }
  await assert.rejects(openStore({ name: "shop", data, role: "edge", seeds: [] }), failsWith("bad-request"));
  await assert.rejects(openStore({ name: "shop", data, n: 3 }), failsWith("bad-request"));
  await assert.rejects(openStore({ name: "other", data }), failsWith("bad-request"));
  await using store = await openStore({ name: "shop", data });
  assert.equal(store.status().connected, true);
});
