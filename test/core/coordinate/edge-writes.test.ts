import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { clockDigest } from "../../../core/causality/clock.ts";
import { actorFromRandom, actorOfEdge, actorOfWriteId } from "../../../core/causality/actor.ts";
import { decodeVersioned } from "../../../core/causality/encoding.ts";
import { stampOfMs, stampToMs } from "../../../core/causality/hybrid-clock.ts";
import { contextSecret, sealContext } from "../../../core/causality/context.ts";
import { type LiveValue, nothingSeen } from "../../../core/causality/version-set.ts";
import { StoreError, type StoreErrorCode, type StoreErrorDetail } from "../../../core/errors.ts";
import type { Infer } from "../../../core/bytes/codec.ts";
import type { Key, NodeId } from "../../../core/identity.ts";
import { RosterMessage, rosterPartOf } from "../../../core/membership/exchange.ts";
import { nothingKnown } from "../../../core/membership/comparison.ts";
import { TransportError } from "../../../core/ports.ts";
import { call, methods } from "../../../core/rpc/rpc.ts";
import type { MemoryCluster } from "../../support/memory-cluster.ts";
import { clockOff } from "../../support/real-clock.ts";
import { failsWith, texts, utf8 } from "../../support/values.ts";
import { intercept, patient, placed, withCluster } from "./scene.ts";

type Request = Infer<typeof methods.edgeWrite.request>;
const nonce = "00000000000000a1";

/** An edge of which the test writes every byte, connected to one host. */
async function edgeAt(cluster: MemoryCluster, host: string, name = "edge") {
  const transport = cluster.stranger(name);
  await transport.meet(`memory:${host}`);
  const askOf = (to: string) => (request: Request) => call(transport, to as NodeId, methods.edgeWrite, request, 5_000);
  return { transport, ask: askOf(host), askOf };
}

/** The `counter`-th event of the edge, of some text. */
function write(
  text: string,
  counter = 1,
  rest: Partial<Omit<Request, "value">> & { readonly value?: Partial<LiveValue> } = {},
): Request {
  const { value, ...other } = rest;
  return {
    key: "b/k",
    event: { nonce, counter },
    contexts: [],
    own: [],
    folds: [],
    ...other,
    value: {
      dot: { actor: actorOfEdge("edge" as NodeId, nonce), counter },
      stamp: stampOfMs(Date.now()),
      kind: "opaque",
      tombstone: false,
      contentType: "text/plain",
      body: utf8(text),
      ...value,
    },
  };
}

const valuesAt = async (cluster: MemoryCluster, host: string, name = "k"): Promise<string[]> =>
  texts((await cluster.node(host).get("b", name, { r: "all" })).siblings);

