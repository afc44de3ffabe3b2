import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import fc from "fast-check";
import { bytes, DecodeError, field, message, optional, text, varint } from "../../core/bytes/codec.ts";
import { StoreError, statusOfCode, type StoreErrorCode } from "../../core/errors.ts";
import type { NodeId } from "../../core/identity.ts";
import { TransportError } from "../../core/ports.ts";
import { ErrorMessage } from "../../core/rpc/common-messages.ts";
import { call, type Method, methods, type Restart, RpcServer } from "../../core/rpc/rpc.ts";
import type { StoreEvent } from "../../core/telemetry.ts";
import { MemoryCluster, realRandom } from "../support/memory-cluster.ts";
import { realClock } from "../support/real-clock.ts";
import { failsWith, texts, utf8 } from "../support/values.ts";
import { MemoryNetwork, type MemoryTransport } from "./memory-transport.ts";

const server = "server" as NodeId;

/** A server and a client that is connected to it. */
async function pair(restart?: Restart): Promise<{
  rpc: RpcServer;
  host: MemoryTransport;
  client: MemoryTransport;
  network: MemoryNetwork;
  events: StoreEvent[];
}> {
  const network = new MemoryNetwork({ clock: realClock, random: realRandom });
  const host = network.node(server);
  const client = network.node("client");
  const events: StoreEvent[] = [];
  const rpc = new RpcServer({ event: (event) => void events.push(event) });
  rpc.listen(host, restart);
  await client.meet("memory:server");
  return { rpc, host, client, network, events };
}

const read = (client: MemoryTransport) => call(client, server, methods.read, { key: "b/k" }, 1_000);

/** Runs `answer` for each read, and tells what the client gets. */
async function readAnswered(answer: () => Promise<never>): Promise<unknown> {
  const { rpc, client } = await pair();
  rpc.on(methods.read, answer);
  return read(client).then(
    () => assert.fail("the read should fail"),
    (error: unknown) => error,
  );
}

describe("an error over the wire", () => {
  test("keeps its code, its text and its detail", async () => {
    for (const code of Object.keys(statusOfCode) as StoreErrorCode[]) {
      const detail = { needed: 3, got: 1, from: ["h1", "h2"] };
      const error = await readAnswered(() => Promise.reject(new StoreError(code, "what went wrong", detail)));
      assert.ok(error instanceof StoreError);
      assert.deepEqual([error.code, error.message, error.detail], [code, "what went wrong", detail]);
    }
  });

  test("that names more hosts than fit arrives with some of them", async () => {
    const from = Array.from({ length: 1_000 }, (_, i) => `h${i}`);
    const error = await readAnswered(() => Promise.reject(new StoreError("quorum-not-met", "too few", { from })));
    assert.ok(error instanceof StoreError && error.code === "quorum-not-met");
    assert.deepEqual(error.detail.from, from.slice(0, 64));
  });

  test("without a detail arrives without one", async () => {
    const error = await readAnswered(() => Promise.reject(new StoreError("not-ready", "wait")));
    assert.ok(error instanceof StoreError);
    assert.deepEqual(error.detail, {});
  });

  test("with a long text arrives, cut between characters", async () => {
    const error = await readAnswered(() =>
      Promise.reject(new StoreError("bad-request", `x${"\u{1f600}".repeat(600)}`)),
    );
    assert.ok(failsWith("bad-request")(error));
  });

  test("of a code that this version does not know is internal", async () => {
    const { host, client } = await pair();
    const answer = Buffer.concat([
      Uint8Array.of(1),
      ErrorMessage.encode({ code: "too-rainy", message: "rain", from: [] }),
    ]);
    host.serve(async () => answer);
    await assert.rejects(read(client), failsWith("internal"));
  });

  test("of a handler's bug tells the peer nothing and the log everything", async () => {
    const { rpc, client, events } = await pair();
    rpc.on(methods.read, () => Promise.reject(new Error("secret detail")));
    await assert.rejects(read(client), (error: unknown) => {
      assert.ok(failsWith("internal")(error));
      assert.doesNotMatch((error as StoreError).message, /secret/);
      return true;
    });
    const [event] = events;
    assert.ok(event?.kind === "task-failed" && event.reason.includes("secret detail"));
  });

  test("of a peer that could not be asked in turn is not-ready: nothing was done", async () => {
    const error = await readAnswered(() => Promise.reject(new TransportError("not-sent", "h2 is away")));
    assert.ok(failsWith("not-ready")(error));
  });
});

describe("an answer that nobody can read", () => {
  for (const [what, answer] of [
    ["of an unknown kind", Uint8Array.of(7, 1, 2)],
    ["without a byte", new Uint8Array(0)],
    ["with a damaged message", Uint8Array.of(0, 255, 255, 255)],
    ["with a damaged error", Uint8Array.of(1, 255)],
  ] as const) {
    test(`${what} counts as lost, for the peer may have acted`, async () => {
      const { host, client } = await pair();
      host.serve(async () => answer);
      await assert.rejects(read(client), (error: unknown) => error instanceof TransportError && error.kind === "lost");
    });
  }
});

