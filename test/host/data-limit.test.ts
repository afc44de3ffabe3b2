/** A limit of what a host's records may take (`--data-bytes-max`, `/admin/data-limit`): a disk that is full, without filling one. */
import assert from "node:assert/strict";
import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { test } from "node:test";
import { StorageError } from "../../core/ports.ts";
import { ByteLimit } from "../../node-host/byte-limit.ts";
import { openClassicStorage } from "../../node-host/classic-storage.ts";
import { eventually } from "../support/eventually.ts";
import { type RunningNode, startEmbedded } from "../../node-host/host.ts";
import { readHostOptions } from "../../node-host/options.ts";
import { everwrite } from "../support/everwrite.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { kv, type Kv } from "../support/http-client.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const mebibyte = 1_048_576;

test("a directory with a limit is a disk of that size: full before it is reached, and with room again when it is raised", async () => {
  const directory = temporaryDirectory();
  const limit = new ByteLimit(32 * mebibyte);
  const storage = await openClassicStorage({ directory, askDisk: limit.askDisk });
  // The headroom of so small a disk is half of it.
  const value = crypto.getRandomValues(new Uint8Array(65_536));
  const write = (at: number): Promise<void> =>
    storage.batch([{ kind: "put", ns: "objects", key: new Uint8Array([at >> 8, at & 255]), value }], "buffered");
  let at = 0;
  await assert.rejects(
    async () => {
      while (at < 1_000) await write(at++);
    },
    (error: unknown) => error instanceof StorageError && error.kind === "full",
  );
  await eventually(async () => {
    const { bytes, freeBytes } = await storage.usage();
    assert.ok(bytes > 8 * mebibyte && bytes < 32 * mebibyte, `${bytes} bytes`);
    return bytes + freeBytes === 32 * mebibyte; // but while files are compacted between the two looks
  }, "what is free to be what is left of the limit");
  limit.bytesMax = null;
  await eventually(async () => {
    await storage.usage();
    return write(at).then(
      () => true,
      () => false,
    );
  }, "the disk's own room to count");
  const { bavail, bsize } = await statfs(directory);
  assert.ok((await storage.usage()).freeBytes > (bavail * bsize) / 2);
  await storage.close();
});

test("a host that is full keeps nothing new: others keep it for the host, which reads on, says so, and gets it when there is room", async () => {
  await using hosts = await HostProcesses.of(4, dirname(temporaryDirectory()));
  const [full, id] = [3, (await hosts.status(3)).id];
  const limit = async (query: string): Promise<unknown> =>
    (await fetch(`${hosts.url(full)}/admin/data-limit${query}`, { method: "POST" })).json();
  const keys = Array.from({ length: 24 }, (_, i) => `limited/${i}`);
  for (const key of keys) assert.equal((await kv(hosts.url(0)).put(key, "before")).status, 200);

  assert.deepEqual(await limit("?bytes=0"), { bytesMax: 0 });
  // What was seen of the disk before counts for a moment.
  await eventually(async () => {
    await Promise.all(keys.map((_, i) => kv(hosts.url(full)).put(`filling/${i}`, "x")));
    return (await hosts.status(full)).storage.state === "full";
  }, "it to be full");
  const kept: string[] = [];
  for (const [i, key] of keys.entries()) {
    // Through the full host, too: it lets others do what it cannot.
    const { status, json } = await kv(hosts.url(i % 4)).put(key, "after", {
      context: (await kv(hosts.url(full)).get(key)).context,
      query: "w=3", // a quorum that is not there without whoever keeps it for the host
    });
    assert.equal(status, 200, json.error?.message);
    assert.ok(!json.receipt!.durable.includes(id), "it holds nothing new");
    if (json.receipt!.hinted.some((hint) => hint.for === id)) kept.push(key);
  }
  assert.ok(kept.length > 0, "others keep what it misses");
  const { storage, notices } = await hosts.status(full);
  assert.equal(storage.state, "full");
  assert.match(notices.join(), /storage is full: reads go on, writes are refused here/);
  for (const key of keys) assert.deepEqual((await kv(hosts.url(full)).get(key)).values, ["after"]);
  for (const key of kept) assert.deepEqual((await kv(hosts.url(full)).get(key, "local=1")).values, ["before"]);

  assert.deepEqual(await limit(""), { bytesMax: null });
  await eventually(
    async () => {
      const answers = await Promise.all(kept.map((key) => kv(hosts.url(full)).get(key, "local=1")));
      return answers.every(({ values }) => values.join() === "after");
    },
    "it to have what it missed",
    120_000,
  );
  await eventually(async () => (await hosts.status(full)).storage.state === "ok", "it to say so", 120_000);
});

