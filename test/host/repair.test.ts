/** `repair` and what a host tells of its copies: over HTTP and on the command line, against a fake node and real hosts. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import type { Explanation, RepairProgress, RingView } from "../../core/api.ts";
import { StoreError } from "../../core/errors.ts";
import { eventually } from "../support/eventually.ts";
import { everwrite } from "../support/everwrite.ts";
import { flipInside } from "../support/flip-inside.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { kv } from "../support/http-client.ts";
import { startTestServer } from "../support/http-server.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const post = (url: string, query = ""): Promise<Response> => fetch(`${url}/admin/repair${query}`, { method: "POST" });

test("POST /admin/repair tells each step as a line of JSON, the result last", async () => {
  await using server = await startTestServer();
  const response = await post(server.url, "?partition=0");
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "application/x-ndjson; charset=utf-8");
  const lines = (await response.text()).trimEnd().split("\n");
  const steps = lines.map((line) => JSON.parse(line) as RepairProgress);
  assert.equal(steps[0]!.done, 0);
  assert.deepEqual([steps.at(-1)!.done, steps.at(-1)!.total, steps.at(-1)!.keysPulled], [2, 2, 2]);
  assert.deepEqual(server.node.calls.at(-1), { verb: "repair", options: { partition: 0 } });
});

test("a repair that cannot begin, and one asked for wrongly, are errors with a status", async () => {
  await using server = await startTestServer();
  for (const query of ["?partition=x", "?partition=-1", "?partition=1.5", "?other=1"]) {
    const response = await post(server.url, query);
    assert.equal(response.status, 400, query);
    assert.equal(((await response.json()) as { error: { code: string } }).error.code, "bad-request");
  }
  server.node.failNext = new StoreError("bad-request", "this host does not own partition 9");
  assert.equal((await post(server.url, "?partition=9")).status, 400);
  assert.equal((await fetch(`${server.url}/admin/repair`)).status, 405);
  const foreign = await fetch(`${server.url}/admin/repair`, {
    method: "POST",
    headers: { origin: "http://evil.example" },
  });
  assert.equal(foreign.status, 403);
});

test("everwrite repair prints the result, for people and for programs", async () => {
  await using server = await startTestServer();
  const people = await everwrite("repair", "--http", server.url);
  assert.equal(people.code, 0);
  assert.equal(
    people.text,
    "2 of 2 partitions equal to their other owners after 10 ms: 2 keys repaired here and 1 elsewhere (2.9 KiB), 1 damaged found, 1 healed\n",
  );
  const programs = await everwrite("repair", "--partition", "0", "--http", server.url, "--json");
  assert.equal(programs.code, 0);
  assert.equal((JSON.parse(programs.text) as RepairProgress).done, 2);
  assert.equal((await everwrite("repair", "--partition", "-1", "--http", server.url)).code, 2);
});

test("status and explain of a host that has compared nothing yet are readable", async () => {
  await using server = await startTestServer();
  const { text } = await everwrite("status", "--http", server.url);
  assert.match(text, /hints +none\n/);
  assert.match(text, /compared +0 of 4 partitions equal to all other owners since the start\n/);
  const explained = await everwrite("explain", "b/k", "--http", server.url);
  assert.match(explained.text, /\nno value\n/);
});

test("real hosts: a repair makes what was damaged whole, and status tells of equal owners and of hints", async () => {
  await using hosts = await HostProcesses.of(3, temporaryDirectory());
  for (let i = 0; i < 10; i++) {
    const put = await fetch(`${hosts.url(0)}/kv/b/k${i}?w=all`, { method: "PUT", body: `v${i}` });
    assert.equal(put.status, 200);
  }
  await eventually(async () => {
    const { agreedAgoMs } = (await (await fetch(`${hosts.url(1)}/ring`)).json()) as RingView;
    const explained = (await (await fetch(`${hosts.url(1)}/explain/b/k0`)).json()) as Explanation;
    return [...agreedAgoMs, explained.agreedAgoMs].every((age) => age !== null && age >= 0 && age < 60_000);
  }, "all owners to agree about every partition lately");
  const ring = await everwrite("ring", "--http", hosts.url(1));
  assert.match(ring.text, /^last full agreement: of 1024 of 1024 partitions here, the longest ago \d+ \w+ ago$/m);
  const ended = await everwrite("repair", "--http", hosts.url(1), "--json");
  assert.equal(ended.code, 0, ended.text);
  const result = JSON.parse(ended.text) as RepairProgress;
  assert.deepEqual([result.done, result.unequal, result.damagedFound, result.damagedFiles], [1024, 0, 0, []]);
  const status = await everwrite("status", "--http", hosts.url(1));
  assert.match(status.text, /compared +all equal to all other owners .* ago or later; \d+ rounds/);
  const metrics = await (await fetch(`${hosts.url(1)}/metrics`)).text();
  assert.match(metrics, /^everwrite_partitions_agreed 1024$/m);

  await hosts.signal(2, "SIGKILL");
  await eventually(async () => {
    await fetch(`${hosts.url(0)}/kv/b/late?w=1`, { method: "PUT", body: "v" });
    return /hints +\d+ for …\w{8} \(.*\), the oldest .* old/.test(
      (await everwrite("status", "--http", hosts.url(0))).text,
    );
  }, "hints for the host that is down");
  const late = await everwrite("repair", "--partition", "0", "--http", hosts.url(1));
  assert.equal(late.code, 1);
  assert.match(late.text, /does not answer/);
});

test("real hosts: rows whose keys are damaged stop no list and no repair, and are whole again afterwards", async () => {
  await using hosts = await HostProcesses.of(3, temporaryDirectory());
  const names = Array.from({ length: 30 }, (_, i) => `name${i + 10}`);
  const host = kv(hosts.url(0));
  for (const name of names) assert.equal((await host.put(`keys/${name}`, name, { query: "w=all" })).status, 200);
  // LevelDB moves its log into a table when it opens.
  for (let start = 0; start < 2; start++) {
    assert.equal(await hosts.signal(0, "SIGTERM"), 0);
    if (start === 0) await hosts.startAll();
  }
  flipInside(join(hosts.data(0), "store"), "keys/name17", { index: 10, bits: 0x80 });
  flipInside(join(hosts.data(0), "store"), "keys/name23", { index: 10, bits: 1 });
  await hosts.startAll();
  await hosts.settled();

  const listed = await fetch(`${hosts.url(0)}/kv/keys/?limit=100`);
  assert.equal(listed.status, 200);
  assert.deepEqual(((await listed.json()) as { keys: string[] }).keys.toSorted(), names);
  await eventually(async () => {
    const repair = await everwrite("repair", "--http", hosts.url(0), "--json");
    const { damagedFound, unequal } = JSON.parse(repair.text) as RepairProgress;
    return repair.code === 0 && damagedFound === 0 && unequal === 0;
  }, "a repair that finds nothing any more");
  assert.match(hosts.log(0), /of which the key is damaged: it is removed/);
  for (const name of names) {
    const local = await host.get(`keys/${name}`, "local=1");
    assert.deepEqual([local.values, local.json.holding], [[name], "complete"], name);
  }
});
