/** What nobody should send or start, tried on real hosts: each is refused in words, and harms nobody. */
import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { everwrite } from "../support/everwrite.ts";
import { flipInside } from "../support/flip-inside.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { kv, type Kv } from "../support/http-client.ts";
import { freePort } from "../support/ports.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

let folder: string;
let hosts: HostProcesses;
let through: readonly [Kv, Kv, Kv];

before(async () => {
  folder = dirname(temporaryDirectory());
  hosts = await HostProcesses.of(3, folder);
  through = [kv(hosts.url(0)), kv(hosts.url(1)), kv(hosts.url(2))];
});

after(() => hosts.stop());

describe("requests", () => {
  test("keys and values over their limits are refused, those at the limit are taken", async () => {
    const name = (bytes: number): string => "k".repeat(bytes - "limits/".length);
    assert.equal((await through[0].put(`limits/${name(1_024)}`, "x")).status, 200);
    const longKey = await through[0].put(`limits/${name(1_025)}`, "x");
    assert.deepEqual([longKey.status, longKey.json.error?.code], [400, "bad-request"]);
    assert.match(longKey.json.error!.message, /1025 bytes.*1024/);

    const large = await through[0].put("limits/large", new Uint8Array(1_048_577));
    assert.deepEqual([large.status, large.json.error?.code], [413, "value-too-large"]);
    assert.match(large.json.error!.message, /1048576/);
    assert.equal((await through[0].get("limits/large")).status, 404, "nothing was stored");
    assert.equal((await through[0].put("limits/large", new Uint8Array(1_048_576))).status, 200);
  });

  test("a context that is cut off, forged, too long or of another key is refused, and nothing is written", async () => {
    const { context } = await through[0].put("contexts/mine", "x");
    const { context: foreign } = await through[0].put("contexts/other", "x");
    assert.ok(context !== undefined && foreign !== undefined);
    const flipped = context.slice(0, -1) + (context.endsWith("A") ? "B" : "A");
    const inTheMiddle = `${context.slice(0, 20)}${context[20] === "x" ? "y" : "x"}${context.slice(21)}`;
    const bad = {
      "cut off": context.slice(0, -8),
      "cut to one letter": context.slice(0, 1),
      "changed at its end": flipped,
      "changed in its middle": inTheMiddle,
      "of another key": foreign,
      "made up": Buffer.from("I have seen everything").toString("base64url"),
      "no base64url": "%%%",
      "too long": "A".repeat(32_769),
    };
    for (const [what, forged] of Object.entries(bad)) {
      const put = await through[1].put("contexts/mine", "bad", { context: forged });
      assert.deepEqual([put.status, put.json.error?.code], [400, "bad-context"], what);
      const removed = await through[2].delete("contexts/mine", { context: forged });
      assert.deepEqual([removed.status, removed.json.error?.code], [400, "bad-context"], what);
    }
    assert.deepEqual((await through[0].get("contexts/mine")).values, ["x"]);
    assert.equal((await through[2].put("contexts/mine", "good", { context })).status, 200, "the true one still works");
  });

  test("unknown and wrong parameters are refused by name", async () => {
    for (const [query, words] of [
      ["w=0", /w="0"/],
      ["w=many", /w="many"/],
      ["timeoutMs=-1", /timeoutMs/],
      ["sloppy=1", /unknown query parameter "sloppy"/],
      ["w=1&w=2", /given twice/],
    ] as const) {
      const put = await through[0].put("queries/k", "x", { query });
      assert.deepEqual([put.status, put.json.error?.code], [400, "bad-request"], query);
      assert.match(put.json.error!.message, words);
    }
    assert.equal((await through[0].get("queries/k")).status, 404);
  });

  test("a prefix that no key can have is refused, of a list and of a watch, before the answer begins", async () => {
    for (const path of ["kv", "watch"]) {
      const answer = await fetch(`${hosts.url(0)}/${path}/limits/?prefix=${"k".repeat(1_018)}`);
      assert.equal(answer.status, 400, path);
      assert.match(await answer.text(), /bad-request.*1025 bytes.*1024/);
    }
    const longest = "k".repeat(1_017);
    const listed = await fetch(`${hosts.url(0)}/kv/limits/?prefix=${longest}`);
    assert.deepEqual(await listed.json(), { keys: [longest], next: null });
  });
});