describe("a server", () => {
  test("answers a method that has no handler yet with not-ready: the host is still starting", async () => {
    const { client } = await pair();
    await assert.rejects(read(client), failsWith("not-ready"));
  });

  describe("that starts again", () => {
    const answer = { siblings: [], deleted: false, degraded: false };
    const restart = { clock: realClock, methods: [methods.read], members: new Map() };
    const stillWaits = (asked: Promise<unknown>, ms: number) =>
      Promise.race([asked.catch((error: unknown) => error), setTimeout(ms, "waits")]);

    test("lets a stranger wait for what it is asked", async () => {
      const { rpc, client } = await pair(restart);
      const answered = call(client, server, methods.read, { key: "b/k" }, 30_000);
      assert.equal(await stillWaits(answered, 50), "waits");
      rpc.on(methods.read, async () => answer);
      assert.deepEqual(await answered, answer);
    });

    test("refuses at once a member, which asks another host, and what clients do not call", async () => {
      for (const [given, asked] of [
        [{ ...restart, members: new Map([["client" as NodeId, true]]) }, methods.read],
        [{ ...restart, methods: [methods.write] }, methods.read],
      ] as const) {
        const { client } = await pair(given);
        const told = await stillWaits(call(client, server, asked, { key: "b/k" }, 30_000), 1_000);
        assert.ok(failsWith("not-ready")(told));
      }
    });

    test("refuses strangers, too, when it takes long: not each after as long again", async () => {
      const { client } = await pair(restart);
      await assert.rejects(call(client, server, methods.read, { key: "b/k" }, 30_000), failsWith("not-ready"));
      assert.ok(
        failsWith("not-ready")(await stillWaits(call(client, server, methods.read, { key: "b/k" }, 30_000), 1_000)),
      );
    });

    test("answers nothing that came so early that nobody waits for it any more", async () => {
      const clock = { ...realClock, aheadMs: 0, now: () => realClock.now() + clock.aheadMs };
      const { rpc, client } = await pair({ ...restart, clock });
      const asked = call(client, server, methods.read, { key: "b/k" }, 30_000);
      assert.equal(await stillWaits(asked, 50), "waits");
      clock.aheadMs = 60_000;
      let begun = 0;
      rpc.on(methods.read, async () => (begun++, answer));
      await assert.rejects(asked, failsWith("not-ready"));
      assert.equal(begun, 0);
    });

    test("lets go of those that wait when it stops", async () => {
      const { rpc, network, client } = await pair();
      const host = network.node("other");
      const stop = rpc.listen(host, { ...restart, clock: { ...realClock, after: () => () => {} } });
      await client.meet("memory:other");
      const asked = call(client, "other" as NodeId, methods.read, { key: "b/k" }, 30_000);
      assert.equal(await stillWaits(asked, 50), "waits");
      stop();
      await assert.rejects(asked, failsWith("not-ready"));
    });
  });

  test("that starts anew answers outcome-unknown to what is under way, for it may have acted, then not-ready", async () => {
    const { rpc, client } = await pair();
    rpc.on(methods.read, async () => {
      rpc.clear();
      return { siblings: [], deleted: false, degraded: false };
    });
    await assert.rejects(read(client), failsWith("outcome-unknown"));
    await assert.rejects(read(client), failsWith("not-ready"));
  });

  test("answers an unknown method and an empty body with bad-request", async () => {
    const { client } = await pair();
    for (const body of [new Uint8Array(0), Uint8Array.of(0), Uint8Array.of(99, 1, 2, 3)]) {
      const answer = await client.request(server, body, 1_000);
      assert.equal(answer[0], 1);
      assert.equal(ErrorMessage.decode(answer.subarray(1)).code, "bad-request");
    }
  });

  test("never calls a handler with a request that does not decode, and tells who sent it", async () => {
    const { rpc, client, events } = await pair();
    let called = 0;
    rpc.on(methods.replicate, async () => {
      called += 1;
      return { role: "complete" };
    });
    const answer = await client.request(server, Uint8Array.of(methods.replicate.number, 255, 1), 1_000);
    assert.equal(ErrorMessage.decode(answer.subarray(1)).code, "bad-request");
    assert.equal(called, 0);
    assert.deepEqual(
      events.map((event) => (event.kind === "bad-frame" ? event.from : event.kind)),
      ["client"],
    );
  });

  test("tells an older release not-ready, not bad-request: nothing is wrong with what it asks, and it keeps it", async () => {
    const { rpc, client } = await pair();
    rpc.on(methods.edgeWrite, () => Promise.reject(new Error("not to be called")));
    const answer = await client.request(server, Uint8Array.of(methods.edgeWrite.number, 0x22, 0), 1_000);
    const { code, message: reason } = ErrorMessage.decode(answer.subarray(1));
    assert.deepEqual([code, /field 4 is of an older release/.test(reason)], ["not-ready", true]);
  });

  test("serves a client of another version: fields that it does not know are skipped, both ways", async () => {
    const { rpc, client } = await pair();
    const later = message("LaterRead", { key: field(1, text(64)), mood: field(77, varint), note: field(78, text(64)) });
    const laterAnswer = message("LaterAnswer", {
      deleted: field(2, varint),
      degraded: field(3, varint),
      extra: optional(99, bytes(64)),
    });
    rpc.on(
      { ...methods.read, response: laterAnswer } as Method<never, { deleted: number; degraded: number }>,
      async () => ({
        deleted: 0,
        degraded: 1,
        extra: utf8("more"),
      }),
    );
    const request = { key: "b/k", mood: 5, note: "hello" };
    const asLater = { ...methods.read, request: later } as unknown as typeof methods.read;
    const answer = await call(client, server, asLater, request as never, 1_000);
    assert.deepEqual({ ...answer }, { siblings: [], deleted: false, degraded: true });
  });
});

