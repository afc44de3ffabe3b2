import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { encodeVersioned } from "../../../core/causality/encoding.ts";
import { fetchRoster } from "../../../core/cluster/exchange.ts";
import { StoreError } from "../../../core/errors.ts";
import type { NodeId } from "../../../core/identity.ts";
import { rosterMessage } from "../../../core/membership/exchange.ts";
import { emptyRoster } from "../../../core/membership/roster.ts";
import { encodeStatement, signingInput } from "../../../core/membership/signed-member.ts";
import { call, methods, RpcServer } from "../../../core/rpc/rpc.ts";
import { eventually } from "../../support/eventually.ts";
import type { MemoryCluster } from "../../support/memory-cluster.ts";
import { signedRecord, testIdentity } from "../../support/test-identity.ts";
import { failsWith, texts, utf8 } from "../../support/values.ts";
import { value } from "../causality/samples.ts";
import { memberRecord } from "../membership/samples.ts";
import { eventsOf, placed, rowOf, withCluster } from "./scene.ts";

const h1 = "h1" as NodeId;
const testParameters = { name: "test", partitions: 16, n: 3, admission: "open" } as const;
const state = (() => {
  const written = value(1, 1, 1_000, { body: utf8("forged") });
  return encodeVersioned({ vector: [{ ...written.dot, timeMs: 1_000 }], values: [written] });
})();

/** Requests that only hosts may send, from a stranger that claims to see the same ring. */
async function refused(cluster: MemoryCluster, code: "not-member" | "not-ready"): Promise<void> {
  const stranger = cluster.transport("stranger");
  const view = { ring: (await cluster.node("h1").status()).ring, life: 1 };
  const asked = [
    call(stranger, h1, methods.replicate, { view, key: "b/k", state }, 2_000),
    call(stranger, h1, methods.replicate, { view, key: "b/k", state, hintFor: "h2" }, 2_000),
    call(stranger, h1, methods.fetch, { view, key: "b/k" }, 2_000),
    call(stranger, h1, methods.scan, { view, parts: [{ partition: 0 }], bytesMax: 1_000 }, 2_000),
    call(stranger, h1, methods.list, { view, bucket: "b", prefix: "", limit: 10 }, 2_000),
    call(stranger, h1, methods.changes, { view, filters: [{ prefix: "b/", exact: false }], waitMs: 0 }, 2_000),
    call(stranger, h1, methods.write, { key: "b/k", body: utf8("x"), folds: [], forwarded: view }, 2_000),
  ];
  await Promise.all(asked.map((each) => assert.rejects(each, failsWith(code))));
  assert.equal((await cluster.node("h1").getLocal("b", "k")).context, null);
  assert.equal((await cluster.node("h1").status()).hints, 0);
}

describe("data from a host that is no member", () => {
  test("is refused as not-member after its view was asked for", () =>
    withCluster(1, async (cluster) => {
      const digests: Uint8Array[] = [];
      const transport = cluster.stranger("stranger");
      const server = new RpcServer({ event: () => {} });
      server.on(methods.exchange, async (_from, { digest }) => {
        digests.push(digest);
        return { same: true, lacking: [] };
      });
      server.listen(transport);
      await transport.meet("memory:h1");
      await refused(cluster, "not-member");
      assert.notEqual(digests.length, 0);
    }));

  test("is refused also when it does not say what it sees", () =>
    withCluster(1, async (cluster) => {
      await cluster.stranger("stranger").meet("memory:h1");
      await refused(cluster, "not-ready");
    }));
});

test("a hint for somebody who was never a member is refused", () =>
  withCluster(2, async (cluster) => {
    const view = { ring: (await cluster.node("h1").status()).ring, life: 1 };
    const request = { view, key: "b/k", state, hintFor: "h9" };
    await assert.rejects(
      call(cluster.transport("h2"), h1, methods.replicate, request, 2_000),
      failsWith("bad-request"),
    );
    assert.equal((await cluster.node("h1").status()).hints, 0);
  }));

