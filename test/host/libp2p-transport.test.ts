import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { Socket } from "node:net";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { Stream } from "@libp2p/interface";
import { requestProtocol } from "../../core/rpc/frames.ts";
import {
  becomes,
  deferred,
  equal,
  kindIs,
  number,
  pattern,
  stateOf,
  transportConformance,
} from "../conformance/transport.ts";
import { Libp2pNodes, type TestNode } from "../support/libp2p-nodes.ts";

const tooManyBytes = 65 * 1024 * 1024;

for (const [title, listen] of [
  ["libp2p transport over TCP", "/ip4/127.0.0.1/tcp/0"],
  ["libp2p transport over WebSocket", "/ip4/127.0.0.1/tcp/0/ws"],
] as const) {
  transportConformance(title, () => {
    const nodes = new Libp2pNodes(listen);
    return {
      tooManyBytes,
      start: (name) => nodes.start(name),
      kill: (name) => nodes.kill(name),
      close: () => nodes.close(),
    };
  });
}

/** Resolves once `holds`; for what has no event of its own. */
async function eventually(holds: () => boolean, what: string): Promise<void> {
  for (let n = 0; n < 500; n += 1) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail(`never: ${what}`);
}

function requestStreams(node: TestNode, other: TestNode): Stream[] {
  return node.libp2p
    .getConnections(other.libp2p.peerId)
    .flatMap((connection) => connection.streams)
    .filter(({ protocol, status }) => protocol === requestProtocol && status === "open");
}

function ask(from: TestNode, to: TestNode, n: number): Promise<Uint8Array> {
  return from.transport.request(to.transport.self, number(n), 5000);
}

