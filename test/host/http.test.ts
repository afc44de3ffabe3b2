/** The HTTP API as INTERFACES fixes it, over a fake node: values, options, paths. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { fakeId } from "../support/fake-node.ts";
import { type ErrorBody, errorOf, put, raw, startTestServer } from "../support/http-server.ts";

const json = { accept: "application/json" };

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
    assert.deepEqual([none.status, none.headers.get("everwrite-holding")], [404, "none"]);
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
    for (const type of ["nonsense", "text/"]) {
      const { message } = await errorOf(await put(server, "/kv/b/k", "x", { "content-type": type }));
      assert.match(message, /must be a media type such as text\/plain/);
    }
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
      const { code, message } = (JSON.parse(answer.body) as ErrorBody).error;
      assert.equal(code, "bad-request", path);
      if (/%(z|2$|$|C)/.test(path)) assert.match(message, /% and two hex digits, and all together are UTF-8/, path);
    }
    assert.deepEqual(server.node.calls, []);
    assert.equal((await raw(server.port, `PUT /kv/b/${"k".repeat(1_022)}`)).status, 200);
  });

  test("unknown paths are 404, and wrong methods 405 with what is allowed, in the error form", async () => {
    await using server = await startTestServer();
    for (const path of ["/", "/kv", "/nothing", "/admin", "/status/", "/KV/b/k"]) {
      const error = await errorOf(await fetch(`${server.url}${path}`));
      assert.deepEqual([error.status, error.code], [404, "not-found"], path);
    }
    for (const [method, path, allow] of [
      ["POST", "/kv/b/k", "GET, HEAD, PUT, DELETE"],
      ["OPTIONS", "/kv/b/k", "GET, HEAD, PUT, DELETE"],
      ["PUT", "/status", "GET, HEAD"],
      ["PATCH", "/watch/b/k", "GET"],
      ["PUT", "/admin/plan", "POST"],
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
