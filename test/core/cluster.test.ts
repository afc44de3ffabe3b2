import assert from "node:assert/strict";
import { test } from "node:test";
import { StoreError } from "../../core/errors.ts";
import { eventually } from "../support/eventually.ts";
import { MemoryCluster } from "../support/memory-cluster.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const texts = (siblings: readonly { readonly body: Uint8Array }[]): string[] =>
  siblings.map(({ body }) => new TextDecoder().decode(body)).toSorted();

async function withCluster(count: number, body: (cluster: MemoryCluster) => Promise<void>): Promise<void> {
  const cluster = await MemoryCluster.of(count);
  try {
    await body(cluster);
  } finally {
    await cluster.stop();
  }
}

const failsWith = (code: string) => (error: unknown) => error instanceof StoreError && error.code === code;

test("a value written at one host is read at every other", () =>
  withCluster(3, async (cluster) => {
    const { receipt, context } = await cluster.node("h1").put("carts", "alice", bytes("book"));
    assert.ok(receipt.durable.length >= 2);
    assert.ok(context);
    for (const name of ["h1", "h2", "h3"]) {
      const read = await cluster.node(name).get("carts", "alice");
      assert.deepEqual(texts(read.siblings), ["book"]);
      assert.equal(read.degraded, false);
    }
  }));

test("two writers of one context leave two siblings, and a write with the context of both leaves one", () =>
  withCluster(3, async (cluster) => {
    const first = await cluster.node("h1").put("carts", "bob", bytes("pen"));
    const context = first.context!;
    await Promise.all([
      cluster.node("h1").put("carts", "bob", bytes("pen ink"), { context }),
      cluster.node("h2").put("carts", "bob", bytes("pen paper"), { context }),
    ]);
    const read = await cluster.node("h3").get("carts", "bob", { r: "all" });
    assert.deepEqual(texts(read.siblings), ["pen ink", "pen paper"]);
    await cluster.node("h3").put("carts", "bob", bytes("pen ink paper"), { context: read.context! });
    assert.deepEqual(texts((await cluster.node("h2").get("carts", "bob", { r: "all" })).siblings), ["pen ink paper"]);
  }));

test("with one of three hosts down reads and writes go on; with two down only those that ask for one", () =>
  withCluster(3, async (cluster) => {
    await cluster.node("h1").put("carts", "carol", bytes("one"));
    cluster.kill("h3");
    await cluster.node("h1").put("carts", "carol2", bytes("two"));
    assert.deepEqual(texts((await cluster.node("h2").get("carts", "carol2")).siblings), ["two"]);
    assert.ok((await cluster.node("h1").status()).hints > 0, "the missed write is owed to the host that is down");
    cluster.kill("h2");
    await cluster.node("h1").put("carts", "carol3", bytes("three"), { w: "one" });
    assert.deepEqual(texts((await cluster.node("h1").get("carts", "carol3", { r: "one" })).siblings), ["three"]);
    await assert.rejects(cluster.node("h1").put("carts", "carol4", bytes("four")), (error: unknown) => {
      assert.ok(error instanceof StoreError);
      assert.equal(error.code, "quorum-not-met");
      assert.deepEqual([error.detail.needed, error.detail.got], [2, 1]);
      return true;
    });
    await assert.rejects(cluster.node("h1").get("carts", "carol3"), failsWith("quorum-not-met"));
  }));

test("a host restarted with its data answers again, and all restarted at once too", () =>
  withCluster(3, async (cluster) => {
    await cluster.node("h1").put("carts", "dave", bytes("lamp"), { w: "all" });
    for (const name of ["h1", "h2", "h3"]) cluster.kill(name);
    for (const name of ["h1", "h2", "h3"]) void cluster.start(name, { seeds: [] });
    await cluster.settled(3);
    assert.deepEqual(texts((await cluster.node("h2").get("carts", "dave")).siblings), ["lamp"]);
  }));