/** Nobody tells `host` of the ring, nor hears of its own, before it sends its first write. */
function holdExchangesUntilWrite(cluster: MemoryCluster, host: string): void {
  const begun = new AbortController();
  const writeBegun = new Promise((resolve) => begun.signal.addEventListener("abort", resolve));
  for (const name of cluster.nodes.keys()) {
    const transport = cluster.transport(name);
    const request = transport.request.bind(transport);
    transport.request = async (to, body, timeoutMs) => {
      if (body[0] === methods.exchange.number && [name, to].includes(host)) await writeBegun;
      if (body[0] === methods.replicate.number && name === host) begun.abort();
      return request(to, body, timeoutMs);
    };
  }
}

test("no record that a stranger sends keeps a host from raising and telling its own", () =>
  withCluster(2, async (cluster) => {
    const stranger = cluster.stranger("stranger");
    await stranger.meet("memory:h1");
    const known = (
      await fetchRoster({ transport: stranger, identity: testIdentity(stranger.self) }, h1, "test", 2_000)
    ).members.get(h1)!;
    for (const version of [{ incarnation: Number.MAX_SAFE_INTEGER }, { life: 2 ** 41 }]) {
      const forged = signedRecord({ ...known, ...version, mark: "00".repeat(16) });
      const part = rosterMessage(emptyRoster(testParameters), { members: new Map([[h1, forged]]) });
      const asked = call(stranger, h1, methods.exchange, { cluster: "test", digest: new Uint8Array(16), part }, 2_000);
      await assert.rejects(asked, failsWith("bad-request"));
    }
    assert.deepEqual(
      (
        await fetchRoster({ transport: stranger, identity: testIdentity(stranger.self) }, h1, "test", 2_000)
      ).members.get(h1),
      known,
    );
    cluster.kill("h1");
    await cluster.start("h1");
    await cluster.settled();
    const { members } = await cluster.node("h2").status();
    assert.equal(members.find(({ id }) => id === h1)?.incarnation, known.incarnation + 1);
  }));

test("an edge that tells of itself as a member is refused with the reason, and changes nothing", () =>
  withCluster(2, async (cluster) => {
    const edge = cluster.stranger("edge");
    await edge.meet("memory:h1");
    const payload = encodeStatement(memberRecord({ id: edge.self, kind: "browser-host", leaseMs: 600_000 }));
    // The kind is field 5, a varint: 1 is a browser host, 2 an edge.
    payload[payload.findIndex((byte, i) => byte === 5 << 3 && payload[i + 1] === 1) + 1] = 2;
    const signature = await testIdentity(edge.self).sign(signingInput(payload));
    const part = { ...rosterMessage(emptyRoster(testParameters)), members: [{ payload, by: edge.self, signature }] };
    const asked = call(edge, h1, methods.exchange, { cluster: "test", digest: new Uint8Array(16), part }, 2_000);
    await assert.rejects(asked, (error) => {
      assert.ok(error instanceof StoreError && error.code === "bad-request");
      assert.match(error.message, /edge is an edge, which is never a member of the ring/);
      return true;
    });
    const { members } = await cluster.node("h1").status();
    assert.deepEqual(members.map(({ id }) => id).toSorted(), ["h1", "h2"]);
  }));

test("a host that has heard of its removal takes no state and no hint: they belong to those who are members", () =>
  withCluster(3, async (cluster) => {
    await cluster.node("h1").changeRing({ kind: "remove", host: "h3", force: true });
    const status = () => cluster.node("h3").status();
    const isOut = async (): Promise<boolean> =>
      (await status()).members.some(({ id, status: own }) => id === "h3" && own === "removed");
    await eventually(isOut, "h3 to hear of it");
    const view = { ring: (await status()).ring, life: 1 };
    const [sender, h3] = [cluster.transport("h2"), "h3" as NodeId];
    const asked = [
      call(sender, h3, methods.replicate, { view, key: "b/k", state }, 2_000),
      call(sender, h3, methods.replicate, { view, key: "b/k", state, hintFor: "h1" }, 2_000),
      call(sender, h3, methods.swap, { view, push: [{ key: "b/k", state }], wanted: [], bytesMax: 1_000 }, 2_000),
    ];
    const says = { code: "not-ready", message: /no member any more/ };
    await Promise.all(asked.map((each) => assert.rejects(each, says)));
    assert.equal((await status()).hints, 0);
  }));

