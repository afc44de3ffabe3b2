/** The built `everwrite` command as a child process, against the HTTP API over a fake node. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { StoreError } from "../../core/errors.ts";
import { fakeBrowserId, fakeId } from "../support/fake-node.ts";
import { startTestServer, type TestServer } from "../support/http-server.ts";

const main = fileURLToPath(new URL("../../node-host/main.js", import.meta.url));

interface Result {
  readonly code: number | null;
  readonly out: Buffer;
  readonly text: string;
  readonly err: string;
}

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
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("EVERWRITE_")));
  return spawn(process.execPath, [main, ...args], { env: { ...clean, EVERWRITE_HTTP: server.url, ...env } });
}

async function everwrite(
  args: readonly string[],
  input: string | Buffer = "",
  env: Record<string, string> = {},
): Promise<Result> {
  const child = start(args, env);
  child.stdin.on("error", () => undefined); // a command that does not read closes it
  child.stdin.end(input);
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
  const [code] = (await once(child, "close")) as [number | null];
  const bytes = Buffer.concat(out);
  return { code, out: bytes, text: bytes.toString(), err: Buffer.concat(err).toString() };
}

/** A server that answers each request's first bytes so. */
async function answering(answer: (socket: Socket) => void): Promise<AsyncDisposable & { readonly url: string }> {
  const listener = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => answer(socket));
  }).listen(0, "127.0.0.1");
  await once(listener, "listening");
  const url = `http://127.0.0.1:${(listener.address() as AddressInfo).port}`;
  return { url, [Symbol.asyncDispose]: async () => void listener.close() };
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