test("no request of random or truncated bytes crashes a host or changes what it holds", async () => {
  const cluster = await MemoryCluster.of(1);
  try {
    const node = cluster.node("h1");
    await node.put("b", "k", utf8("kept"));
    const client = cluster.network.node("stranger");
    await client.meet("memory:h1");
    const numbers = Object.values(methods).map(({ number }) => number);
    const noise = fc.tuple(fc.constantFrom(...numbers, 0, 200), fc.uint8Array({ maxLength: 80 }));
    const real = fc.constantFrom(...requestsOf(client.self)).chain((body) =>
      fc.tuple(fc.integer({ min: 1, max: body.length - 1 }), fc.option(fc.nat(255))).map(([at, flip]) => {
        if (flip === null) return body.subarray(0, at);
        const changed = body.slice();
        changed[at]! ^= flip;
        return changed;
      }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          noise.map(([first, rest]) => Uint8Array.of(first, ...rest)),
          real,
        ),
        async (random) => {
          // Not a waiting one: the test would wait with it.
          const body = isWaiting(random) ? random.subarray(0, 1) : random;
          const answer = await client.request("h1" as NodeId, body, 5_000);
          assert.ok(answer[0] === 0 || answer[0] === 1);
          if (answer[0] === 1) assert.notEqual(ErrorMessage.decode(answer.subarray(1)).code, "internal");
        },
      ),
      { numRuns: 400 },
    );
    assert.deepEqual(texts((await node.get("b", "k")).siblings), ["kept"]);
    assert.equal((await node.status()).members.length, 1);
    assert.deepEqual(
      cluster.events.filter(({ event }) => event.kind === "task-failed"),
      [],
    );
  } finally {
    await cluster.stop();
  }
});

function isWaiting(body: Uint8Array): boolean {
  if (body[0] !== methods.changes.number) return false;
  try {
    return methods.changes.request.decode(body.subarray(1)).waitMs > 0;
  } catch (error: unknown) {
    assert.ok(error instanceof DecodeError);
    return false;
  }
}

function encoded<Request>(method: Method<Request, never>, request: Request): Uint8Array {
  return Uint8Array.of(method.number, ...method.request.encode(request));
}

/** One well-formed request of each method, whose first byte is the method, that a stranger may send; none of them writes `b/k`. */
function requestsOf(self: NodeId): Uint8Array[] {
  const view = { ring: "00".repeat(8), life: 1 };
  return [
    encoded(methods.exchange as never, { cluster: "test", digest: new Uint8Array(16) }),
    encoded(methods.replicate as never, { view, key: "b/k", state: new Uint8Array(9), hintFor: self }),
    encoded(methods.fetch as never, { view, key: "b/k", have: new Uint8Array(16) }),
    encoded(methods.scan as never, { view, parts: [{ partition: 3 }], bytesMax: 1_000 }),
    encoded(methods.read as never, { key: "b/k", r: "one" }),
    encoded(methods.list as never, { view, bucket: "b", prefix: "", limit: 10 }),
    encoded(methods.changes as never, { view, filters: [{ prefix: "b/", exact: false }], waitMs: 0 }),
  ];
}

test("every message of every method, cut short, is a DecodeError or a whole message", () => {
  for (const body of requestsOf("h1" as NodeId)) {
    const method = Object.values(methods).find(({ number }) => number === body[0])!;
    for (let length = 0; length < body.length - 1; length++) {
      try {
        method.request.decode(body.subarray(1, 1 + length));
      } catch (error: unknown) {
        assert.ok(error instanceof DecodeError, `${method.name} cut to ${length}: ${String(error)}`);
      }
    }
  }
});
