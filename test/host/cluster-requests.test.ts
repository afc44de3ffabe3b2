/** What three real hosts together answer to applications: values of every kind, conditions, lists, watches, explanations. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { dirname } from "node:path";
import { after, before, describe, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { getJson, kv, type Kv, metric, watchStates } from "../support/http-client.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

let hosts: HostProcesses;
let through: readonly [Kv, Kv, Kv];

before(async () => {
  hosts = await HostProcesses.of(3, dirname(temporaryDirectory()));
  through = [kv(hosts.url(0)), kv(hosts.url(1)), kv(hosts.url(2))];
});

after(() => hosts.stop());

describe("values", () => {
  test("bytes of every size up to 1 MiB come back through another host as they were", async () => {
    for (const bytes of [0, 1, 4_095, 4_096, 4_097, 262_145, 1_048_576]) {
      const body = randomBytes(bytes);
      assert.equal((await through[0].put(`sizes/${bytes}`, body)).status, 200);
      const response = await fetch(`${hosts.url(1)}/kv/sizes/${bytes}`);
      assert.equal(response.headers.get("content-type"), "application/octet-stream");
      assert.ok(body.equals(Buffer.from(await response.arrayBuffer())), `${bytes} bytes`);
    }
  });

  test("keys with slashes, spaces, percent signs and letters of all scripts are what they say", async () => {
    const names = ["a/b/c", "with space", "100%", "naïve/ключ/鍵/🔑", "?#&=+", "x".repeat(1_000)];
    for (const name of names) {
      const path = `names/${encodeURIComponent(name)}`;
      assert.equal((await through[0].put(path, name)).status, 200, name);
      assert.deepEqual((await through[2].get(path)).values, [name]);
    }
    const { keys } = (await through[1].get("names/")).json;
    assert.deepEqual(keys?.toSorted(), names.toSorted());
    assert.deepEqual((await through[1].get("names/a/b/c")).values, ["a/b/c"], "a slash may be plain");
  });

  test("a deleted value is gone through all hosts, and what was written beside the delete stays", async () => {
    const { context } = await through[0].put("deletes/k", "old");
    await Promise.all([
      through[1].delete("deletes/k", { context }),
      through[2].put("deletes/k", "beside", { context }),
    ]);
    const read = await through[0].get("deletes/k");
    assert.deepEqual([read.values, read.json.deleted], [["beside"], true]);
    assert.equal((await through[0].delete("deletes/k", { context: read.context })).status, 200);
    for (const host of through) assert.equal((await host.get("deletes/k")).status, 404);
    const again = await through[1].put("deletes/k", "again", { context: (await through[1].get("deletes/k")).context });
    assert.equal(again.status, 200);
    for (const host of through) assert.deepEqual((await host.get("deletes/k")).values, ["again"]);
  });

  test("a value with a time to live is gone on all hosts after it, and there before", async () => {
    assert.equal((await through[0].put("ttl/long", "x", { query: "ttlMs=60000" })).status, 200);
    assert.equal((await through[0].put("ttl/short", "x", { query: "ttlMs=300" })).status, 200);
    for (const host of through) {
      assert.deepEqual((await host.get("ttl/long")).values, ["x"]);
      await eventually(async () => (await host.get("ttl/short")).status === 404, "the value to expire");
    }
  });
});

describe("conditions and repeats", () => {
  test("ifAbsent takes the first value and refuses the next, through any host", async () => {
    assert.equal((await through[0].put("absent/k", "first", { query: "ifAbsent=1" })).status, 200);
    const second = await through[1].put("absent/k", "second", { query: "ifAbsent=1" });
    assert.deepEqual([second.status, second.json.error?.code], [409, "precondition-failed"]);
    assert.deepEqual((await through[2].get("absent/k")).values, ["first"]);
  });

  test("a put repeated under its write id through other hosts is one event, also after it was overwritten", async () => {
    const headers = { "everwrite-write-id": "0123456789abcdef" };
    for (const host of through) assert.equal((await host.put("repeats/k", "once", { headers })).status, 200);
    const read = await through[0].get("repeats/k");
    assert.deepEqual(read.values, ["once"]);
    assert.equal((await through[1].put("repeats/k", "next", { context: read.context })).status, 200);
    assert.equal((await through[2].put("repeats/k", "once", { headers })).status, 200);
    for (const host of through) assert.deepEqual((await host.get("repeats/k")).values, ["next"]);
  });

  test("w=all and pw=3 have three durable owners before they answer, and r=all asks three", async () => {
    for (const query of ["w=all", "pw=3"]) {
      const put = await through[0].put("all/k", query, { query });
      assert.deepEqual([put.status, put.json.receipt?.needed, put.json.receipt?.got], [200, 3, 3]);
    }
    for (let i = 0; i < 3; i++) assert.equal((await through[i]!.get("all/k", "local=1")).values.length, 2);
    const tooMany = await through[0].put("all/k", "x", { query: "w=4" });
    assert.deepEqual([tooMany.status, tooMany.json.error?.code], [503, "quorum-not-met"]);
  });
});

describe("list", () => {
  test("a bucket is listed page by page, each key once, each page through another host", async () => {
    const names = Array.from({ length: 25 }, (_, i) => `${i % 2 === 0 ? "even" : "odd"}/${i}`);
    await Promise.all(names.map((name, i) => through[i % 3]!.put(`list/${name}`, name)));
    const listed: string[] = [];
    let after: string | null = null;
    for (let page = 0; page === 0 || after !== null; page++) {
      const query: string = `limit=7${after === null ? "" : `&after=${encodeURIComponent(after)}`}`;
      const { json } = await through[page % 3]!.get("list/", query);
      assert.ok(json.keys!.length <= 7);
      listed.push(...json.keys!);
      after = json.next ?? null;
    }
    assert.deepEqual(listed.toSorted(), names.toSorted());
    const even = (await through[1].get("list/", "prefix=even%2F")).json.keys;
    assert.deepEqual(even?.toSorted(), names.filter((name) => name.startsWith("even/")).toSorted());
    assert.deepEqual((await through[1].get("nothing/")).json.keys, []);
  });
});

describe("watch", () => {
  test("a key's watcher gets the current state first, then what is written and deleted through other hosts", async () => {
    await through[0].put("watch/k", "before");
    const stop = new AbortController();
    const states = watchStates(`${hosts.url(0)}/watch/watch/k`, stop.signal);
    const next = async () => (await states.next()).value?.siblings?.map(({ value }: { value: string }) => value);
    assert.deepEqual(await next(), ["before"]);
    const written = await through[1].put("watch/k", "after", { context: (await through[1].get("watch/k")).context });
    assert.deepEqual(await next(), ["after"]);
    await through[2].delete("watch/k", { context: written.context });
    assert.deepEqual(await next(), []);
    stop.abort();
  });

  test("a prefix's watcher gets what is there, then changes under the prefix alone", async () => {
    await through[0].put("watched/a/1", "x");
    await through[0].put("watched/b/1", "x");
    const stop = new AbortController();
    const seen = new Map<string, string | undefined>();
    const watching = (async () => {
      for await (const { key, siblings } of watchStates(`${hosts.url(2)}/watch/watched/?prefix=a%2F`, stop.signal)) {
        seen.set(key, siblings?.[0]?.value);
      }
    })().catch((error: unknown) => assert.equal((error as Error).name, "AbortError"));
    await eventually(() => seen.get("a/1") === "x", "the key that is there");
    await through[1].put("watched/b/2", "y");
    await through[1].put("watched/a/2", "y");
    await eventually(() => seen.get("a/2") === "y", "the key that was added");
    stop.abort();
    await watching;
    assert.deepEqual([...seen.keys()].toSorted(), ["a/1", "a/2"]);
  });
});

describe("what hosts tell of themselves", () => {
  test("explain names three owners that hold one value, and its place", async () => {
    await through[0].put("explain/k", "x", { query: "w=all" });
    const explained = await getJson<{
      key: string;
      position: string;
      preferenceList: { id: string; role: string; holding: string; dots: string[]; upToDate: boolean }[];
    }>(`${hosts.url(1)}/explain/explain/k`);
    assert.equal(explained.key, "explain/k");
    assert.match(explained.position, /^[0-9a-f]{32}$/);
    assert.equal(new Set(explained.preferenceList.map(({ id }) => id)).size, 3);
    for (const owner of explained.preferenceList) {
      assert.deepEqual([owner.role, owner.holding, owner.upToDate], ["owner", "complete", true]);
      assert.deepEqual(owner.dots, explained.preferenceList[0]!.dots);
    }
  });

  test("status, members, ring, metrics and health agree on who is there", async () => {
    const { id, ready, ring, members, partitions } = await hosts.status(0);
    assert.ok(ready);
    assert.equal(members.length, 3);
    assert.ok(members.every(({ alive }) => alive));
    assert.equal(
      members.reduce((sum, { tokens }) => sum + tokens, 0),
      1_024,
    );
    assert.deepEqual([partitions.owned, partitions.filling], [1_024, 0]);
    const ringView = await getJson<{ fingerprint: string; tokens: string[] }>(`${hosts.url(2)}/ring`);
    assert.equal(ringView.fingerprint, ring);
    assert.equal(new Set(ringView.tokens).size, 3);
    assert.ok(
      (await getJson<{ members: { id: string }[] }>(`${hosts.url(1)}/members`)).members.some((m) => m.id === id),
    );
    assert.equal(await metric(hosts.url(0), "everwrite_ready"), 1);
    assert.ok((await metric(hosts.url(0), "everwrite_request_seconds_count")) > 0);
    for (const path of ["/healthz", "/readyz"]) assert.equal((await fetch(`${hosts.url(0)}${path}`)).status, 200);
    const peer = await getJson<{ connected: boolean; member: boolean; verdict: string }>(
      `${hosts.url(1)}/explain-peer/${id}`,
    );
    assert.deepEqual([peer.connected, peer.member], [true, true], peer.verdict);
  });
});
