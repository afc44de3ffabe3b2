/** The HTTP API over a fake node: limits, failures, and what a node tells of itself. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { StoreError } from "../../core/errors.ts";
import { fakeId } from "../support/fake-node.ts";
import { type ErrorBody, errorOf, exchange, parse, put, raw, startTestServer } from "../support/http-server.ts";

test("a bug that ends a stream is in the log, too", async () => {
  await using server = await startTestServer();
  server.node.failNext = new TypeError("of the watch");
  assert.match(await (await fetch(`${server.url}/watch/b/k`)).text(), /^event: error\ndata: .*"internal"/);
  const steps = server.node.repair.bind(server.node);
  server.node.repair = async function* (options) {
    for await (const step of steps(options)) {
      yield step;
      throw new TypeError("of the repair");
    }
  };
  const repair = await fetch(`${server.url}/admin/repair`, { method: "POST" });
  assert.match(await repair.text(), /^\{"done":0.*\n\{"error":\{"code":"internal"/);
  const logged = server.logged as { err: Error; method: string; url: string }[];
  assert.deepEqual(
    logged.map(({ err, method, url }) => [err.message, method, url]),
    [
      ["of the watch", "GET", "/watch/b/k"],
      ["of the repair", "POST", "/admin/repair"],
    ],
  );
});

describe("limits", () => {
  test("a value of exactly 1 MiB is stored; one byte more is 413, nothing is stored, and the connection goes on", async () => {
    await using server = await startTestServer();
    const value = randomBytes(1_048_576);
    assert.equal((await put(server, "/kv/b/k", value)).status, 200);
    assert.deepEqual(Buffer.from(await (await fetch(`${server.url}/kv/b/k`)).arrayBuffer()), value);

    const tooMuch = Buffer.concat([value, Buffer.from("!")]);
    const size = tooMuch.length;
    const declared = Buffer.from(`PUT /kv/b/big HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${size}\r\n\r\n`);
    const chunked = Buffer.from(
      `PUT /kv/b/big HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n${size.toString(16)}\r\n`,
    );
    const chunkEnd = Buffer.from("\r\n0\r\n\r\n");
    const next = Buffer.from("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    for (const request of [Buffer.concat([declared, tooMuch]), Buffer.concat([chunked, tooMuch, chunkEnd])]) {
      const answers = await exchange(server.port, Buffer.concat([request, next]));
      const first = parse(answers);
      assert.equal(first.status, 413);
      assert.match(first.body, /"code":"value-too-large"/);
      assert.match(answers, /HTTP\/1.1 200 OK[^]*\{"ok":true\}$/, "the request after it is answered");
    }
    assert.deepEqual([...server.node.states.keys()], ["b/k"]);
  });

  test("headers up to 64 KiB are taken; beyond, 431 in the error form", async () => {
    await using server = await startTestServer();
    assert.equal((await raw(server.port, `GET /healthz\nX-Large: ${"x".repeat(65_000)}`)).status, 200);
    const answer = await raw(server.port, `GET /healthz\nX-Large: ${"x".repeat(66_000)}`);
    assert.equal(answer.status, 431);
    assert.equal((JSON.parse(answer.body) as ErrorBody).error.code, "bad-request");
  });

  test("no header is overlooked, however many are before it", async () => {
    await using server = await startTestServer();
    const many = Array.from({ length: 2_500 }, (_, i) => `x${i}: y`).join("\n");
    const answer = await raw(server.port, `PUT /kv/b/k\nHost: localhost\n${many}\nEverwrite-Context: garbage`, "x");
    assert.equal(answer.status, 400);
    assert.equal((JSON.parse(answer.body) as ErrorBody).error.code, "bad-context");
    assert.deepEqual([...server.node.states.keys()], []);
  });

  test("an expectation that nobody knows is ignored, as HTTP allows", async () => {
    await using server = await startTestServer();
    assert.equal((await raw(server.port, "PUT /kv/b/k\nExpect: the-unexpected", "x")).status, 200);
  });

  test("what is not HTTP is 400 in the error form", async () => {
    await using server = await startTestServer();
    for (const nonsense of [
      "NONSENSE\r\n\r\n",
      "GET / HTTP/1.1\r\nBad Header\r\n\r\n",
      "FETCH /kv/b/k HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ]) {
      const answer = parse(await exchange(server.port, Buffer.from(nonsense)));
      assert.equal(answer.status, 400);
      assert.equal((JSON.parse(answer.body) as ErrorBody).error.code, "bad-request");
    }
  });

  test("a body that breaks off stores nothing", async () => {
    await using server = await startTestServer();
    const answer = await exchange(
      server.port,
      Buffer.from("PUT /kv/b/k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    );
    assert.equal(parse(answer).status, 400);
    assert.deepEqual(server.node.calls, []);
    assert.deepEqual(server.logged, []);
  });
});

describe("failures", () => {
  test("each code has its status, and the detail is in the error", async () => {
    await using server = await startTestServer();
    const statuses = {
      "bad-context": 400,
      unauthorized: 401,
      forbidden: 403,
      "precondition-failed": 409,
      "value-too-large": 413,
      "too-many-siblings": 429,
      overloaded: 429,
      corrupt: 500,
      "quorum-not-met": 503,
      "storage-full": 503,
      "not-ready": 503,
      "outcome-unknown": 504,
    } as const;
    for (const [code, status] of Object.entries(statuses) as [keyof typeof statuses, number][]) {
      server.node.failNext = new StoreError(code, "why", { needed: 2, got: 1 });
      const error = await errorOf(await fetch(`${server.url}/kv/b/k`));
      assert.deepEqual(error, { status, code, message: "why", needed: 2, got: 1 });
    }
  });

  test("after a 5xx of a write the answer says that the write may survive; a host that is not ready did nothing", async () => {
    await using server = await startTestServer();
    for (const [code, survives] of [
      ["quorum-not-met", true],
      ["outcome-unknown", true],
      ["not-ready", undefined],
      ["overloaded", undefined],
    ] as const) {
      server.node.failNext = new StoreError(code, "why");
      const error = await errorOf(await put(server, "/kv/b/k", "x"));
      assert.equal(error.writeMaySurvive, survives, code);
      assert.equal(error.message.includes("the write may still survive"), survives === true);
    }
  });

  test("a write that was refused before anything was stored does not survive, and says so", async () => {
    await using server = await startTestServer();
    server.node.failNext = new StoreError("quorum-not-met", "why", { nothingWritten: true });
    const error = await errorOf(await put(server, "/kv/b/k", "x"));
    assert.deepEqual(error, { status: 503, code: "quorum-not-met", message: "why", nothingWritten: true });
  });

  test("a bug is 500 with nothing of its text, which is in the log", async () => {
    await using server = await startTestServer();
    server.node.failNext = new TypeError("secret detail");
    const error = await errorOf(await fetch(`${server.url}/kv/b/k`));
    assert.deepEqual([error.status, error.code], [500, "internal"]);
    assert.doesNotMatch(error.message, /secret/);
    assert.equal(server.logged.length, 1);
  });

  test("a read whose client has gone is cancelled", async () => {
    await using server = await startTestServer();
    let release = (): void => {};
    server.node.hold = new Promise((resolve) => (release = resolve));
    const client = new AbortController();
    const answer = fetch(`${server.url}/kv/b/k`, { signal: client.signal });
    while (server.node.calls.length === 0) await new Promise(setImmediate);
    const { signal } = (server.node.calls[0] as { options: unknown }).options as { signal: AbortSignal };
    const cancelled = new Promise((resolve) => signal.addEventListener("abort", resolve));
    client.abort();
    await assert.rejects(answer);
    await cancelled;
    release();
  });
});

describe("what a node tells", () => {
  test("status, members, ring, explain and explain-peer are JSON", async () => {
    await using server = await startTestServer();
    const read = async (path: string): Promise<Record<string, unknown>> =>
      (await (await fetch(`${server.url}${path}`)).json()) as Record<string, unknown>;
    assert.deepEqual(await read("/status"), JSON.parse(JSON.stringify(await server.node.status())));
    assert.equal(((await read("/members"))["members"] as { id: string }[])[0]?.id, fakeId);
    assert.equal((await read("/ring"))["fingerprint"], "f1f2");
    assert.equal((await read("/explain/b/a%2Fk"))["key"], "b/a/k");
    assert.equal((await read(`/explain-peer/${fakeId}`))["verdict"], "this node itself");
    assert.equal((await fetch(`${server.url}/explain-peer/nobody`)).status, 404);
  });

  test("healthz says alive, readyz says of use, and why not", async () => {
    await using server = await startTestServer();
    assert.equal((await fetch(`${server.url}/readyz`)).status, 200);
    server.node.ready = false;
    assert.equal((await fetch(`${server.url}/healthz`)).status, 200);
    const error = await errorOf(await fetch(`${server.url}/readyz`));
    assert.deepEqual([error.status, error.code], [503, "not-ready"]);
    assert.match(error.message, /waiting for the seed/);
  });

  test("metrics count the node's events and show its state at each scrape", async () => {
    await using server = await startTestServer();
    server.metrics.telemetry.event({ kind: "request", verb: "get", ms: 4, outcome: "ok", siblings: 2, bytes: 100 });
    server.metrics.telemetry.event({ kind: "read-repair", replicas: 2 });
    await server.node.put("b", "k", new Uint8Array());
    const response = await fetch(`${server.url}/metrics`);
    assert.match(response.headers.get("content-type") ?? "", /^text\/plain; version=0.0.4/);
    const text = await response.text();
    for (const line of [
      'everwrite_request_seconds_bucket{le="0.003",verb="get",outcome="ok"} 0',
      'everwrite_request_seconds_bucket{le="0.005",verb="get",outcome="ok"} 1',
      'everwrite_read_siblings_bucket{le="2"} 1',
      'everwrite_value_bytes_sum{verb="get"} 100',
      "everwrite_read_repairs_total 2",
      "everwrite_hints_stored_total 0",
      "everwrite_keys 1",
      'everwrite_members{status="up",alive="true"} 1',
      'everwrite_partitions{state="owned"} 4',
    ]) {
      assert.ok(text.split("\n").includes(line), `${line}\nis not in\n${text}`);
    }
  });

  test("metrics tell hints by the host they are for, with their age, as long as there are any", async () => {
    await using server = await startTestServer();
    const now = await server.node.status();
    const lines = async (hintsFor: typeof now.hintsFor): Promise<string[]> => {
      server.node.status = async () => ({ ...now, hintsFor });
      const text = await (await fetch(`${server.url}/metrics`)).text();
      return text.split("\n").filter((line) => line.startsWith("everwrite_hints_for"));
    };
    const host = `{host="${fakeId}"}`;
    assert.deepEqual(await lines([{ for: fakeId, count: 2, bytes: 30, oldestMs: 4_000 }]), [
      `everwrite_hints_for${host} 2`,
      `everwrite_hints_for_bytes${host} 30`,
      `everwrite_hints_for_oldest_seconds${host} 4`,
    ]);
    assert.deepEqual(await lines([]), []);
  });
});