describe("libp2p transport", () => {
  const nodes = new Libp2pNodes();
  after(() => nodes.close());

  it("writes to the socket once for a request and once for its answer", async (t) => {
    const [a, b] = [await nodes.start("whole-a"), await nodes.start("whole-b")];
    b.transport.serve(async (_from, body) => body);
    await a.transport.meet(b.address);
    await ask(a, b, 0);
    const { mock } = t.mock.method(Socket.prototype, "write");
    const requests = 100;
    for (let n = 1; n <= requests; n += 1) await ask(a, b, n);
    // Beside them there may be a ping, or a window that opens.
    const writes = mock.callCount();
    assert.ok(writes >= 2 * requests && writes <= 2 * requests + 10, `${writes} writes for ${requests} requests`);
  });

  it("reads requests and answers without an exception, whose stack trace would cost more than the rest", async (t) => {
    const [a, b] = [await nodes.start("read-a"), await nodes.start("read-b")];
    b.transport.serve(async (_from, body) => body);
    await a.transport.meet(b.address);
    await ask(a, b, 0);
    const { mock } = t.mock.method(globalThis, "RangeError");
    for (let n = 1; n <= 100; n += 1) assert.deepEqual(await ask(a, b, n), number(n));
    assert.equal(mock.callCount(), 0);
  });

  it("writes what one callback tells at its end, in one write, and does not wait for the turn to end", async () => {
    const [a, b] = [await nodes.start("told-a"), await nodes.start("told-b")];
    b.transport.serve(async (_from, body) => body);
    await a.transport.meet(b.address);
    await ask(a, b, 0);
    const [stream] = requestStreams(a, b);
    const writes: number[] = [];
    const send = stream!.send.bind(stream);
    stream!.send = (data) => (writes.push(data.byteLength), send(data));
    for (const n of [1, 2]) a.transport.tell(b.transport.self, number(n));
    await Promise.resolve();
    assert.equal(writes.length, 1);
    const answer = ask(a, b, 3);
    await Promise.resolve();
    assert.equal(writes.length, 1);
    assert.deepEqual(await answer, number(3));
  });

  it("ends a simultaneous open with one stream, and loses no request over it", async () => {
    const [a, b] = await Promise.all([nodes.start("open-a"), nodes.start("open-b")]);
    for (const node of [a, b]) node.transport.serve(async (_from, body) => body);
    await Promise.all([a.transport.meet(b.address), b.transport.meet(a.address)]);
    const all = Array.from({ length: 200 }, (_, n) => [ask(a, b, n), ask(b, a, n)]);
    await Promise.all(all.flat());
    await eventually(
      () => requestStreams(a, b).length === 1 && requestStreams(b, a).length === 1,
      "one stream is left",
    );
    assert.deepEqual(await ask(a, b, 1), number(1));
    assert.deepEqual(await ask(b, a, 2), number(2));
    assert.deepEqual([...a.problems, ...b.problems], []);
  });

  it("reaches a peer whose id the address lacks, and refuses another one than the address names", async () => {
    const [a, b, c] = await Promise.all([nodes.start("id-a"), nodes.start("id-b"), nodes.start("id-c")]);
    const bare = b.address.replace(/\/p2p\/.*$/, "");
    assert.equal(await a.transport.meet(bare), b.transport.self);
    const wrong = `${c.address.replace(/\/p2p\/.*$/, "")}/p2p/${b.transport.self}`;
    const d = await nodes.start("id-d");
    await assert.rejects(d.transport.meet(wrong), kindIs("not-sent"));
  });

  it("answers everything in the end although the handler is slow, with no more under way than agreed", async () => {
    const handlersMax = 4;
    const requestsInFlightMax = 16;
    const [a, b] = await Promise.all([
      nodes.start("slow-a", { requestsInFlightMax }),
      nodes.start("slow-b", { handlersMax, requestsInFlightMax }),
    ]);
    let running = 0;
    let most = 0;
    b.transport.serve(async (_from, body) => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      return body;
    });
    const to = await a.transport.meet(b.address);
    const bodies = Array.from({ length: 2000 }, (_, n) => pattern(1000 + (n % 1000)));
    const answers = await Promise.all(bodies.map((body) => a.transport.request(to, body, 60_000)));
    assert.ok(answers.every((answer, n) => equal(answer, bodies[n]!)));
    assert.ok(most <= handlersMax, `${most} handlers at once`);
    assert.deepEqual(b.problems, [], "a sender that keeps to the window is never paused");
  });

  it("stops reading a peer that has more under way than agreed, and serves all of it in the end", async () => {
    const [a, b] = await Promise.all([
      nodes.start("over-a", { requestsInFlightMax: 4000 }),
      nodes.start("over-b", { requestsInFlightMax: 8, handlersMax: 2 }),
    ]);
    let mostUnread = 0;
    b.transport.serve(async (_from, body) => {
      for (const { readBufferLength } of requestStreams(b, a)) mostUnread = Math.max(mostUnread, readBufferLength);
      await new Promise((resolve) => setImmediate(resolve));
      return body.subarray(0, 4);
    });
    const to = await a.transport.meet(b.address);
    const body = pattern(4096);
    const all = await Promise.all(Array.from({ length: 3000 }, () => a.transport.request(to, body, 60_000)));
    assert.equal(all.length, 3000);
    // 12 MiB were asked at once; unread is what the stream's window lets through, 1 MiB.
    assert.ok(mostUnread <= 2 * 1024 * 1024, `${mostUnread} bytes unread at the peer`);
    assert.ok(
      b.problems.length > 0 && b.problems.every(({ kind }) => kind === "overrun"),
      JSON.stringify(b.problems[0]),
    );
  });

  it("a request not begun by its deadline is never begun", async () => {
    const [a, b] = await Promise.all([nodes.start("late-a"), nodes.start("late-b", { handlersMax: 1 })]);
    const gate = deferred<void>();
    const begun: number[] = [];
    b.transport.serve(async (_from, body) => {
      begun.push(body[3]!);
      await gate.promise;
      return body;
    });
    const to = await a.transport.meet(b.address);
    const first = a.transport.request(to, number(1), 5000);
    // Sent and held by the peer, so for all that is known it may have acted.
    await assert.rejects(a.transport.request(to, number(2), 30), kindIs("lost"));
    gate.resolve();
    await first;
    await a.transport.request(to, number(3), 5000);
    assert.deepEqual(begun, [1, 3]);
  });

  it("a request that still waits for its turn at the deadline is not-sent", async () => {
    const [a, b] = await Promise.all([nodes.start("turn-a", { requestsInFlightMax: 1 }), nodes.start("turn-b")]);
    const gate = deferred<Uint8Array>();
    b.transport.serve(() => gate.promise);
    const to = await a.transport.meet(b.address);
    const first = a.transport.request(to, number(1), 5000);
    await assert.rejects(a.transport.request(to, number(2), 30), kindIs("not-sent"));
    gate.resolve(number(1));
    await first;
  });

  it("a big body does not hold up small requests", async () => {
    const [a, b] = await Promise.all([nodes.start("big-a"), nodes.start("big-b")]);
    b.transport.serve(async (_from, body) => body.subarray(0, 4));
    const to = await a.transport.meet(b.address);
    let bigDone = false;
    const big = a.transport.request(to, new Uint8Array(48 * 1024 * 1024), 60_000).then(() => (bigDone = true));
    for (let n = 0; n < 3; n += 1) await a.transport.request(to, number(n), 5000);
    assert.equal(bigDone, false);
    await big;
  });

  it("stop refuses new requests, but lets running handlers answer", async () => {
    const [a, b] = await Promise.all([nodes.start("stop-a"), nodes.start("stop-b", { graceMs: 5000 })]);
    const begun = deferred<void>();
    const gate = deferred<Uint8Array>();
    b.transport.serve(() => {
      begun.resolve();
      return gate.promise;
    });
    const to = await a.transport.meet(b.address);
    const running = a.transport.request(to, number(1), 5000);
    await begun.promise;
    const stopped = b.transport.stop();
    await assert.rejects(b.transport.request(a.transport.self, number(1), 5000), kindIs("not-sent"));
    await assert.rejects(a.transport.request(to, number(2), 5000), kindIs("not-sent"));
    gate.resolve(number(9));
    assert.deepEqual(await running, number(9));
    await stopped;
  });

  it("two peers that keep each other find together again after their connections broke", async () => {
    const [a, b] = await Promise.all([nodes.start("mend-a"), nodes.start("mend-b")]);
    for (const node of [a, b]) node.transport.serve(async (_from, body) => body);
    const connected = Promise.all([
      becomes(a.transport, b.transport.self, true),
      becomes(b.transport, a.transport.self, true),
    ]);
    a.transport.keep(new Map([[b.transport.self, [b.address]]]));
    b.transport.keep(new Map([[a.transport.self, [a.address]]]));
    await connected;
    // Each end notices it by itself: until then the other one still counts on the old connection.
    const broken = Promise.all([
      becomes(a.transport, b.transport.self, false),
      becomes(b.transport, a.transport.self, false),
    ]);
    for (const connection of a.libp2p.getConnections(b.libp2p.peerId)) connection.abort(new Error("cable pulled"));
    await broken;
    await becomes(a.transport, b.transport.self, true);
    await becomes(b.transport, a.transport.self, true);
    await a.transport.request(b.transport.self, number(1), 5000);
    await b.transport.request(a.transport.self, number(1), 5000);
  });

  it("meeting a peer again, by an address that lacks its id, leaves the link as it is", async () => {
    const [a, b] = await Promise.all([nodes.start("again-a"), nodes.start("again-b")]);
    for (const node of [a, b]) node.transport.serve(async (_from, body) => body);
    const bare = b.address.replace(/\/p2p\/.*$/, "");
    await a.transport.meet(bare);
    await becomes(b.transport, a.transport.self, true);
    const changes: string[] = [];
    for (const node of [a, b]) {
      node.transport.onPeerChange((id, connected) => changes.push(`${id} ${connected ? "came" : "went"}`));
    }
    for (let n = 0; n < 20; n += 1) {
      await a.transport.meet(bare);
      assert.deepEqual(await ask(b, a, n), number(n));
    }
    assert.deepEqual(changes, []);
  });

  for (const [which, order, addressed] of [
    ["smaller", 1, true],
    ["larger", -1, true],
    ["smaller", 1, false],
    ["larger", -1, false],
  ] as const) {
    const from = addressed ? "" : " and no address";
    it(`a peer of the ${which} id${from} whose newer stream broke off at once is reached again in both directions`, async () => {
      const names = [`${which}-${addressed}-a`, `${which}-${addressed}-b`];
      const two = await Promise.all(names.map((name) => nodes.start(name)));
      const [opener, other] = two.toSorted((a, b) => order * (a.transport.self < b.transport.self ? -1 : 1)) as [
        TestNode,
        TestNode,
      ];
      for (const node of two) node.transport.serve(async (_from, body) => body);
      await opener.transport.meet(other.address);
      await becomes(other.transport, opener.transport.self, true);
      opener.transport.keep(new Map([[other.transport.self, [other.address]]]));
      if (addressed) other.transport.keep(new Map([[opener.transport.self, [opener.address]]]));
      const broken = becomes(other.transport, opener.transport.self, false);
      const [connection] = opener.libp2p.getConnections(other.libp2p.peerId);
      // Of this one the opener's transport knows nothing: as if it had ended there before it was taken up.
      const newer = await connection!.newStream(requestProtocol);
      await eventually(() => requestStreams(other, opener).length === 2, "the newer stream is there");
      newer.abort(new Error("broken off"));
      await broken;
      await becomes(other.transport, opener.transport.self, true);
      assert.deepEqual(await ask(other, opener, 1), number(1));
      assert.deepEqual(await ask(opener, other, 2), number(2));
      await eventually(() => requestStreams(opener, other).length === 1, "one stream is left");
    });
  }

  it("tells once why a kept peer is unreachable, by its address, and connects when it is there", async () => {
    const a = await nodes.start("away-a");
    const b = await nodes.start("away-b");
    await nodes.kill("away-b");
    a.transport.keep(new Map([[b.transport.self, [b.address]]]));
    await eventually(() => a.problems.length > 0, "a problem is told");
    assert.equal(a.problems[0]?.kind, "unreachable");
    assert.match(a.problems[0].message, /ECONNREFUSED 127\.0\.0\.1/);
    await nodes.start("away-b");
    await becomes(a.transport, b.transport.self, true);
    assert.equal(a.problems.length, 1);
  });

  it("a killed process fails what waits for it at once", async () => {
    const a = await nodes.start("kill-a");
    const child = fork(fileURLToPath(new URL("./transport-process.js", import.meta.url)));
    const [address] = (await once(child, "message")) as [string];
    const to = await a.transport.meet(address);
    await a.transport.request(to, number(1), 5000);
    const waiting = Array.from({ length: 100 }, () =>
      assert.rejects(a.transport.request(to, new Uint8Array(0), 60_000), kindIs("lost")),
    );
    await a.transport.request(to, number(2), 5000);
    child.kill("SIGKILL");
    await Promise.all(waiting);
    assert.equal(stateOf(a.transport, to).connected, false);
  });

  it("a peer that is connected but silent is cut off, and what waited for it is lost", async () => {
    const a = await nodes.start("mute-a", { silentMs: 300, pingMs: 30 });
    const child = fork(fileURLToPath(new URL("./transport-process.js", import.meta.url)));
    const [address] = (await once(child, "message")) as [string];
    const to = await a.transport.meet(address);
    // A slow handler is not silence: its process answers pings.
    const slow = a.transport.request(to, new Uint8Array(0), 60_000);
    const cut = assert.rejects(slow, kindIs("lost"));
    const settled = await Promise.race([
      slow.catch(() => "rejected"),
      new Promise((resolve) => setTimeout(resolve, 900, "open")),
    ]);
    assert.equal(settled, "open");
    child.kill("SIGSTOP");
    await cut;
    assert.deepEqual(
      a.problems.map(({ kind }) => kind),
      ["silent"],
    );
    child.kill("SIGKILL");
  });
});