describe("a host that is started wrongly", () => {
  test("names the line of a broken config file, an unknown setting in it, and an unknown option", async () => {
    const config = join(folder, "config.json");
    const started = (...flags: string[]) => everwrite("host", "--data", join(folder, "never"), ...flags);
    writeFileSync(config, '{ "n": 3,');
    const broken = await started("--config", config);
    assert.equal(broken.code, 2);
    assert.match(broken.text, /config\.json cannot be read: .*JSON/);
    writeFileSync(config, '{ "replicas": 3 }');
    const unknown = await started("--config", config);
    assert.equal(unknown.code, 2);
    assert.match(unknown.text, /unknown replicas; known are cluster, /);
    const option = await started("--replicas", "3");
    assert.equal(option.code, 2);
    assert.match(option.text, /unknown option '--replicas'/);
    assert.throws(() => readdirSync(join(folder, "never")), /ENOENT/, "nothing was created");
  });

  test("a second process on one data directory says who has it and ends with 1; the first is unharmed", async () => {
    await through[0].put("second/k", "x");
    const second = await everwrite(
      "host",
      "--data",
      hosts.data(0),
      "--http",
      "127.0.0.1:0",
      "--p2p",
      "/ip4/127.0.0.1/tcp/0",
    );
    assert.equal(second.code, 1, second.text);
    assert.match(second.text, /another process .*: end that one, or use another directory/);
    assert.doesNotMatch(second.text, /\s+at \S+ \(/, "no stack trace");
    assert.ok((await hosts.status(0)).ready);
    assert.deepEqual((await through[0].get("second/k")).values, ["x"]);
    assert.equal((await through[0].put("second/after", "y")).status, 200);
  });

  test("a taken port of HTTP or of libp2p is named, and it ends with 1", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as { port: number };
    const started = async (http: number, p2p: number) =>
      everwrite(
        "host",
        "--data",
        join(folder, "ports"),
        "--http",
        `127.0.0.1:${http}`,
        "--p2p",
        `/ip4/127.0.0.1/tcp/${p2p}`,
      );
    try {
      for (const result of [await started(port, await freePort()), await started(await freePort(), port)]) {
        assert.equal(result.code, 1, result.text);
        assert.match(result.text, new RegExp(`cannot listen on .*${port}.*; end the program that has it, or choose`));
        assert.doesNotMatch(result.text, /\s+at \S+ \(/, "no stack trace");
      }
    } finally {
      taken.close();
    }
  });

  test("a data directory that cannot be made, and an address of another machine, are told as that", async () => {
    const file = join(folder, "a-file");
    writeFileSync(file, "");
    const started = (...flags: string[]) => everwrite("host", "--p2p", "/ip4/127.0.0.1/tcp/0", ...flags);
    const elsewhere = ["--data", join(folder, "elsewhere"), "--http"];
    for (const [result, words] of [
      [await started("--data", file), /cannot make the data directory: .*a-file.*; use another one/],
      [await started("--data", join(file, "below")), /cannot make the data directory: .*a-file/],
      [await started(...elsewhere, "192.0.2.1:7070"), /cannot listen on 192\.0\.2\.1:7070 for HTTP: .*of this machine/],
    ] as const) {
      assert.equal(result.code, 1, result.text);
      assert.match(result.text, words);
      assert.doesNotMatch(result.text, /\s+at \S+ \(/, "no stack trace");
    }
  });

  test("other parameters than the cluster's are refused in a sentence that names both", async () => {
    for (const [flags, words] of [
      [["--cluster", "other"], /"?other"?.*everwrite|everwrite.*"?other"?/],
      [["--n", "2"], /\bn\b.*(2.*3|3.*2)/i],
      [["--partitions", "64"], /partitions.*(64.*1024|1024.*64)/i],
    ] as const) {
      const data = join(folder, `refused${flags[0]}`);
      const ports = ["--http", "127.0.0.1:0", "--p2p", "/ip4/127.0.0.1/tcp/0"];
      const refused = await everwrite("host", "--data", data, ...ports, "--seed", hosts.address(0), ...flags);
      assert.ok(refused.code === 1 || refused.code === 2, `${flags.join(" ")}: ${refused.text}`);
      assert.match(refused.text, words);
      assert.doesNotMatch(refused.text, /this host belongs/, "it is said of the host that was asked");
      assert.doesNotMatch(refused.text, /\s+at \S+ \(/, "no stack trace");
    }
    assert.equal((await hosts.status(0)).members.length, 3, "nobody came to be a member");
  });
});

describe("a data directory", () => {
  test("of another cluster or another identity is refused in words, and starts as its own again", async () => {
    await through[2].put("directory/k", "x");
    assert.equal(await hosts.signal(2, "SIGTERM"), 0);
    const ports = ["--http", "127.0.0.1:0", "--p2p", "/ip4/127.0.0.1/tcp/0"];
    const identity = join(folder, "host-3.key");
    const cluster = await everwrite(
      "host",
      "--data",
      hosts.data(2),
      "--identity",
      identity,
      ...ports,
      "--cluster",
      "other",
    );
    assert.ok(cluster.code === 1 || cluster.code === 2, cluster.text);
    assert.match(cluster.text, /other/);
    assert.match(cluster.text, /everwrite/);
    const stranger = await everwrite("host", "--data", hosts.data(2), "--identity", join(folder, "new.key"), ...ports);
    assert.ok(stranger.code === 1 || stranger.code === 2, stranger.text);
    assert.match(stranger.text, /belongs to another node/);
    for (const { text } of [cluster, stranger]) assert.doesNotMatch(text, /\s+at \S+ \(/, "no stack trace");
    await hosts.startAll();
    assert.deepEqual((await through[2].get("directory/k")).values, ["x"]);
  });

  test("with a flipped byte: the damage is named, the value comes from the other hosts, and is mended afterwards", async () => {
    const value = (i: number): string => `${`flip me ${i} `.repeat(40)}end`;
    for (let i = 0; i < 30; i++) await through[0].put(`flipped/${i}`, value(i), { query: "w=all" });
    // LevelDB moves its log into a table when it opens, and serves the table's records unchecked.
    for (let start = 0; start < 2; start++) {
      assert.equal(await hosts.signal(0, "SIGTERM"), 0);
      if (start === 0) await hosts.startAll();
    }
    flipInside(join(hosts.data(0), "store"), "flip me 7 flip me 7 ", { index: 3, bits: 1 });
    await hosts.startAll();

    const local = await through[0].get("flipped/7", "local=1");
    // Anti-entropy may have brought the value already; a damaged one is never shown, and no absence is claimed.
    const isMended = local.values.length > 0;
    assert.deepEqual(local.values, isMended ? [value(7)] : [], "only the true value");
    if (!isMended) assert.equal(local.json.holding, "filling", "a damaged copy is no complete copy");
    assert.deepEqual((await through[0].get("flipped/7")).values, [value(7)], "the others have it");
    await eventually(async () => {
      await through[0].get("flipped/7", "r=all");
      return (await through[0].get("flipped/7", "local=1")).values[0] === value(7);
    }, "the damaged copy to be mended");
    const damaged = async (): Promise<number> => (await hosts.status(0)).storage.corruptRecords;
    await eventually(async () => (await damaged()) === 0, "no record to be told as damaged any more");
    const row = Buffer.from("flipped/7").toString("hex");
    assert.match(hosts.log(0), new RegExp(`corrupt-record.*(?:flipped/7|${row})`), "the log names the key");
    for (let i = 0; i < 30; i++) assert.deepEqual((await through[0].get(`flipped/${i}`)).values, [value(i)]);
  });
});

describe("fewer hosts than N", () => {
  test("work, and say so", async () => {
    await using few = await HostProcesses.of(2, join(folder, "few"));
    const host = kv(few.url(0));
    assert.equal((await host.put("few/k", "x")).status, 200);
    assert.deepEqual((await kv(few.url(1)).get("few/k")).values, ["x"]);
    const { notices } = await few.status(0);
    assert.ok(
      notices.some((notice) => /fewer hosts \(2\) than N=3/.test(notice)),
      notices.join("; "),
    );
    const all = await host.put("few/k", "y", { query: "w=3" });
    assert.deepEqual([all.status, all.json.error?.code], [503, "quorum-not-met"]);
  });
});
