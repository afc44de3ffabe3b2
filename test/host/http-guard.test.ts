/** No web page reaches a host on loopback: neither from its own origin nor by DNS rebinding. Raw sockets, as an attacker's. */
import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { test } from "node:test";
import { exchange, parse, raw, startTestServer } from "../support/http-server.ts";

function code(body: string): string {
  return (JSON.parse(body) as { error: { code: string } }).error.code;
}

test("loopback names and addresses are answered, with any port and in any case", async () => {
  await using server = await startTestServer();
  for (const host of ["localhost", "LOCALHOST:7070", "localhost.", "127.0.0.1", "127.8.8.8:1", "[::1]", "[::1]:7070"]) {
    assert.equal((await raw(server.port, `PUT /kv/b/k\nHost: ${host}`)).status, 200, host);
  }
});

test("a name that was rebound to loopback is refused, whatever the path, also where there is none", async () => {
  await using server = await startTestServer();
  const hosts = [
    "evil.example",
    `evil.example:${server.port}`,
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "localhost@evil.example",
    "evil.example#localhost",
    "127.0.0.1/",
    "10.1.2.3",
    "[::2]",
    "localhost localhost",
    "xn--lcalhost-c6a",
  ];
  for (const host of hosts) {
    for (const target of [
      "PUT /kv/b/k",
      "GET /kv/b/",
      "GET /watch/b/k",
      "GET /status",
      "GET /metrics",
      "GET /nothing",
      "POST /kv/b/k",
    ]) {
      const answer = await raw(server.port, `${target}\nHost: ${host}`);
      assert.deepEqual([answer.status, code(answer.body)], [403, "forbidden"], `${target} for ${host}`);
    }
  }
  assert.deepEqual(server.node.calls, []);
});

test("a request without a Host is refused in the error form", async () => {
  await using server = await startTestServer();
  for (const head of [
    "GET /status HTTP/1.1\r\nConnection: close\r\n\r\n",
    "GET /status HTTP/1.0\r\n\r\n",
    "GET /status HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
  ]) {
    const answer = parse(await exchange(server.port, Buffer.from(head)));
    assert.ok([400, 403].includes(answer.status), head);
    assert.ok(["bad-request", "forbidden"].includes(code(answer.body)));
  }
});

test("two Host headers are refused, whichever of them is ours", async () => {
  await using server = await startTestServer();
  for (const hosts of ["Host: localhost\nhost: evil.example", "Host: localhost\nHOST: localhost"]) {
    const answer = await raw(server.port, `PUT /kv/b/k\n${hosts}`);
    assert.deepEqual([answer.status, code(answer.body)], [400, "bad-request"]);
  }
  assert.deepEqual(server.node.calls, []);
});

test("who takes the host for a proxy is told that it is none, whatever is named as the target", async () => {
  await using server = await startTestServer();
  for (const target of [`http://127.0.0.1:${server.port}`, "http://evil.example", "HTTPS://localhost"]) {
    for (const path of ["PUT {}/kv/b/k", "GET {}/kv/b/", "GET {}/status", "POST {}/admin/rebalance", "GET {}"]) {
      const answer = await raw(server.port, path.replace("{}", target));
      assert.ok(answer.status === 400 || answer.status === 404, `${path} at ${target}: ${answer.status}`);
      assert.ok(["bad-request", "not-found"].includes(code(answer.body)), answer.body);
    }
  }
  for (const target of ["127.0.0.1:1", "evil.example:443"]) {
    const answer = await raw(server.port, `CONNECT ${target}`);
    assert.deepEqual([answer.status, code(answer.body)], [405, "bad-request"]);
    assert.match(answer.body, /no proxy/);
  }
  assert.deepEqual(server.node.calls, []);
});

test("names that were configured are answered", async () => {
  await using server = await startTestServer({ names: ["store.example", "fd00::7"] });
  for (const host of ["store.example", "Store.Example:80", "[fd00::7]:7070"]) {
    assert.equal((await raw(server.port, `GET /healthz\nHost: ${host}`)).status, 200, host);
  }
  assert.equal((await raw(server.port, "GET /healthz\nHost: other.example")).status, 403);
});

test("on a wildcard address the one a connection came in on is answered", async (t) => {
  const address = Object.values(networkInterfaces())
    .flatMap((entries) => entries ?? [])
    .find(({ family, internal }) => family === "IPv4" && !internal)?.address;
  if (address === undefined) return t.diagnostic("this machine has no address beside loopback");
  const { refuseForeign } = await import("../../node-host/http/guard.ts");
  const request = (localAddress: string) => ({
    headers: { host: `${address}:7070` },
    rawHeaders: [],
    socket: { localAddress },
  });
  refuseForeign(request(`::ffff:${address}`) as never, []);
  assert.throws(() => refuseForeign(request("127.0.0.1") as never, []), { code: "forbidden" });
});

test("a page of another origin is refused, also one of another port of this machine; the own origin is not", async () => {
  await using server = await startTestServer();
  const own = `http://127.0.0.1:${server.port}`;
  for (const origin of [
    "http://evil.example",
    "null",
    "http://localhost:3000",
    `http://localhost:${server.port}`,
    `${own}.evil.example`,
    "file://",
    "",
  ]) {
    const answer = await raw(server.port, `PUT /kv/b/k\nOrigin: ${origin}`);
    assert.deepEqual([answer.status, code(answer.body)], [403, "forbidden"], origin);
  }
  assert.deepEqual(server.node.calls, []);
  assert.equal((await raw(server.port, `PUT /kv/b/k\nOrigin: ${own}`)).status, 200);
  const preflight = await raw(
    server.port,
    "OPTIONS /kv/b/k\nOrigin: http://evil.example\nAccess-Control-Request-Method: PUT",
  );
  assert.equal(preflight.status, 403);
  assert.equal(preflight.headers["access-control-allow-origin"], undefined);
});
