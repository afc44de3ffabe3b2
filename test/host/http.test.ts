/** The HTTP API as INTERFACES fixes it, over a fake node: reads, writes, paths, limits. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import fc from "fast-check";
import { StoreError } from "../../core/errors.ts";
import { fakeId } from "../support/fake-node.ts";
import { exchange, parse, raw, startTestServer, type TestServer } from "../support/http-server.ts";

const json = { accept: "application/json" };

interface ErrorBody {
  error: { code: string; message: string; needed?: number; got?: number; writeMaySurvive?: boolean };
}

async function errorOf(response: Response): Promise<{ status: number } & ErrorBody["error"]> {
  return { status: response.status, ...((await response.json()) as ErrorBody).error };
}

function put(
  server: TestServer,
  path: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
) {
  return fetch(`${server.url}${path}`, { method: "PUT", body, headers });
}

describe("values", () => {
  test("what was put comes back with its type, and its context in header and body", async () => {
    await using server = await startTestServer();
    const written = await put(server, "/kv/carts/alice", "book", { "content-type": "text/plain" });
    assert.equal(written.status, 200);
    const receipt = { durable: [fakeId], hinted: [], needed: 1, got: 1, localOnly: false };
    assert.deepEqual(await written.json(), { context: "ctx-1", receipt });

    const value = await fetch(`${server.url}/kv/carts/alice`);
    assert.equal(value.status, 200);
    assert.equal(value.headers.get("content-type"), "text/plain");
    assert.equal(value.headers.get("everwrite-context"), "ctx-1");
    assert.equal(value.headers.get("vary"), "Accept");
    assert.equal(await value.text(), "book");

    const asJson = await fetch(`${server.url}/kv/carts/alice`, { headers: json });
    assert.equal(asJson.headers.get("content-type"), "application/json; charset=utf-8");
    assert.equal(asJson.headers.get("everwrite-context"), "ctx-1");
    assert.deepEqual(await asJson.json(), {
      siblings: [
        {
          value: "book",
          encoding: "utf8",
          contentType: "text/plain",
          kind: "opaque",
          time: "1970-01-01T00:00:01.000Z",
          dot: "00000000000000a1:1",
        },
      ],
      context: "ctx-1",
    });
  });

  test("any bytes under any type survive, also JSON that is none, also nothing", async () => {
    await using server = await startTestServer();
    const type = fc.constantFrom("application/json", "text/html", "application/x-www-form-urlencoded", "image/png");
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 64 }), type, async (bytes, contentType) => {
        server.node.states.clear();
        assert.equal((await put(server, "/kv/b/k", bytes, { "content-type": contentType })).status, 200);
        const value = await fetch(`${server.url}/kv/b/k`);
        assert.equal(value.headers.get("content-type"), contentType);
        assert.deepEqual(new Uint8Array(await value.arrayBuffer()), bytes);
        const { siblings } = (await (await fetch(`${server.url}/kv/b/k`, { headers: json })).json()) as {
          siblings: [{ value: string; encoding: BufferEncoding }];
        };
        assert.deepEqual(new Uint8Array(Buffer.from(siblings[0].value, siblings[0].encoding)), bytes);
      }),
      { numRuns: 50 },
    );
  });

  test("a value without a type is application/octet-stream; one without a body is zero bytes long", async () => {
    await using server = await startTestServer();
    assert.equal((await raw(server.port, "PUT /kv/b/k")).status, 200);
    const read = await raw(server.port, "GET /kv/b/k");
    assert.equal(read.status, 200);
    assert.equal(read.headers["content-type"], "application/octet-stream");
    assert.equal(read.headers["content-length"], "0");
  });

  test("bytes that are not UTF-8 travel in JSON as base64", async () => {
    await using server = await startTestServer();
    await put(server, "/kv/b/k", Uint8Array.of(0xff, 0xfe), { "content-type": "text/plain" });
    const { siblings } = (await (await fetch(`${server.url}/kv/b/k`, { headers: json })).json()) as {
      siblings: [{ value: string; encoding: string }];
    };
    const [{ value, encoding }] = siblings;
    assert.deepEqual([value, encoding], ["//4=", "base64"]);
  });

  test("several siblings are 300 and JSON for whoever asked for the value, 200 for whoever asked for JSON", async () => {
    await using server = await startTestServer();
    await put(server, "/kv/b/k", "one");
    const second = (await (await put(server, "/kv/b/k", "two")).json()) as { context: null };
    assert.equal(second.context, null, "the other value was not returned: read before writing again");
    for (const [accept, status] of [
      ["*/*", 300],
      ["text/plain, application/json;q=0", 300],
      ["application/json", 200],
    ] as const) {
      const read = await fetch(`${server.url}/kv/b/k`, { headers: { accept } });
      assert.equal(read.status, status, accept);
      const { siblings, context } = (await read.json()) as { siblings: { value: string }[]; context: string };
      assert.deepEqual(
        siblings.map(({ value }) => value),
        ["one", "two"],
      );
      assert.equal(read.headers.get("everwrite-context"), context);
    }
  });

  test("a put with the context of both siblings replaces both; returnBody shows what is live", async () => {
    await using server = await startTestServer();
    await put(server, "/kv/b/k", "one");
    const both = (await (await put(server, "/kv/b/k?returnBody=1", "two")).json()) as {
      context: string;
      siblings: object[];
    };
    assert.equal(both.siblings.length, 2);
    await put(server, "/kv/b/k", "merged", { "everwrite-context": both.context });
    assert.equal(await (await fetch(`${server.url}/kv/b/k`)).text(), "merged");
  });

  test("absent is 404 with no siblings, with a context only when there is one", async () => {
    await using server = await startTestServer();
    for (const headers of [{}, json]) {
      const never = await fetch(`${server.url}/kv/b/k`, { headers });
      assert.equal(never.status, 404);
      assert.equal(never.headers.get("everwrite-context"), null);
      const body = (await never.json()) as ErrorBody;
      assert.deepEqual(body, {
        error: { code: "not-found", message: "b/k has no value" },
        siblings: [],
        context: null,
      });
    }
    await put(server, "/kv/b/k", "x");
    const removed = await fetch(`${server.url}/kv/b/k`, {
      method: "DELETE",
      headers: { "everwrite-context": "ctx-1" },
    });
    assert.equal(removed.status, 200);
    const gone = await fetch(`${server.url}/kv/b/k`, { headers: json });
    assert.equal(gone.status, 404);
    assert.equal(gone.headers.get("everwrite-context"), "ctx-2");
  });

  test("a delete that did not see a value leaves it, and the read says that a delete is beside it", async () => {
    await using server = await startTestServer();
    await put(server, "/kv/b/k", "x");
    await fetch(`${server.url}/kv/b/k`, { method: "DELETE" });
    const read = await fetch(`${server.url}/kv/b/k`, { headers: json });
    assert.equal(((await read.json()) as { deleted: boolean }).deleted, true);
    assert.equal((await fetch(`${server.url}/kv/b/k`)).headers.get("everwrite-deleted"), "true");
  });

  test("local=1 asks this replica alone and says what it holds", async () => {
    await using server = await startTestServer();
    const none = await fetch(`${server.url}/kv/b/k?local=1`, { headers: json });
    assert.equal(((await none.json()) as { holding: string }).holding, "none");
    await put(server, "/kv/b/k", "x");
    assert.equal((await fetch(`${server.url}/kv/b/k?local=1`)).headers.get("everwrite-holding"), "complete");
    assert.deepEqual(
      server.node.calls.map(({ verb }) => verb),
      ["getLocal", "put", "getLocal"],
    );
  });

  test("HEAD answers as GET does, without the body", async () => {
    await using server = await startTestServer();
    await put(server, "/kv/b/k", "four");
    const head = await raw(server.port, "HEAD /kv/b/k");
    assert.deepEqual([head.status, head.headers["content-length"], head.body], [200, "4", ""]);
    assert.equal(head.headers["everwrite-context"], "ctx-1");
  });

  test("a stored page cannot act as a page of this origin", async () => {
    await using server = await startTestServer();
    await put(server, "/kv/b/k", "<script>", { "content-type": "text/html" });
    const page = await fetch(`${server.url}/kv/b/k`);
    assert.match(page.headers.get("content-security-policy") ?? "", /^sandbox/);
    assert.equal(page.headers.get("x-content-type-options"), "nosniff");
  });

  test("a content type that another node stored cannot break the answer", async () => {
    await using server = await startTestServer();
    await server.node.put("b", "k", new Uint8Array(), { contentType: "text/plain\r\nSet-Cookie: a=b" });
    const read = await fetch(`${server.url}/kv/b/k`);
    assert.equal(read.headers.get("content-type"), "application/octet-stream");
    assert.equal(read.headers.get("set-cookie"), null);
  });
});

