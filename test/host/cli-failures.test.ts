/** What the `everwrite` command says, and ends with, when something is wrong; against the HTTP API over a fake node. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { StoreError } from "../../core/errors.ts";
import { HttpClient } from "../../node-host/cli/client.ts";
import { CliError } from "../../node-host/cli/terminal.ts";
import { type CliResult, resultOf, startCli } from "../support/cli.ts";
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

function everwrite(
  args: readonly string[],
  input: string | Buffer = "",
  env: Record<string, string> = {},
): Promise<CliResult> {
  return resultOf(start(args, env), input);
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

test("a host that hangs, before its answer or in it, is told after a while", async () => {
  for (const [sent, method] of [
    ["", "GET"],
    ["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", "GET"],
    ["", "PUT"],
  ] as const) {
    await using hanging = await answering((socket) => socket.write(sent));
    const client = new HttpClient(hanging.url);
    await assert.rejects(client.json(method, "/status", { silentMs: 200 }), (error: unknown) => {
      assert.ok(error instanceof CliError);
      assert.match(error.message, /^the connection to .* broke \(nothing came for 0\.2 s\)/);
      assert.equal(error.message.includes("the write may survive"), method === "PUT");
      return true;
    });
    client.close();
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
