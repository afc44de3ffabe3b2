/** What a missed quorum says: how many answered, what became of the others, and how long it really took. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { StoreError } from "../../../core/errors.ts";
import type { MemoryCluster } from "../../support/memory-cluster.ts";
import { utf8 } from "../../support/values.ts";
import { placed, seen, withCluster } from "./scene.ts";

async function textOf(request: Promise<unknown>): Promise<string> {
  const error: unknown = await request.then(
    () => assert.fail("it was met"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof StoreError && error.code === "quorum-not-met");
  return error.message;
}

async function down(cluster: MemoryCluster, ...names: string[]): Promise<void> {
  for (const name of names) cluster.kill(name);
  for (const name of names) await seen(cluster.node("h1"), name, false);
}

const timeoutMs = 60_000;
/** Far from the time-out: it was decided early, and says so. */
const early = String.raw`after \d{1,4} ms`;

test("a get that cannot be met says at once who is unreachable", () =>
  withCluster(3, async (cluster) => {
    await down(cluster, "h2", "h3");
    const text = await textOf(cluster.node("h1").get("b", "k", { timeoutMs }));
    assert.match(text, new RegExp(`^2 of 3 replicas needed for get, 1 answered, 2 unreachable ${early}$`));
  }));

test("a put that cannot be met says at once who refused and who is unreachable", () =>
  withCluster(3, async (cluster) => {
    await down(cluster, "h3");
    cluster.disk("h2").refusesWrites = "full";
    const text = await textOf(cluster.node("h1").put("b", "k", utf8("v"), { w: 2, timeoutMs }));
    assert.match(
      text,
      new RegExp(
        `^2 of 3 durable copies needed for put, 1 made, 1 refused, 1 unreachable ${early}; the write may survive$`,
      ),
    );
  }));

test("a get whose time is over says who is silent", () =>
  withCluster(
    3,
    async (cluster) => {
      const releases = ["h2", "h3"].map((name) => cluster.disk(name).hold("reads"));
      const text = await textOf(cluster.node("h1").get("b", "k", { timeoutMs: 80 }));
      assert.match(text, /^2 of 3 replicas needed for get, 1 answered, 2 silent after \d+ ms$/);
      for (const release of releases) release();
    },
    { cacheBytesMax: 0, replicaTimeoutMs: 60_000 },
  ));

test("a put that was refused before anything was stored says so, also through the host that passed it on", () =>
  withCluster(4, async (cluster) => {
    const { name, walk } = await placed(cluster, (hosts) => hosts[0] === "h1");
    const [owner, stranger] = [cluster.node(walk[0]!), cluster.node(walk[3]!)];
    const refused = (put: Promise<unknown>, nothingWritten: true | undefined) =>
      assert.rejects(put, (error: unknown) => {
        assert.ok(error instanceof StoreError && error.code === "quorum-not-met", String(error));
        assert.equal(error.detail.nothingWritten, nothingWritten, error.message);
        return true;
      });
    for (const node of [owner, stranger]) await refused(node.put("b", name, utf8("v"), { w: 4 }), true);
    await down(cluster, walk[1]!, walk[2]!);
    for (const name of [walk[1]!, walk[2]!]) await seen(stranger, name, false);
    for (const node of [owner, stranger]) await refused(node.put("b", name, utf8("v"), { ifAbsent: true }), true);
    assert.deepEqual((await owner.getLocal("b", name)).siblings, []);
    for (const node of [owner, stranger]) await refused(node.put("b", name, utf8("v"), { w: "all" }), undefined);
    assert.notDeepEqual((await owner.getLocal("b", name)).siblings, []);
  }));
