/** Watching by server-sent events. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { StoreError } from "../../core/errors.ts";
import { startTestServer, type TestServer } from "../support/http-server.ts";

/** The frames of a stream, one by one; ends with the stream. */
async function* frames(url: string, signal?: AbortSignal): AsyncGenerator<string> {
  const response = await fetch(url, signal ? { signal } : {});
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "text/event-stream; charset=utf-8");
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk as Uint8Array).toString();
    const parts = text.split("\n\n");
    text = parts.pop() ?? "";
    yield* parts;
  }
}

async function next(stream: AsyncGenerator<string>): Promise<string> {
  const { value, done } = await stream.next();
  assert.ok(!done, "the stream ended");
  return value;
}

function state(frame: string): { bucket: string; key: string; siblings: { value: string }[]; context: string | null } {
  const [event, data] = frame.split("\n");
  assert.equal(event, "event: state");
  return JSON.parse(data?.replace(/^data: /, "") ?? "");
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate);
}

function write(server: TestServer, name: string, value: string): Promise<unknown> {
  return server.node.put("b", name, Buffer.from(value));
}

test("a watch of a key tells the current state first, then each change", async () => {
  await using server = await startTestServer();
  const stream = frames(`${server.url}/watch/b/k`);
  assert.deepEqual(state(await next(stream)), { bucket: "b", key: "k", siblings: [], context: null });
  await write(server, "k", "one");
  const { siblings, context } = state(await next(stream));
  assert.deepEqual([siblings[0]?.value, context], ["one", "ctx-1"]);
  await write(server, "other", "x");
  await write(server, "k", "two");
  assert.deepEqual(
    state(await next(stream)).siblings.map(({ value }) => value),
    ["one", "two"],
  );
  await stream.return(undefined);
});

test("a watch of a prefix names the key of each state", async () => {
  await using server = await startTestServer();
  await write(server, "al/1", "x");
  await write(server, "bob", "x");
  const stream = frames(`${server.url}/watch/b/?prefix=al%2F`);
  assert.equal(state(await next(stream)).key, "al/1");
  await write(server, "al/2", "x");
  assert.equal(state(await next(stream)).key, "al/2");
  await stream.return(undefined);
});

test("a client that leaves ends its watch at the node", async () => {
  await using server = await startTestServer();
  const client = new AbortController();
  const stream = frames(`${server.url}/watch/b/k`, client.signal);
  await next(stream);
  assert.equal(server.node.watchers, 1);
  client.abort();
  await assert.rejects(stream.next());
  await until(() => server.node.watchers === 0);
});

test("a silent stream pings", async () => {
  await using server = await startTestServer({ watchPingMs: 5 });
  const stream = frames(`${server.url}/watch/b/?prefix=nothing`);
  assert.equal(await next(stream), ": ping");
  await stream.return(undefined);
});

test("a server that stops ends its streams instead of waiting for their clients", async () => {
  const server = await startTestServer();
  const stream = frames(`${server.url}/watch/b/k`);
  await next(stream);
  await server.close();
  assert.equal((await stream.next()).done, true);
});

test("a watch that fails says so in the stream", async () => {
  await using server = await startTestServer();
  server.node.failNext = new StoreError("not-ready", "starting");
  const stream = frames(`${server.url}/watch/b/k`);
  assert.equal(await next(stream), 'event: error\ndata: {"error":{"code":"not-ready","message":"starting"}}');
  assert.equal((await stream.next()).done, true);
});

test("what cannot be watched is refused before a stream begins", async () => {
  await using server = await startTestServer();
  for (const path of ["/watch/b", "/watch//k", "/watch/b/k?prefix=x", "/watch/b/?name=x", "/watch/b/%zz"]) {
    assert.equal((await fetch(`${server.url}${path}`)).status, 400, path);
  }
});