describe("a write that an edge has minted", { concurrency: true }, () => {
  test("is stored under its own dot by W hosts, and the answer has the state with a context that covers it", () =>
    withCluster(3, async (cluster) => {
      const { ask } = await edgeAt(cluster, "h1");
      const answer = await ask(write("v1", 1, { w: "all" }));
      assert.equal(answer.got, 3);
      const state = decodeVersioned(answer.state!);
      assert.deepEqual(
        state.values.map(({ dot }) => dot),
        [write("v1").value.dot],
      );
      await cluster.node("h2").put("b", "k", utf8("v2"), { context: answer.context, w: "all" });
      assert.deepEqual(await valuesAt(cluster, "h3"), ["v2"]);
    }));

  test("that has seen what cannot be opened is refused with the places of that, alone", () =>
    withCluster(1, async (cluster) => {
      const { ask } = await edgeAt(cluster, "h1");
      const { context } = await ask(write("v1"));
      const lost = sealContext(nothingSeen, "b/k" as Key, contextSecret(new Uint8Array(32)));
      const refused = ask(write("v2", 2, { contexts: [lost, context, lost] }));
      await assert.rejects(refused, (error) => {
        assert.ok(error instanceof StoreError);
        assert.deepEqual([error.code, error.detail.contexts], ["bad-context", [0, 2]]);
        return true;
      });
      const other = { value: { dot: { actor: actorOfEdge("other" as NodeId, nonce), counter: 2 } } };
      await assert.rejects(ask(write("v2", 2, other)), (error) => {
        assert.ok(error instanceof StoreError && error.code === "bad-context");
        assert.equal(error.detail.contexts, undefined);
        return true;
      });
    }));

  test("is one event however often and wherever it arrives, also after it was overwritten", () =>
    withCluster(3, async (cluster) => {
      const { transport, ask, askOf } = await edgeAt(cluster, "h1");
      await transport.meet("memory:h2");
      const first = await ask(write("v1"));
      assert.equal((await askOf("h2")(write("v1", 1, { w: "all" }))).got, 3);
      assert.deepEqual(await valuesAt(cluster, "h3"), ["v1"]);
      await cluster.node("h3").put("b", "k", utf8("v2"), { context: first.context, w: "all" });
      const repeated = await ask(write("v1", 1, { w: "all" }));
      assert.equal(repeated.got, 3);
      assert.deepEqual(await valuesAt(cluster, "h1"), ["v2"]);
    }));

  test("drops what its contexts and its own earlier events cover, sent or not", () =>
    withCluster(3, async (cluster) => {
      const { ask } = await edgeAt(cluster, "h1");
      const { context } = await cluster.node("h2").put("b", "k", utf8("read"), { w: "all" });
      await ask(write("first", 1, { w: "all" }));
      assert.deepEqual(await valuesAt(cluster, "h3"), ["first", "read"]);
      // Event 2 was never sent: event 3 has seen it.
      await ask(write("third", 3, { contexts: [context!], own: [{ nonce, counter: 2 }], w: "all" }));
      assert.deepEqual(await valuesAt(cluster, "h3"), ["third"]);
      await ask(write("second", 2, { w: "all" }));
      assert.deepEqual(await valuesAt(cluster, "h3"), ["third"]);
    }));

  test("goes through a host that does not own the key, for which an owner takes the member's word", () =>
    withCluster(5, async (cluster) => {
      const { name, walk } = await placed(cluster);
      const outsider = walk[4]!;
      const { ask } = await edgeAt(cluster, outsider);
      const request = { ...write("v", 1, { w: "all" }), key: `b/${name}` };
      const { durable } = await ask(request);
      assert.deepEqual(durable.toSorted(), walk.slice(0, 3).toSorted());
      assert.deepEqual(await valuesAt(cluster, outsider, name), ["v"]);
    }));

  test("under a client's write id is the event that a put of that id is", () =>
    withCluster(3, async (cluster) => {
      const { ask } = await edgeAt(cluster, "h1");
      const writeId = "0123456789abcdef";
      await cluster.node("h2").put("b", "k", utf8("v"), { writeId, w: "all" });
      const dot = { actor: actorOfWriteId("b/k" as Key, writeId), counter: 1 };
      await ask(write("v", 1, { event: { writeId, counter: 1 }, value: { dot }, w: "all" }));
      assert.deepEqual(await valuesAt(cluster, "h3"), ["v"]);
    }));

  test("that was sent long ago counts only where a host still covers it", () =>
    withCluster(3, async (cluster) => {
      const { ask } = await edgeAt(cluster, "h1");
      await assert.rejects(ask(write("v", 1, { onlyCovered: true })), failsWith("outcome-unknown"));
      assert.deepEqual(await valuesAt(cluster, "h1"), []);
      await ask(write("v", 1));
      assert.equal((await ask(write("v", 1, { onlyCovered: true, w: "all" }))).got, 3);
      assert.deepEqual(await valuesAt(cluster, "h1"), ["v"]);
    }));

  test("that may have been cut from the key's clock since it was sent counts only where a host still covers it", () =>
    withCluster(
      3,
      async (cluster) => {
        const { ask } = await edgeAt(cluster, "h1");
        await cluster.node("h2").put("b", "k", utf8("kept"), { w: "all" });
        await assert.rejects(ask(write("v", 1, { again: true })), failsWith("outcome-unknown"));
        assert.deepEqual(await valuesAt(cluster, "h1"), ["kept"]);
        const short = write("v", 1, { key: "b/short", again: true });
        assert.equal((await ask({ ...short, w: "all" })).got, 3, "a short clock was never cut");
        assert.equal((await ask({ ...short, w: "all" })).got, 3, "known");
      },
      { clockEntriesMax: 1 },
    ));
});