test("a host that hears of its removal during a write does not count itself: nobody will take it from there", () =>
  withCluster(1, async (cluster) => {
    // Of those that stay none is a Node host, without which a copy counts for nothing where there are any.
    for (const page of ["p1", "p2"]) {
      await cluster.join(page, { seeds: ["memory:h1"], own: { kind: "browser-host", leaseMs: 600_000 } });
    }
    await cluster.settled();
    const node = cluster.node("h1");
    const disk = cluster.disk("h1");
    const release = disk.hold("writes");
    const { batches } = disk;
    const ended = Promise.all([
      assert.rejects(node.put("b", "put", utf8("v"), { w: "one" }), failsWith("quorum-not-met")),
      assert.rejects(node.delete("b", "deleted", { w: "one" }), failsWith("quorum-not-met")),
    ]);
    await eventually(() => disk.batches > batches, "the writes at h1");
    await cluster.node("p1").changeRing({ kind: "remove", host: "h1", force: true });
    await eventually(async () => {
      return (await node.status()).members.some(({ id, status }) => id === "h1" && status === "removed");
    }, "h1 to hear of it");
    release();
    await ended;
  }));

describe("views meet before data counts", () => {
  test("a host with an old ring learns the new one by its first write, which lies where the new ring wants it", () =>
    withCluster(3, async (cluster) => {
      cluster.isolate("h3");
      cluster.network.cut("h3" as NodeId, "h4" as NodeId);
      const h4 = await cluster.start("h4", { seeds: ["memory:h1"] });
      const filled = async (): Promise<boolean> => {
        const { owned, filling } = (await h4.status()).partitions;
        return owned > 0 && filling === 0;
      };
      await eventually(filled, "h4 to take its share and fill it");
      const { name, walk } = await placed(cluster, (hosts) => hosts.slice(0, 3).includes("h4"));
      holdExchangesUntilWrite(cluster, "h3");
      cluster.rejoin("h3");
      for (const other of ["h1", "h2"]) await cluster.connected("h3", other);
      assert.equal((await cluster.node("h3").status()).members.length, 3);
      await cluster.node("h3").put("b", name, utf8("v"), { w: "all" });
      assert.equal((await cluster.node("h3").status()).ring, (await h4.status()).ring);
      for (const owner of walk.slice(0, 3)) {
        const holds = async (): Promise<boolean> =>
          (await cluster.node(owner).getLocal("b", name)).siblings.length === 1;
        await eventually(holds, `the value at ${owner}`);
      }
    }));

  test("a hint for the host that gets it is no hint: it is applied", () =>
    withCluster(3, async (cluster) => {
      const view = { ring: (await cluster.node("h1").status()).ring, life: 1 };
      const request = { view, key: "b/k", state, hintFor: "h2" };
      const asked = call(cluster.transport("h1"), "h2" as NodeId, methods.replicate, request, 2_000);
      assert.deepEqual({ ...(await asked) }, { role: "complete" });
      assert.deepEqual(texts((await cluster.node("h2").getLocal("b", "k")).siblings), ["forged"]);
      assert.equal((await cluster.node("h2").status()).hints, 0);
    }));

  test("a host of another cluster name is refused, and so is one of other parameters", () =>
    withCluster(1, async (cluster) => {
      const seeds = ["memory:h1"];
      await assert.rejects(cluster.start("h2", { seeds, cluster: { name: "other" } }), failsWith("bad-request"));
      await assert.rejects(cluster.start("h3", { seeds, cluster: { n: 2 } }), failsWith("bad-request"));
      await assert.rejects(cluster.start("h4", { seeds, cluster: { partitions: 32 } }), failsWith("bad-request"));
      assert.equal((await cluster.node("h1").status()).members.length, 1);
    }));

  test("a host whose quorum is above the cluster's N is refused before it is a member, whoever gave the N", () =>
    withCluster(1, async (cluster) => {
      const seeds = ["memory:h1"];
      for (const config of [{ w: 4 }, { r: 4 }]) {
        await assert.rejects(cluster.start("h2", { seeds, config }), failsWith("bad-request"));
        await assert.rejects(cluster.start("h3", { config }), failsWith("bad-request"));
      }
      assert.equal((await cluster.node("h1").status()).members.length, 1);
      await cluster.start("h4", { seeds, config: { w: 3 } });
      assert.equal((await cluster.node("h1").status()).members.length, 2);
    }));
});

function failsOnly(code: "quorum-not-met") {
  return (error: unknown): void => assert.ok(failsWith(code)(error), String(error));
}