describe("options", () => {
  test("queries and headers reach the node as typed options", async () => {
    await using server = await startTestServer();
    const id = "0123456789ABCDEF";
    await put(server, "/kv/b/k?w=2&pw=one&timeoutMs=100&ttlMs=5000&ifAbsent=1", "x", {
      "everwrite-write-id": id,
      "everwrite-kind": "lww",
      "content-type": "text/plain",
    });
    await fetch(`${server.url}/kv/b/k?r=all&timeoutMs=7`);
    await fetch(`${server.url}/kv/b/?prefix=a%2Fb+c&limit=3&after=z`);
    const [written, read, listed] = server.node.calls.map(({ options }) => options as Record<string, unknown>);
    assert.deepEqual(written, {
      w: 2,
      pw: "one",
      timeoutMs: 100,
      ttlMs: 5_000,
      ifAbsent: true,
      writeId: id.toLowerCase(),
      contentType: "text/plain",
      kind: "lww",
      returnSiblings: false,
    });
    assert.deepEqual([read?.["r"], read?.["timeoutMs"]], ["all", 7]);
    assert.deepEqual(listed, { prefix: "a/b c", limit: 3, after: "z" });
  });

  test("a query that is not understood is refused by name, never ignored", async () => {
    await using server = await startTestServer();
    const queries = [
      ["r=two", /r="two": expected one, quorum, all or a positive integer/],
      ["r=0", /r="0"/],
      ["r=-1", /r="-1"/],
      ["r=1.5", /r="1.5"/],
      ["r=1e3", /r="1e3"/],
      ["r=", /r=""/],
      ["r", /r=""/],
      ["timeoutMs=300001", /timeoutMs="300001": expected an integer from 1 to 300000/],
      ["r=1&r=2", /"r" is given twice/],
      ["w=1", /unknown query parameter "w"; known here: r, timeoutMs, local/],
      ["__proto__=1", /unknown query parameter "__proto__"/],
      ["local=yes", /local="yes": expected 1 or 0/],
      ["r=%zz", /bad escape/],
    ] as const;
    for (const [query, message] of queries) {
      const error = await errorOf(await fetch(`${server.url}/kv/b/k?${query}`));
      assert.deepEqual([error.status, error.code], [400, "bad-request"], query);
      assert.match(error.message, message);
    }
    assert.equal((await fetch(`${server.url}/kv/b/?limit=10001`)).status, 400);
    assert.equal((await put(server, "/kv/b/k?ttlMs=315360000001", "x")).status, 400);
    assert.equal((await fetch(`${server.url}/status?verbose=1`)).status, 400);
    assert.deepEqual(server.node.calls, []);
  });

  test("write id, kind, context and encoding are checked before anything is done", async () => {
    await using server = await startTestServer();
    const cases = [
      [{ "everwrite-write-id": "123" }, "bad-request"],
      [{ "everwrite-kind": "crdt" }, "bad-request"],
      [{ "content-encoding": "gzip" }, "bad-request"],
      [{ "content-type": "nonsense" }, "bad-request"],
      [{ "everwrite-context": "" }, "bad-context"],
      [{ "everwrite-context": "c".repeat(32_769) }, "bad-context"],
    ] as const;
    for (const [headers, code] of cases) {
      const error = await errorOf(await put(server, "/kv/b/k", "x", headers));
      assert.deepEqual([error.status, error.code], [400, code], JSON.stringify(headers).slice(0, 60));
    }
    assert.deepEqual(server.node.calls, []);
    // At the limit it is the node's to judge.
    await put(server, "/kv/b/k", "x", { "everwrite-context": "c".repeat(32_768) });
    assert.equal(server.node.calls.length, 1);
  });
});