describe("an owner's refusal of an edge's write", { concurrency: true }, () => {
  const lost = new TransportError("lost", "cut off");
  const refused = (code: StoreErrorCode, detail: StoreErrorDetail = {}) => new StoreError(code, "no", detail);

  /** What the host is told by the owners that it asks, one after the other, for an edge's write. */
  function owners(cluster: MemoryCluster, host: string, told: readonly Error[]): void {
    const left = [...told];
    intercept(cluster, host, async (_to, body) => {
      const error = body[0] === methods.edgeWrite.number ? left.shift() : undefined;
      if (error !== undefined) throw error;
    });
  }

  test("is told as one where no owner before it can have the write, and else as an open outcome", () =>
    withCluster(
      4,
      async (cluster) => {
        const { name, walk } = await placed(cluster);
        const other = walk[3]!;
        const { ask } = await edgeAt(cluster, other);
        for (const value of ["v1", "v2"]) await cluster.node(walk[0]!).put("b", name, utf8(value), { w: "all" });
        const cases: readonly (readonly [first: Error, code: StoreErrorCode])[] = [
          [lost, "outcome-unknown"],
          [refused("storage-full"), "outcome-unknown"],
          [refused("storage-full", { nothingWritten: true }), "too-many-siblings"],
          [refused("not-ready"), "too-many-siblings"],
          [refused("clock-skew"), "too-many-siblings"],
          [new TransportError("not-sent", "away"), "too-many-siblings"],
        ];
        for (const [first, code] of cases) {
          owners(cluster, other, [first]);
          await assert.rejects(ask(write("v3", 1, { key: `b/${name}` })), failsWith(code), first.message);
        }
      },
      { siblingsMax: 2 },
    ));

  test("that makes an edge send an update anew is told as it is, also where the update may be out", () =>
    withCluster(4, async (cluster) => {
      const { name, walk } = await placed(cluster);
      const other = walk[3]!;
      const { ask } = await edgeAt(cluster, other);
      for (const second of [refused("precondition-failed"), refused("bad-context", { contexts: [0] })]) {
        for (const kind of ["yjs", "opaque"] as const) {
          owners(cluster, other, [lost, second]);
          const code = kind === "yjs" ? second.code : "outcome-unknown";
          await assert.rejects(ask(write("v", 1, { key: `b/${name}`, value: { kind } })), failsWith(code));
        }
      }
    }));

  test("leaves the outcome open where the disk here may have kept the write", () =>
    withCluster(3, async (cluster) => {
      const { ask } = await edgeAt(cluster, "h1");
      const disk = cluster.disk("h1");
      disk.refusesWrites = "full";
      owners(cluster, "h1", [refused("too-many-siblings")]);
      await assert.rejects(ask(write("v")), failsWith("too-many-siblings"));
      disk.writesWhatItRefuses = true;
      owners(cluster, "h1", [refused("too-many-siblings")]);
      await assert.rejects(ask(write("v")), failsWith("outcome-unknown"));
    }));
});