test("a host that is full and alone says of a write that nothing of it was stored", async () => {
  const flags = ["--data-bytes-max", String(32 * mebibyte)];
  await using hosts = await HostProcesses.of(1, dirname(temporaryDirectory()), { flags });
  assert.equal((await kv(hosts.url(0)).put("b/kept", "v")).status, 200);
  // Three quarters of the headroom are left.
  await fetch(`${hosts.url(0)}/admin/data-limit?bytes=${12 * mebibyte}`, { method: "POST" });
  let refusal: Awaited<ReturnType<Kv["put"]>> | undefined;
  await eventually(async () => {
    refusal = await kv(hosts.url(0)).put("b/k", "v"); // what was seen of the disk before counts for a moment
    return refusal.status !== 200;
  }, "it to be full");
  const { code, message, ...detail } = refusal!.json.error!;
  assert.deepEqual([refusal!.status, code, detail], [503, "storage-full", { nothingWritten: true }]);
  assert.match(message, /headroom: make room, or let it have more$/);
  // A tombstone is a row: else who deletes again and again would use the headroom up.
  assert.equal((await kv(hosts.url(0)).delete("b/kept")).json.error?.code, "storage-full");
  assert.deepEqual((await kv(hosts.url(0)).get("b/kept")).values, ["v"]);
});

test("a host that is full hears of new members, and leaves", async () => {
  await using hosts = await HostProcesses.of(3, dirname(temporaryDirectory()));
  const full = await hosts.add({ flags: ["--data-bytes-max", String(32 * mebibyte)] });
  await hosts.settled();
  const keys = Array.from({ length: 40 }, (_, i) => `full/${i}`);
  for (const key of keys) assert.equal((await kv(hosts.url(0)).put(key, "before")).status, 200);
  const { bytes } = (await hosts.status(full)).storage;
  // Half of the headroom is left.
  await fetch(`${hosts.url(full)}/admin/data-limit?bytes=${bytes + 8 * mebibyte}`, { method: "POST" });
  await eventually(async () => {
    await Promise.all(keys.map((key) => kv(hosts.url(0)).put(key, "after")));
    return (await hosts.status(full)).storage.state === "full";
  }, "it to be full");
  const { length } = (await hosts.status(full)).members;
  await hosts.begin({ flags: ["--no-join"] });
  await eventually(async () => (await hosts.status(full)).members.length > length, "it to hear of another one");
  const { code, text } = await everwrite("leave", "--http", hosts.url(full));
  assert.equal(code, 0, text);
  assert.match(text, /\ndone\n$/);
  for (const key of keys) assert.ok((await kv(hosts.url(1)).get(key)).values.includes("after"));
});

test("an application's host starts on a disk with less than the headroom", async () => {
  const start = (dataBytesMax: number | null): Promise<RunningNode> => {
    const flags = { data, p2p: ["/ip4/127.0.0.1/tcp/0"], logLevel: "silent" };
    const { http: _http, httpName: _name, ...options } = readHostOptions(flags, {});
    return startEmbedded({ ...options, telemetry: { event: () => {} }, dataBytesMax });
  };
  const data = temporaryDirectory();
  const first = await start(null);
  await first.ready;
  await first.node.put("b", "k", Buffer.from("v"));
  await first.stop();
  const again = await start(8 * mebibyte);
  await again.ready;
  assert.equal((await again.node.get("b", "k")).siblings.length, 1);
  await assert.rejects(again.node.put("b", "k", Buffer.from("w")), { code: "storage-full" });
  await again.stop();
});

test("a limit that is none is refused, and changes nothing", async () => {
  await using hosts = await HostProcesses.of(1, dirname(temporaryDirectory()));
  for (const query of ["?bytes=-1", "?bytes=1e9", "?bytes=", "?size=1", "?bytes=1&bytes=2"]) {
    const response = await fetch(`${hosts.url(0)}/admin/data-limit${query}`, { method: "POST" });
    assert.equal(response.status, 400, query);
    assert.equal(((await response.json()) as { error: { code: string } }).error.code, "bad-request");
  }
  assert.equal((await kv(hosts.url(0)).put("b/k", "v")).status, 200);
});
