import assert from "node:assert/strict";
import { cpSync, existsSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { everwrite } from "../support/everwrite.ts";
import { flipInside } from "../support/flip-inside.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { kv } from "../support/http-client.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

describe("a data directory that is an old copy", () => {
  test("is noticed, set aside, shown, and filled anew; what was acknowledged meanwhile is there", async () => {
    await using hosts = await HostProcesses.of(3, temporaryDirectory());
    const third = kv(hosts.url(2));
    assert.equal((await third.put("copies/before", "1", { query: "w=all" })).status, 200);
    await hosts.signal(2, "SIGTERM");
    const copy = join(hosts.folder, "copy");
    cpSync(hosts.data(2), copy, { recursive: true });
    hosts.start(2);
    await hosts.ready(2);
    await hosts.settled();
    const { context } = await third.get("copies/before");
    assert.equal((await third.put("copies/before", "2", { context })).status, 200);
    assert.equal((await third.put("copies/after", "3")).status, 200);
    await hosts.signal(2, "SIGTERM");
    rmSync(hosts.data(2), { recursive: true });
    cpSync(copy, hosts.data(2), { recursive: true });
    hosts.start(2);
    await hosts.ready(2);

    await eventually(async () => (await hosts.status(2)).storage.setAside.length === 1, "the copy to be set aside");
    await eventually(async () => (await hosts.status(2)).ready, "the host to be ready again");
    await hosts.settled();
    const [aside] = (await hosts.status(2)).storage.setAside;
    assert.match(aside!, /store\.old-/);
    assert.ok(existsSync(aside!), "it is kept");
    for (const [key, value] of [
      ["copies/before", "2"],
      ["copies/after", "3"],
    ] as const) {
      const local = await third.get(key, "local=1");
      assert.deepEqual([local.values, local.json.holding], [[value], "complete"], key);
    }
    // By hand, and only on purpose, what was set aside comes back in: merged, so that what was overwritten stays so.
    const url = `${hosts.url(2)}/admin/import-old/${basename(aside!)}`;
    assert.equal((await fetch(url, { method: "POST" })).status, 400);
    assert.equal((await fetch(`${url}x?deletedMayReturn=1`, { method: "POST" })).status, 404);
    const imported = await everwrite("import-old", aside!, "--deleted-may-return", "--json", "--http", hosts.url(2));
    assert.deepEqual([imported.code, JSON.parse(imported.text)], [0, { keys: 1, failed: 0 }]);
    assert.deepEqual((await third.get("copies/before")).values, ["2"]);
    // It is no old copy any more: the next start keeps the data, and still shows what was set aside.
    await hosts.signal(2, "SIGTERM");
    hosts.start(2);
    await hosts.ready(2);
    await hosts.settled();
    assert.deepEqual((await hosts.status(2)).storage.setAside, [aside]);
  });

  test("that runs beside its original under one identity is noticed by both, and no dot is shared (riak_kv#1027)", async () => {
    await using hosts = await HostProcesses.of(3, temporaryDirectory());
    assert.equal((await kv(hosts.url(2)).put("twins/key", "0", { query: "w=all" })).status, 200);
    await hosts.signal(2, "SIGTERM");
    const copy = join(hosts.folder, "copy");
    cpSync(hosts.data(2), copy, { recursive: true });
    hosts.start(2);
    await hosts.ready(2);
    const { id } = await hosts.status(2);
    const twin = await hosts.add({ data: copy, identity: join(hosts.folder, "host-3.key") });
    assert.equal((await hosts.status(twin)).id, id);

    const hasNoticed = async (index: number): Promise<boolean> => {
      const { notices, storage } = await hosts.status(index);
      return storage.setAside.length > 0 || notices.some((notice) => notice.includes("identity"));
    };
    await eventually(async () => (await hasNoticed(2)) && (await hasNoticed(twin)), "both to notice");

    // Whatever either takes now is an event of its own, which hides none of the other's.
    const taken: string[] = [];
    for (let i = 1; i <= 8; i++) {
      const put = await kv(hosts.url(i % 2 === 0 ? 2 : twin)).put("twins/key", `${i}`);
      if (put.status === 200) taken.push(`${i}`);
    }
    await hosts.signal(twin, "SIGKILL");
    await eventually(async () => {
      const { status, values } = await kv(hosts.url(0)).get("twins/key");
      return status === 200 && taken.every((value) => values.includes(value));
    }, `all of ${taken.join()} to be read`);
  });
});

describe("a directory that was set aside as damaged", () => {
  test("is imported as far as it can be read, and stays as it is", async () => {
    await using hosts = await HostProcesses.of(1, temporaryDirectory());
    const host = kv(hosts.url(0));
    for (let i = 0; i < 10; i++) assert.equal((await host.put(`aside/k${i}`, `value ${i} of it`)).status, 200);
    // LevelDB moves its log into a table when it opens.
    for (let start = 0; start < 2; start++) {
      assert.equal(await hosts.signal(0, "SIGTERM"), 0);
      if (start === 0) await hosts.startAll();
    }
    const aside = join(hosts.data(0), "store.damaged-2026-11-22T00-00-00.000Z");
    cpSync(join(hosts.data(0), "store"), aside, { recursive: true });
    flipInside(aside, "value 7 of it", { index: 3, bits: 1 });
    writeFileSync(join(aside, "unfinished"), "0 2"); // as it was found: the next opening checks all tables
    hosts.start(0);
    await hosts.ready(0);
    const url = `${hosts.url(0)}/admin/import-old/${basename(aside)}?deletedMayReturn=1`;
    const imported = await fetch(url, { method: "POST" });
    const { keys, failed, reason } = (await imported.json()) as { keys: number; failed: number; reason: string };
    assert.deepEqual([imported.status, keys, failed], [200, 9, 1], reason);
    assert.match(reason, /aside\/k7 is damaged/);
    assert.deepEqual((await host.get("aside/k3")).values, ["value 3 of it"]);
    assert.deepEqual((await hosts.status(0)).storage.setAside, [aside]);

    writeFileSync(join(aside, "CURRENT"), "garbage");
    const unreadable = await everwrite("import-old", aside, "--deleted-may-return", "--http", hosts.url(0));
    assert.equal(unreadable.code, 1);
    assert.match(unreadable.text, /store\.damaged-\S+ cannot be opened/);
    assert.ok(existsSync(aside), "it is kept");
  });
});