describe("paths", () => {
  test("a key's slash may be raw or escaped, and every other character is decoded exactly once", async () => {
    await using server = await startTestServer();
    const sameKey = ["/kv/b/a/%2562%20c", "/kv/b/a%2F%2562%20c", "/%6bv/%62/a%2f%2562%20c"];
    for (const path of sameKey) assert.equal((await raw(server.port, `PUT ${path}`)).status, 200, path);
    assert.deepEqual([...server.node.states.keys()], ["b/a/%62 c"]);
  });

  test("raw UTF-8 in a path is refused with the advice to escape it, rather than read as latin1", async () => {
    await using server = await startTestServer();
    const answer = await raw(server.port, "PUT /kv/b/zoë");
    assert.equal(answer.status, 400);
    assert.match((JSON.parse(answer.body) as ErrorBody).error.message, /escaped UTF-8/);
    assert.equal((await raw(server.port, "PUT /kv/b/zo%C3%AB")).status, 200);
    assert.deepEqual([...server.node.states.keys()], ["b/zoë"]);
  });

  test("any key that the rules allow can be addressed by escaping it", async () => {
    await using server = await startTestServer();
    const segment = fc
      .string({ unit: "grapheme", minLength: 1, maxLength: 8 })
      .filter((text) => !/\p{Surrogate}/u.test(text) && ![".", ".."].includes(text) && !text.includes("/"));
    await fc.assert(
      fc.asyncProperty(segment, fc.array(segment, { minLength: 1, maxLength: 3 }), async (bucket, segments) => {
        server.node.states.clear();
        const name = segments.join("/");
        const path = `/kv/${encodeURIComponent(bucket)}/${encodeURIComponent(name)}`;
        assert.equal((await raw(server.port, `PUT ${path}`)).status, 200, path);
        assert.deepEqual([...server.node.states.keys()], [`${bucket}/${name}`]);
      }),
      { numRuns: 50 },
    );
  });

  test("paths that clients or proxies would rewrite, or that name no key, are 400 and never another key", async () => {
    await using server = await startTestServer();
    const paths = [
      "/kv/a%2Fb/k",
      "/kv//k",
      "/kv/b//k",
      "/kv/b/k/",
      "/kv/b/k%2F",
      "/kv/b/x%2F%2Fy",
      "/kv/b/.",
      "/kv/b/..",
      "/kv/b/%2e%2E",
      "/kv/b/x/../y",
      "/kv/../k",
      "/kv/./k",
      "/kv/b",
      "/kv/b/",
      "/kv/b/%",
      "/kv/b/%zz",
      "/kv/b/%2",
      "/kv/b/%C3",
      "/kv/b/%C0%AF",
      "/kv/%zz/k",
      "/kv/b/x#y",
      "http://127.0.0.1/kv/b/k",
      `/kv/b/${"k".repeat(1_023)}`,
    ];
    for (const path of paths) {
      const answer = await raw(server.port, `PUT ${path}`);
      assert.equal(answer.status, 400, `${path} ${answer.body}`);
      assert.equal((JSON.parse(answer.body) as ErrorBody).error.code, "bad-request", path);
    }
    assert.deepEqual(server.node.calls, []);
    assert.equal((await raw(server.port, `PUT /kv/b/${"k".repeat(1_022)}`)).status, 200);
  });

  test("unknown paths are 404, and wrong methods 405 with what is allowed, in the error form", async () => {
    await using server = await startTestServer();
    for (const path of ["/", "/kv", "/nothing", "/admin/plan", "/status/", "/KV/b/k"]) {
      const error = await errorOf(await fetch(`${server.url}${path}`));
      assert.deepEqual([error.status, error.code], [404, "not-found"], path);
    }
    for (const [method, path, allow] of [
      ["POST", "/kv/b/k", "GET, HEAD, PUT, DELETE"],
      ["OPTIONS", "/kv/b/k", "GET, HEAD, PUT, DELETE"],
      ["PUT", "/status", "GET, HEAD"],
      ["PATCH", "/watch/b/k", "GET"],
    ] as const) {
      const body = method === "OPTIONS" ? {} : { body: "{}" };
      const response = await fetch(`${server.url}${path}`, { method, ...body });
      assert.equal(response.headers.get("allow"), allow);
      const error = await errorOf(response);
      assert.deepEqual([error.status, error.code], [405, "bad-request"], `${method} ${path}`);
    }
    assert.equal((await raw(server.port, "PROPFIND /kv/b/k")).status, 404);
    assert.equal((await raw(server.port, "HEAD /watch/b/k")).status, 405);
  });
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
});
