/** The built `everwrite` command as a child process, against the HTTP API over a fake node. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import type { RingView } from "../../core/api.ts";
import { type CliResult, resultOf, startCli } from "../support/cli.ts";
import { fakeBrowserId, fakeId } from "../support/fake-node.ts";
import { startTestServer, type TestServer } from "../support/http-server.ts";

let server: TestServer;
let directory: string;

before(async () => {
  server = await startTestServer();
  directory = await mkdtemp(join(tmpdir(), "everwrite-cli-"));
});

after(async () => {
  await server.close();
  await rm(directory, { recursive: true });
});

beforeEach(() => {
  server.node.states.clear();
  server.node.failNext = undefined;
});

function start(args: readonly string[], env: Record<string, string> = {}) {
  return startCli(args, { EVERWRITE_HTTP: server.url, ...env });
}

function everwrite(args: readonly string[], input: string | Buffer = ""): Promise<CliResult> {
  return resultOf(start(args), input);
}

describe("put, get, delete, list", () => {
  test("what is put as an argument, by standard input or from a file is got byte for byte", async () => {
    const bytes = Buffer.from([0, 255, 10, 13, 10]);
    const file = join(directory, "value");
    await writeFile(file, bytes);
    for (const [args, input, expected, type] of [
      [["hello"], "", Buffer.from("hello"), "text/plain; charset=utf-8"],
      [[""], "", Buffer.alloc(0), "text/plain; charset=utf-8"],
      [["-"], bytes, bytes, "application/octet-stream"],
      [["--file", file], "", bytes, "application/octet-stream"],
      [["-", "--content-type", "image/png"], bytes, bytes, "image/png"],
    ] as const) {
      server.node.states.clear();
      assert.equal((await everwrite(["put", "b/a/k", ...args], input)).code, 0);
      assert.deepEqual([...server.node.states.keys()], ["b/a/k"]);
      assert.equal(server.node.states.get("b/a/k")?.live[0]?.contentType, type);
      assert.deepEqual((await everwrite(["get", "b/a/k"])).out, expected);
      assert.deepEqual((await everwrite(["get", "b/a/k", "--raw"])).out, expected);
    }
    const copy = join(directory, "copy");
    assert.equal((await everwrite(["get", "b/a/k", "--out", copy])).text, "");
    assert.deepEqual(await readFile(copy), bytes);
  });

  test("a put says where the value is and gives the context; with --json exactly what the host said", async () => {
    const put = await everwrite(["put", "b/k", "x"]);
    assert.equal(put.text, `stored b/k: 1 durable copy, 1 needed (…FakeNode)\ncontext ctx-1\n`);
    const next = await everwrite(["put", "b/k", "y", "--context", "ctx-1", "--json"]);
    assert.equal((JSON.parse(next.text) as { context: string }).context, "ctx-2");
    const blind = await everwrite(["put", "b/k", "z"]);
    assert.match(blind.text, /other values are live beside this one/);
  });

  test("the options of a put reach the host", async () => {
    server.node.calls.length = 0;
    const flags =
      "--w 2 --ttl-ms 9000 --if-absent --kind lww --write-id 00000000000000ff --timeout-ms 50 --content-type a/b";
    assert.equal((await everwrite(["put", "b/k", "x", ...flags.split(" ")])).code, 0);
    assert.deepEqual(server.node.calls[0]?.options, {
      w: 2,
      ttlMs: 9_000,
      ifAbsent: true,
      kind: "lww",
      writeId: "00000000000000ff",
      timeoutMs: 50,
      contentType: "a/b",
      returnSiblings: false,
    });
    assert.equal((await everwrite(["put", "b/k", "x", "--if-absent"])).code, 1, "there is a value now");
  });

  test("several values are shown with the command that makes them one; --raw and --out refuse to choose", async () => {
    await everwrite(["put", "b/k", "one"]);
    await everwrite(["put", "b/k", "two\u001b[2J"]);
    const get = await everwrite(["get", "b/k"]);
    assert.equal(get.code, 0);
    assert.match(get.text, /b\/k has 2 values/);
    assert.match(get.text, /one[^]*two\\x1b\[2J/, "a value cannot send escape sequences to the terminal");
    assert.match(get.text, /everwrite put b\/k VALUE --context ctx-1-2\n/);
    for (const flags of [["--raw"], ["--out", join(directory, "never")]]) {
      const refused = await everwrite(["get", "b/k", ...flags]);
      assert.deepEqual([refused.code, refused.text], [1, ""]);
    }
    const json = JSON.parse((await everwrite(["get", "b/k", "--json"])).text) as { siblings: { value: string }[] };
    assert.deepEqual(
      json.siblings.map(({ value }) => value),
      ["one", "two\u001b[2J"],
    );
  });

  test("a key can neither send escape sequences to the terminal nor pass for two keys", async () => {
    await server.node.put("b", "k\u001b[31m\nl", new Uint8Array());
    assert.equal((await everwrite(["list", "b"])).text, "k\\x1b[31m\\x0al\n");
    const { keys } = JSON.parse((await everwrite(["list", "b", "--json"])).text) as { keys: string[] };
    assert.deepEqual(keys, ["k\u001b[31m\nl"]);
    const watch = start(["watch", "b/"]);
    const [line] = (await once(watch.stdout, "data")) as [Buffer];
    watch.kill();
    assert.match(line.toString(), /  b\/k\\x1b\[31m\\x0al\n/);
  });

  test("not found is exit code 3, also for programs, which get the context", async () => {
    const get = await everwrite(["get", "b/k"]);
    assert.deepEqual([get.code, get.text, get.err], [3, "", "everwrite: b/k has no value\n"]);
    const json = await everwrite(["get", "b/k", "--json"]);
    assert.equal(json.code, 3);
    assert.deepEqual((JSON.parse(json.text) as { siblings: [] }).siblings, []);
    assert.equal((JSON.parse(json.err) as { error: { code: string } }).error.code, "not-found");
    assert.equal((await everwrite(["delete", "b/k"])).code, 3);
  });

  test("delete removes what it finds, and with --context only what that had seen", async () => {
    await everwrite(["put", "b/k", "x"]);
    await everwrite(["put", "b/k", "y"]);
    assert.equal((await everwrite(["delete", "b/k", "--context", "ctx-1"])).code, 0);
    assert.equal((await everwrite(["get", "b/k"])).text, "y");
    assert.equal((await everwrite(["delete", "b/k"])).code, 0);
    assert.equal((await everwrite(["get", "b/k"])).code, 3);
  });

  test("--local shows this replica and what it holds", async () => {
    await everwrite(["put", "b/k", "x"]);
    const get = await everwrite(["get", "b/k", "--local"]);
    assert.deepEqual([get.text, get.err], ["x", "note: this replica's holding is complete\n"]);
  });

  test("list prints one key a line, and how to go on", async () => {
    for (const name of ["al/1", "al/2", "al/3", "bob"]) await server.node.put("b", name, new Uint8Array());
    const first = await everwrite(["list", "b", "--prefix", "al", "--limit", "2"]);
    assert.deepEqual([first.text, first.err], ["al/1\nal/2\n", "there are more: add --after 'al/2'\n"]);
    assert.equal((await everwrite(["list", "b/", "--prefix", "al", "--after", "al/2"])).text, "al/3\n");
    assert.equal((await everwrite(["list", "empty"])).text, "");
    await everwrite(["list", "b", "--timeout-ms", "70"]);
    const { timeoutMs } = server.node.calls.at(-1)!.options as { timeoutMs: number };
    assert.equal(timeoutMs, 70);
  });
});

describe("what a host tells", () => {
  test("status, members, ring, explain and explain-peer are tables for people and JSON for programs", async () => {
    await server.node.put("b", "k", new Uint8Array());
    for (const [args, pattern, field] of [
      [["status"], /cluster\s+fake, N=3 R=quorum W=quorum, ring f1f2[^]*MEMBER\s+STATUS/, "ready"],
      [["members"], new RegExp(`${fakeId}\\s+up\\s+yes\\s+a\\s+100\\s+4`), "members"],
      [
        ["members"],
        new RegExp(`${fakeBrowserId}\\s+up\\s+no\\s+-\\s+20\\s+0\\s+browser-host\\s+4 min left`),
        "members",
      ],
      [["ring"], /\(nobody\)\s+1\s+25\.0 %/, "tokens"],
      [["explain", "b/k"], /b\/k has position 0+ in partition 0[^]*owner\s+yes\s+a\s+complete\s+yes/, "preferenceList"],
      [["explain-peer", fakeId], /this node itself/, "verdict"],
    ] as const) {
      const text = await everwrite(args);
      assert.equal(text.code, 0, text.err);
      assert.match(text.text, pattern);
      assert.ok(!text.text.includes("\u001b"), "no colours in a pipe");
      const json = await everwrite([...args, "--json"]);
      assert.ok(field in (JSON.parse(json.text) as object));
    }
    assert.equal((await everwrite(["explain-peer", "nobody"])).code, 3);
  });

  test("ring tells who changed it, when, and for whom; the latest last, and of many the last twenty", async () => {
    const founded = { by: fakeId, atMs: 1_700_000_000_000, verb: "create", subject: fakeId, tokens: 4 } as const;
    const joined = { by: fakeId, atMs: 1_700_000_060_000, verb: "join", subject: fakeBrowserId, tokens: 1 } as const;
    const changes = [founded, ...Array.from({ length: 19 }, () => joined)];
    server.node.changes = changes;
    const { text } = await everwrite(["ring"]);
    assert.match(text, /^CHANGED +BY +WHAT +FOR +TOKENS\n2023-11-14T22:13:20\.000Z  …FakeNode  create  …FakeNode +4$/m);
    assert.match(text, /\n2023-11-14T22:14:20\.000Z  …FakeNode  join +…eBrowser +1\n$/);
    server.node.changes = [...changes, { ...joined, atMs: Number.MAX_SAFE_INTEGER }];
    const longer = await everwrite(["ring"]);
    assert.doesNotMatch(longer.text, /create/);
    assert.match(longer.text, /\n\+275760-09-13T00:00:00\.000Z  …FakeNode  join +…eBrowser +1\n$/, "no date at all");
    const { changes: all } = JSON.parse((await everwrite(["ring", "--json"])).text) as RingView;
    assert.deepEqual(all, server.node.changes);
    server.node.changes = [];
  });

  test("ring tells of the last full agreement of the host's partitions, and of each with --partitions", async () => {
    assert.match(
      (await everwrite(["ring"])).text,
      /^last full agreement: of 0 of 4 partitions here; 4 never since the start$/m,
    );
    server.node.agreedAgoMs = [12_000, 65_000, 900, null];
    const { text } = await everwrite(["ring"]);
    const each = await everwrite(["ring", "--partitions"]);
    const { agreedAgoMs } = JSON.parse((await everwrite(["ring", "--json"])).text) as RingView;
    assert.deepEqual(agreedAgoMs, server.node.agreedAgoMs);
    server.node.agreedAgoMs = [null, null, null, null];
    assert.match(
      text,
      /^last full agreement: of 3 of 4 partitions here, the longest ago 1 min ago; 1 never since the start$/m,
    );
    assert.match(each.text, /^PARTITION +FIRST +AGREED\n +0 +…FakeNode +12 s ago\n[^]*\n +3 +\(nobody\) +-\n$/);
  });

  test("status tells how far transfers are, and the time left where it can be told", async () => {
    assert.doesNotMatch((await everwrite(["status"])).text, /copied/);
    server.node.transfers = {
      filling: { percent: 41, keys: 1_200, bytes: 3_145_728, leftMs: 12_900 },
      handingOff: { percent: 0, keys: 0, bytes: 0, leftMs: null },
    };
    const { text } = await everwrite(["status"]);
    server.node.transfers = {};
    assert.match(text, /^filling +41 %, 1200 keys and 3\.0 MiB copied, about 12 s left$/m);
    assert.match(text, /^handing off +0 %, 0 keys and 0 B copied$/m);
  });

  test("status tells what deleted keys wait for to be forgotten, where there are any", async () => {
    assert.doesNotMatch((await everwrite(["status"])).text, /tombstones/);
    server.node.tombstones = { waiting: 5, why: ["a member is away, and all must agree: x", "2 are young"] };
    const { text } = await everwrite(["status"]);
    server.node.tombstones = { waiting: 0, why: [] };
    assert.match(
      text,
      /^tombstones  5 kept until all members may forget them: a member is away, and all must agree: x; 2 are young$/m,
    );
  });

  test("watch prints the state now and at each change; a stream that ends is a failure", async () => {
    const other = await startTestServer();
    const child = start(["watch", "b/k", "--json"], { EVERWRITE_HTTP: other.url });
    const lines: string[] = [];
    const line = async (): Promise<{ key: string; siblings: { value: string }[] }> => {
      while (lines.length === 0) {
        const [chunk] = (await once(child.stdout, "data")) as [Buffer];
        lines.push(...chunk.toString().trimEnd().split("\n"));
      }
      return JSON.parse(lines.shift() ?? "") as { key: string; siblings: { value: string }[] };
    };
    assert.deepEqual((await line()).siblings, []);
    await other.node.put("b", "k", Buffer.from("new"));
    assert.equal((await line()).siblings[0]?.value, "new");
    const exit = once(child, "exit");
    await other.close();
    assert.deepEqual(await exit, [1, null]);
  });

  test("bench reports throughput and percentiles, and leaves no siblings behind", async () => {
    const result = await everwrite([
      "bench",
      "--seconds",
      "1",
      "--clients",
      "4",
      "--value-bytes",
      "10",
      "--reads",
      "0.3",
      "--json",
    ]);
    const report = JSON.parse(result.text) as {
      reads: { count: number; p999Ms: number };
      writes: { count: number };
      errors: object;
    };
    assert.ok(report.reads.count > 0 && report.writes.count > 0 && report.reads.p999Ms > 0);
    assert.deepEqual(report.errors, {});
    for (const { live } of server.node.states.values()) assert.equal(live.length, 1);
    const text = await everwrite(["bench", "--seconds", "1", "--clients", "1"]);
    assert.match(text.text, /P99\.9 MS[^]*reads\s+\d+[^]*writes\s+\d+[^]*errors: none/);
  });
});

describe("help, version, key", () => {
  test("every verb has help with an example, on standard output", async () => {
    const help = await everwrite(["--help"]);
    assert.equal(help.code, 0);
    const verbs = [
      "host",
      "relay",
      "put",
      "get",
      "delete",
      "list",
      "watch",
      "status",
      "members",
      "ring",
      "explain",
      "explain-peer",
      "plan",
      "join",
      "leave",
      "remove",
      "rebalance",
      "repair",
      "import-old",
      "bench",
    ];
    for (const verb of verbs) assert.match(help.text, new RegExp(`^  ${verb} `, "m"));
    const pages = await Promise.all(
      [...verbs.map((verb) => [verb]), ["key", "new"]].map((args) => everwrite([...args, "--help"])),
    );
    for (const page of pages) {
      assert.deepEqual([page.code, page.err], [0, ""]);
      assert.match(page.text, /Example:\n  \$ everwrite /);
    }
  });

  test("--version is that of the package", async () => {
    const { version } = JSON.parse(await readFile(new URL("../../../package.json", import.meta.url), "utf8")) as {
      version: string;
    };
    assert.equal((await everwrite(["--version"])).text, `${version}\n`);
  });

  test("a new key is readable by its owner only, and never replaces another", async () => {
    const file = join(directory, "host.key");
    const made = await everwrite(["key", "new", file, "--json"]);
    assert.match((JSON.parse(made.text) as { id: string }).id, /^12D3KooW/);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const bytes = await readFile(file);
    const again = await everwrite(["key", "new", file]);
    assert.equal(again.code, 1);
    assert.match(again.err, /it exists, and a key is never replaced/);
    assert.deepEqual(await readFile(file), bytes);
  });
});