test("a wiped host that is back at once mints no write that is taken for an old one (riak_kv#679)", () =>
  withCluster(3, async (cluster) => {
    let context: string | undefined;
    for (let i = 1; i <= 5; i++) {
      const put = await cluster
        .node("h1")
        .put("carts", "erin", bytes(`v${i}`), { w: "all", ...(context ? { context } : {}) });
      context = put.context!;
    }
    cluster.kill("h1");
    cluster.wipe("h1");
    const back = await cluster.start("h1", { seeds: ["memory:h2"] });
    await back.put("carts", "erin", bytes("after the wipe"), { w: "one" });
    await cluster.settled(3);
    const read = await cluster.node("h2").get("carts", "erin", { r: "all" });
    assert.deepEqual(texts(read.siblings), ["after the wipe", "v5"]);
  }));

test("a deleted key is absent with a context, and can be written again", () =>
  withCluster(3, async (cluster) => {
    const { context } = await cluster.node("h1").put("carts", "frank", bytes("hat"));
    await cluster.node("h2").delete("carts", "frank", { context: context! });
    const gone = await cluster.node("h3").get("carts", "frank");
    assert.deepEqual(gone.siblings, []);
    assert.ok(gone.context);
    await cluster.node("h3").put("carts", "frank", bytes("cap"), { context: gone.context });
    assert.deepEqual(texts((await cluster.node("h1").get("carts", "frank")).siblings), ["cap"]);
  }));

test("five hosts: any of them takes a request for keys that it does not own", () =>
  withCluster(5, async (cluster) => {
    for (let i = 0; i < 20; i++) {
      await cluster.node(`h${1 + (i % 5)}`).put("carts", `key${i}`, bytes(`value ${i}`));
      const read = await cluster.node(`h${1 + ((i + 2) % 5)}`).get("carts", `key${i}`);
      assert.deepEqual(texts(read.siblings), [`value ${i}`]);
    }
    const { keys } = await cluster.node("h4").list("carts");
    assert.equal(keys.length, 20);
  }));

test("a host that was away gets what it missed as hints, without anybody reading", () =>
  withCluster(3, async (cluster) => {
    cluster.kill("h3");
    for (let i = 0; i < 30; i++) await cluster.node(`h${1 + (i % 2)}`).put("carts", `missed${i}`, bytes(`value ${i}`));
    const back = await cluster.start("h3");
    await eventually(async () => {
      const owed = await Promise.all(["h1", "h2"].map(async (name) => (await cluster.node(name).status()).hints));
      return owed.every((hints) => hints === 0);
    }, "hints to be delivered");
    for (let i = 0; i < 30; i++) {
      assert.deepEqual(texts((await back.getLocal("carts", `missed${i}`)).siblings), [`value ${i}`]);
    }
  }));

test("a stand-in hands the hint over when the owner returns, also after its own restart", () =>
  withCluster(4, async (cluster) => {
    const names = ["h1", "h2", "h3", "h4"];
    const { preferenceList } = await cluster.node("h1").explain("carts", "gina");
    const [owner, , , standIn] = preferenceList.map(({ id }) => id as string);
    cluster.kill(owner!);
    const coordinator = names.find((name) => name !== owner && name !== standIn)!;
    const { receipt } = await cluster.node(coordinator).put("carts", "gina", bytes("ring"), { w: "all" });
    assert.deepEqual(receipt.hinted, [{ for: owner, at: standIn }]);
    cluster.kill(standIn!);
    await cluster.start(standIn!);
    const back = await cluster.start(owner!);
    await eventually(async () => {
      const [only] = (await back.getLocal("carts", "gina")).siblings;
      return only !== undefined && (await cluster.node(standIn!).status()).hints === 0;
    }, "the hint to be handed over");
    assert.deepEqual(texts((await back.getLocal("carts", "gina")).siblings), ["ring"]);
  }));