describe("joining", () => {
  test("two hosts at once end on one ring, with every value where it belongs", () =>
    withCluster(1, async (cluster) => {
      const keys = Array.from({ length: 40 }, (_, i) => `key${i}`);
      for (const key of keys) await cluster.node("h1").put("b", key, utf8(key));
      await Promise.all(["h2", "h3", "h4"].map((name) => cluster.start(name, { seeds: ["memory:h1"] })));
      await cluster.settled(4);
      const rings = await Promise.all([...cluster.nodes.values()].map(async (node) => (await node.status()).ring));
      assert.equal(new Set(rings).size, 1);
      for (const key of keys) {
        const read = await cluster.node("h3").get("b", key, { r: "all" });
        assert.deepEqual([texts(read.siblings), read.degraded], [[key], false]);
      }
    }));

  test("loses no write that was acknowledged while the partitions moved", () =>
    withCluster(2, async (cluster) => {
      const acked: string[] = [];
      const joined = new AbortController();
      const writing = (async () => {
        for (let i = 0; !joined.signal.aborted; i++) {
          const put = cluster.node(i % 2 === 0 ? "h1" : "h2").put("b", `key${i}`, utf8(`${i}`));
          // One that is refused may be lost.
          await put.then(() => acked.push(`key${i}`), failsOnly("quorum-not-met"));
        }
      })();
      for (const name of ["h3", "h4", "h5"]) await cluster.join(name);
      await cluster.settled(5);
      joined.abort();
      await writing;
      for (const key of acked) {
        const read = await cluster.node("h5").get("b", key);
        assert.equal(read.siblings.length, 1, key);
      }
    }));

  test("to copy from a host with a damaged record does not make that key absent", () =>
    withCluster(
      1,
      async (cluster) => {
        await cluster.node("h1").put("b", "k", utf8("v"));
        await cluster.disk("h1").rot("objects", rowOf("k"));
        const h2 = await cluster.start("h2", { seeds: ["memory:h1"] });
        const told = () => eventsOf(cluster, "corrupt-record", "h1").length === 1;
        await eventually(told, "the scan to meet the damaged record");
        await assert.rejects(h2.get("b", "k", { r: "one" }), failsWith("quorum-not-met"));
      },
      { cacheBytesMax: 0 },
    ));

  test("again with an empty disk fills every partition before it counts as complete", () =>
    withCluster(3, async (cluster) => {
      for (let i = 0; i < 30; i++) await cluster.node("h1").put("b", `key${i}`, utf8(`${i}`), { w: "all" });
      const before = (await cluster.node("h2").status()).members.find(({ id }) => id === "h2")!;
      cluster.kill("h2");
      cluster.wipe("h2");
      await cluster.start("h2", { seeds: ["memory:h1"] });
      await cluster.settled(3);
      for (let i = 0; i < 30; i++) {
        const own = await cluster.node("h2").getLocal("b", `key${i}`);
        assert.deepEqual([own.holding, texts(own.siblings)], ["complete", [`${i}`]]);
      }
      const after = (await cluster.node("h2").status()).members.find(({ id }) => id === "h2")!;
      assert.deepEqual([after.life, after.tokens], [before.life, before.tokens]);
      assert.ok(after.incarnation > before.incarnation);
      assert.equal(eventsOf(cluster, "partition-lost").length, 0);
    }));
});

test("a host whose disk was set back to an old copy notices it and fills again", () =>
  withCluster(3, async (cluster) => {
    await cluster.node("h1").put("b", "k", utf8("v"), { w: "all" });
    cluster.kill("h3");
    const copy = await cluster.copyDisk("h3");
    await cluster.start("h3");
    await cluster.settled(3);
    cluster.kill("h3");
    await cluster.start("h3");
    await cluster.settled(3);
    const { context } = await cluster.node("h3").get("b", "k");
    await cluster.node("h3").put("b", "k", utf8("w"), { context: context!, w: "all" });
    cluster.kill("h3");
    cluster.putDisk("h3", copy);
    const restored = await cluster.start("h3");
    await cluster.settled(3);
    assert.equal(eventsOf(cluster, "old-data", "h3").length, 1);
    await eventually(async () => texts((await restored.getLocal("b", "k")).siblings).join() === "w", "h3 to fill");
  }));
