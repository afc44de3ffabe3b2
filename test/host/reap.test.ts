/** Deleted keys that real hosts forget. */
import assert from "node:assert/strict";
import { dirname } from "node:path";
import { test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { kv } from "../support/http-client.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const all = [0, 1, 2];

test("a deleted key is forgotten by three hosts after the grace period, not while one is away, and can be written again", async () => {
  const env = { EVERWRITE_GRACE_MS: "2000" };
  await using hosts = await HostProcesses.of(3, dirname(temporaryDirectory()), { env });
  const through = all.map((i) => kv(hosts.url(i)));
  const waiting = async (of = all): Promise<number[]> =>
    Promise.all(of.map(async (i) => (await hosts.status(i)).tombstones.waiting));

  const { context } = await through[0]!.put("carts/alice", "book", { query: "w=all" });
  await hosts.signal(2, "SIGKILL");
  const deleted = await through[1]!.delete("carts/alice", { context });
  assert.equal(deleted.status, 200);
  assert.deepEqual(await waiting([0, 1]), [1, 1]);
  await new Promise((resolve) => setTimeout(resolve, 6_000));
  assert.deepEqual(await waiting([0, 1]), [1, 1], "the third host has not consented");
  const why = (await Promise.all([0, 1].map((i) => hosts.status(i)))).flatMap(({ tombstones }) => tombstones.why);
  assert.match(why.join(), /a member is away/);

  await hosts.startAll();
  await eventually(async () => (await waiting()).every((count) => count === 0), "all three to forget it");
  for (const i of all) {
    const local = await through[i]!.get("carts/alice", "local=1");
    assert.deepEqual([local.status, local.json.siblings, local.context], [404, [], undefined], `host ${i + 1}`);
    assert.equal((await hosts.status(i)).keys, 0);
  }
  const metrics = await Promise.all(all.map(async (i) => (await fetch(`${hosts.url(i)}/metrics`)).text()));
  for (const text of metrics) {
    assert.match(text, /^everwrite_reaped_total 1$/m);
    assert.match(text, /^everwrite_tombstones_waiting 0$/m);
  }

  assert.equal((await through[2]!.put("carts/alice", "lamp", { context })).status, 200);
  for (const host of through) assert.deepEqual((await host.get("carts/alice")).values, ["lamp"]);
});