describe("a hostile edge", { concurrency: true }, () => {
  const foreign = actorOfEdge("victim" as NodeId, nonce);
  const cases: readonly (readonly [what: string, code: Parameters<typeof failsWith>[0], request: Request])[] = [
    ["a dot of another edge", "bad-context", write("x", 1, { value: { dot: { actor: foreign, counter: 1 } } })],
    [
      "a dot of a host",
      "bad-context",
      write("x", 1, { value: { dot: { actor: actorFromRandom(utf8("8 bytes!")), counter: 1 } } }),
    ],
    ["another counter than it proves", "bad-context", write("x", 1, { event: { nonce, counter: 2 } })],
    ["a dot with neither nonce nor write id", "bad-context", write("x", 1, { event: { counter: 1 } })],
    ["a context that no host has sealed", "bad-context", write("x", 1, { contexts: ["AAAA"] })],
    ["the second event of a write id", "bad-context", write("x", 1, { own: [{ writeId: nonce, counter: 2 }] })],
    ["a value that is too large", "value-too-large", write("", 1, { value: { body: new Uint8Array(1_048_577) } })],
    ["an expiry beyond reason", "bad-request", write("x", 1, { value: { expiresAtMs: Number.MAX_SAFE_INTEGER } })],
    ["a delete with a value", "bad-request", write("x", 1, { value: { tombstone: true } })],
    ["a content type that is none", "bad-request", write("x", 1, { value: { contentType: "a\nb" } })],
    ["an update that is none", "bad-request", write("x", 1, { value: { kind: "yjs" } })],
    [
      "an update before the one that it follows",
      "precondition-failed",
      write("\0\0", 2, { value: { kind: "yjs" }, previous: 1 }),
    ],
    [
      "the word of a member that it is not",
      "not-ready",
      write("x", 1, { edge: "victim", forwarded: { ring: nonce, life: 1 } }),
    ],
  ];
  test("is refused, and nothing changes", () =>
    withCluster(3, async (cluster) => {
      const { ask } = await edgeAt(cluster, "h1");
      const { context } = await cluster.node("h1").put("b", "other", utf8("o"));
      await cluster.node("h1").put("b", "k", utf8("v"), { w: "all" });
      const all = [
        ...cases,
        ["a context of another key", "bad-context", write("x", 1, { contexts: [context!] })] as const,
      ];
      for (const [what, code, request] of all) await assert.rejects(ask(request), failsWith(code), what);
      assert.deepEqual(await valuesAt(cluster, "h2"), ["v"]);
    }));

  test("with a clock beyond the drift bound is refused, and nothing changes; a stamp within it is kept as it is", () =>
    withCluster(3, async (cluster) => {
      const { ask } = await edgeAt(cluster, "h1");
      const ahead = (ms: number) => ({ stamp: stampOfMs(Date.now() + ms), kind: "lww" as const });
      for (const ms of [90_000, 3_600_000_000]) {
        await assert.rejects(ask(write("v", 1, { value: ahead(ms) })), failsWith("clock-skew"));
      }
      assert.deepEqual(await valuesAt(cluster, "h2"), []);
      const within = ahead(30_000);
      await ask(write("v", 2, { value: within }));
      const { siblings } = await cluster.node("h2").get("b", "k", { r: "all" });
      assert.equal(siblings[0]!.timeMs, stampToMs(within.stamp));
    }));

  test("with a clock beyond the drift bound is not said to be refused where an owner fell silent that may have it", () =>
    withCluster(4, async (cluster) => {
      const { name, walk } = await placed(cluster);
      const other = walk[3]!;
      const { ask } = await edgeAt(cluster, other);
      const ahead = { stamp: stampOfMs(Date.now() + 3_600_000), kind: "lww" as const };
      const request = write("v", 1, { key: `b/${name}`, value: ahead });
      await assert.rejects(ask(request), failsWith("clock-skew"));
      let asked = 0;
      intercept(cluster, other, async (_to, body) => {
        if (body[0] === methods.edgeWrite.number && asked++ === 0) throw new TransportError("lost", "cut off");
      });
      await assert.rejects(ask(request), failsWith("not-ready"));
    }));

  test("with a clock beyond the drift bound is not said to be refused by others where the disk here may have kept it", () =>
    withCluster(2, async (cluster) => {
      const farMs = 3_600_000;
      await cluster.join("far", { seeds: ["memory:h1"], clock: clockOff(farMs), config: patient });
      const { ask } = await edgeAt(cluster, "far");
      const value = { stamp: stampOfMs(Date.now() + farMs), kind: "lww" as const };
      cluster.disk("far").refusesWrites = "full";
      await assert.rejects(ask(write("v", 1, { value })), failsWith("clock-skew"));
      cluster.disk("far").writesWhatItRefuses = true;
      await assert.rejects(ask(write("v", 2, { value })), failsWith("not-ready"));
    }));

  test("may exceed the bound by what it has seen, and by no more than a chain of its events", () =>
    withCluster(3, async (cluster) => {
      const farMs = 3_600_000_000;
      await cluster.join("far", { seeds: ["memory:h1"], clock: clockOff(farMs), config: patient });
      const { ask } = await edgeAt(cluster, "h1");
      const { context } = await cluster.node("far").put("b", "k", utf8("far"), { kind: "lww", w: "all" });
      const [seen] = (await cluster.node("h1").get("b", "k", { r: "all" })).siblings;
      const stamp = stampOfMs(seen!.timeMs) + 1_000;
      const value = { kind: "lww" as const, stamp };
      await ask(write("later", 1, { value, contexts: [context!] }));
      assert.deepEqual(await valuesAt(cluster, "h3"), ["later"]);
      const further = { ...value, stamp: stamp + 10_000 };
      await assert.rejects(ask(write("x", 2, { value: further, contexts: [context!] })), failsWith("clock-skew"));
    }));

  test("cannot pass the limit of siblings", () =>
    withCluster(
      1,
      async (cluster) => {
        const { ask } = await edgeAt(cluster, "h1");
        for (const counter of [1, 2, 3]) await ask(write(`v${counter}`, counter));
        await assert.rejects(ask(write("v4", 4)), failsWith("too-many-siblings"));
        assert.equal((await valuesAt(cluster, "h1")).length, 3);
      },
      { siblingsMax: 3 },
    ));
});