describe("failures", () => {
  test("a quorum that was not met is exit code 4, other failures are 1, with the host's own words", async () => {
    server.node.failNext = new StoreError("quorum-not-met", "2 of 3 replicas needed for put, 1 answered", {
      needed: 2,
      got: 1,
    });
    const put = await everwrite(["put", "b/k", "x"]);
    assert.equal(put.code, 4);
    assert.match(put.err, /^everwrite: 2 of 3 replicas needed for put, 1 answered; the write may still survive/);
    assert.match(put.err, /\n\(`everwrite status` tells which hosts do not answer\)\n$/);
    server.node.failNext = new StoreError("quorum-not-met", "why", { needed: 2, got: 1 });
    const get = await everwrite(["get", "b/k", "--json"]);
    assert.equal(get.code, 4);
    assert.deepEqual(JSON.parse(get.err), { error: { code: "quorum-not-met", message: "why", needed: 2, got: 1 } });
    assert.equal((await everwrite(["put", "b/k", "x", "--context", "forged"])).code, 1);
    assert.equal((await everwrite(["put", "b/k", "-"], Buffer.alloc(1_048_577))).code, 1, "too large");
  });

  test("wrong usage is exit code 2 and says what is right", async () => {
    for (const [args, pattern] of [
      [["fly"], /unknown command 'fly'/],
      [["get"], /missing required argument 'bucket\/key'/],
      [["get", "carts"], /"carts" names no key: expected BUCKET\/KEY/],
      [["get", "b/k", "--fast"], /unknown option '--fast'/],
      [["get", "b/k", "--r", "two"], /Expected one, quorum, all or a positive integer/],
      [["get", "b/k", "extra"], /too many arguments/],
      [["get", "b/.."], /the path segment "\.\." is not allowed/],
      [["put", "b/k"], /give the value/],
      [["put", "b/k", "x", "--file", "f"], /give the value/],
      [["put", "b/k", "x", "--kind", "crdt"], /Expected one of opaque, lww, yjs/],
      [["status", "--http", "ftp://x"], /not a URL/],
      [["host", "--http", "nowhere"], /--http: "nowhere" is not HOST:PORT/],
      [["host", "--n", "3", "--n", "4"], /--n is given 2 times/],
      [["host", "--admission", "grants"], /"grants" is not one of open/],
    ] as const) {
      const result = await everwrite(args);
      assert.equal(result.code, 2, `${args.join(" ")}: ${result.err}`);
      assert.match(result.err, pattern);
      assert.equal(result.text, "");
    }
  });

  test("where no host answers, it says what to do; where something else answers, it says that", async () => {
    const closed = createServer().listen(0, "127.0.0.1");
    await once(closed, "listening");
    const { port } = closed.address() as AddressInfo;
    closed.close();
    const none = await everwrite(["status", "--http", `127.0.0.1:${port}`]);
    assert.equal(none.code, 1);
    assert.match(
      none.err,
      /no host answers at http:\/\/127\.0\.0\.1:\d+: is it running\? Start one with `everwrite host`/,
    );
    const other = createServer((socket) => socket.end("HTTP/1.1 418 Teapot\r\nconnection: close\r\n\r\nshort")).listen(
      0,
      "127.0.0.1",
    );
    await once(other, "listening");
    const strange = await everwrite(["status", "--http", `127.0.0.1:${(other.address() as AddressInfo).port}`]);
    assert.equal(strange.code, 1);
    assert.match(strange.err, /HTTP 418 and not of an Everwrite host: name one with --http\. It begins: short/);
    other.close();
    const page = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<html>\u001b[2J";
    for (const args of [["status"], ["get", "b/k"], ["delete", "b/k"]]) {
      await using site = await answering((socket) => socket.end(page));
      const { code, err } = await everwrite([...args, "--http", site.url]);
      assert.equal(code, 1);
      assert.match(err, /^everwrite: the answer is HTTP 200 and not of an Everwrite host.*<html>\\x1b\[2J\n$/);
    }
  });

  test("a connection that breaks is told in a sentence, with what to do where a write may survive", async () => {
    const head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
    const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
    for (const [args, sent, pattern] of [
      [["status"], "", / broke \(socket hang up\)\n$/],
      [["status"], head + chunk('{"id":'), / broke \(aborted\)\n$/],
      [["get", "b/k"], head + chunk('{"siblings":'), / broke \(aborted\)\n$/],
      [
        ["put", "b/k", "x"],
        "",
        /: the write may survive, so read before you write again, or repeat it with --write-id\n$/,
      ],
      [["delete", "b/k", "--context", "c"], "", /: the delete may survive, so read before you delete again\n$/],
      [["watch", "b/"], head + chunk(": ping\n\n"), / broke \(aborted\)\n$/],
      [["repair"], head, /: it may go on, which `everwrite status` tells\n$/],
    ] as const) {
      await using dying = await answering((socket) => socket.write(sent, () => socket.destroy()));
      const { code, err } = await everwrite([...args, "--http", dying.url]);
      assert.equal(code, 1, args.join(" "));
      assert.match(err, /^everwrite: the connection to http:\/\/127\.0\.0\.1:[0-9]+ broke [^\n]*\n$/, args.join(" "));
      assert.match(err, pattern, args.join(" "));
    }
  });

  test("a file that cannot be read or written is named", async () => {
    await everwrite(["put", "b/k", "x"]);
    const file = join(directory, "no", "such", "file");
    for (const [args, pattern] of [
      [["put", "b/k", "--file", file], /^everwrite: cannot read .*file: ENOENT/],
      [["get", "b/k", "--out", file], /^everwrite: cannot write .*file: ENOENT/],
    ] as const) {
      const { code, err } = await everwrite(args);
      assert.equal(code, 1);
      assert.match(err, pattern);
    }
  });

  test("an empty EVERWRITE_HTTP is none", async () => {
    const { err } = await everwrite(["status"], "", { EVERWRITE_HTTP: "" });
    assert.doesNotMatch(err, /not a URL/);
  });

  test("a host behind a path of a proxy is asked under that path", async () => {
    for (const [suffix, line] of [
      ["/hosts/1/", "GET /hosts/1/status HTTP/1.1"],
      ["/hosts/1", "GET /hosts/1/status HTTP/1.1"],
      ["/", "GET /status HTTP/1.1"],
    ] as const) {
      let asked = "";
      const proxy = createServer((socket) =>
        socket.once("data", (head: Buffer) => {
          asked = head.toString().split("\r\n")[0]!;
          socket.end("HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n");
        }),
      ).listen(0, "127.0.0.1");
      await once(proxy, "listening");
      await everwrite(["status", "--http", `http://127.0.0.1:${(proxy.address() as AddressInfo).port}${suffix}`]);
      proxy.close();
      assert.equal(asked, line);
    }
  });

  test("a reader that leaves early is no failure", async () => {
    for (let n = 0; n < 100; n += 1) await server.node.put("b", `${"k".repeat(1_000)}${n}`, new Uint8Array());
    const child = start(["list", "b"]);
    let err = "";
    child.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
    child.stdout.destroy();
    const [code] = (await once(child, "close")) as [number];
    assert.deepEqual([code, err], [0, ""]);
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