describe("a node that is no member", { concurrency: true }, () => {
  test("is told the membership, digest first, and no secret", () =>
    withCluster(3, async (cluster) => {
      const { transport } = await edgeAt(cluster, "h1");
      const asked = { cluster: "test", digest: new Uint8Array(16), compare: nothingKnown };
      const { part, same } = await call(transport, "h1" as NodeId, methods.membership, asked, 5_000);
      assert.equal(same, false);
      const { members, assignment, secrets } = rosterPartOf(RosterMessage.decode(RosterMessage.encode(part!)));
      assert.deepEqual([...members!.keys()].toSorted(), ["h1", "h2", "h3"]);
      assert.equal(assignment?.length, 16);
      assert.deepEqual(secrets, []);
    }));

  test("of another cluster is told so", () =>
    withCluster(1, async (cluster) => {
      const { transport } = await edgeAt(cluster, "h1");
      const asked = { cluster: "other", digest: new Uint8Array(16) };
      await assert.rejects(call(transport, "h1" as NodeId, methods.membership, asked, 5_000), failsWith("bad-request"));
    }));

  test("reads states, and only once what it has already", () =>
    withCluster(3, async (cluster) => {
      const { transport } = await edgeAt(cluster, "h2");
      const read = (have?: Uint8Array) =>
        call(transport, "h2" as NodeId, methods.edgeRead, { key: "b/k", r: "all", ...(have && { have }) }, 5_000);
      assert.equal((await read()).context, undefined);
      const { context } = await cluster.node("h1").put("b", "k", utf8("v"), { w: "all" });
      const { state, context: sealed } = await read();
      assert.deepEqual(texts(decodeVersioned(state!).values), ["v"]);
      assert.equal(sealed, context);
      assert.equal((await read(clockDigest(decodeVersioned(state!)))).state, undefined);
    }));
});
