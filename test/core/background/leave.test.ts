import assert from "node:assert/strict";
import { test } from "node:test";
import { leaveWhenTold } from "../../../core/background/leave.ts";
import { loadRoster } from "../../../core/cluster/stored-roster.ts";
import { StoreError } from "../../../core/errors.ts";
import type { PartitionIndex } from "../../../core/identity.ts";
import { mergeRoster } from "../../../core/membership/roster.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import { TransportError } from "../../../core/ports.ts";
import { RecordStore } from "../../../core/storage/record-store.ts";
import { eventually } from "../../support/eventually.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { failsWith, texts, utf8 } from "../../support/values.ts";
import { intercept } from "../coordinate/scene.ts";
import { node, oneNode, rosterOf } from "../cluster/world.ts";
import { memberRecord } from "../membership/samples.ts";

test("a host that has left ends when a member has heard so, not when an exchange ends that began before (seed 3133)", async () => {
  const leaving = memberRecord({ id: node("h1"), status: "leaving" });
  const roster = mergeRoster(rosterOf(["h2", "h3"]), { members: new Map([[leaving.id, leaving]]) });
  const one = oneNode("h1", roster, ["h2", "h3"]);
  let answers = false;
  for (const server of one.servers.values()) {
    server.on(methods.exchange, async () => {
      if (!answers) throw new StoreError("not-ready", "busy");
      return { same: true, lacking: [] };
    });
  }
  let hasLeft = false;
  leaveWhenTold({ ...one, requests: { close: () => {}, isIdle: true } }, () => (hasLeft = true));
  await one.clock.advance(1_000);
  assert.equal(one.cluster.ownRecord.status, "left");
  // What the peers asked for while it was leaving is answered now.
  for (const peer of one.servers.keys()) one.cluster.exchangedWith(node(peer));
  await one.clock.advance(30_000);
  assert.equal(hasLeft, false, "nobody knows that it has left");
  answers = true;
  await one.clock.advance(1_000);
  assert.equal(hasLeft, true);
});

test("a host that leaves while its disk refuses to keep that leaves when it takes writes again", async () => {
  const leaving = memberRecord({ id: node("h1"), status: "leaving" });
  const roster = mergeRoster(rosterOf(["h2", "h3"]), { members: new Map([[leaving.id, leaving]]) });
  const one = oneNode("h1", roster, ["h2", "h3"]);
  let told = 0;
  for (const server of one.servers.values()) {
    server.on(methods.exchange, async () => {
      told += 1;
      return { same: true, lacking: [] };
    });
  }
  let hasLeft = false;
  one.disk.refusesWrites = "full";
  leaveWhenTold({ ...one, requests: { close: () => {}, isIdle: true } }, () => (hasLeft = true));
  await one.clock.advance(2_000);
  assert.deepEqual([hasLeft, told], [false, 0], "nobody hears of what a restart would not know");
  one.disk.refusesWrites = undefined;
  await one.clock.advance(2_000);
  assert.deepEqual([hasLeft, told, one.cluster.ownRecord.status], [true, 2, "left"]);
});

test("a host that crashes after it has left, before anybody knows, tells it when it is started again, and ends", async () => {
  const cluster = await MemoryCluster.of(4);
  try {
    intercept(cluster, "h4", async (_to, body) => {
      const h4 = (await cluster.node("h4").status()).members.find(({ id }) => id === "h4");
      if (body[0] === methods.exchange.number && h4?.status === "left") throw new Error("nobody is told");
    });
    for (const host of ["h1", "h2", "h3"]) {
      intercept(cluster, host, async (to, body) => {
        if (to === "h4" && body[0] === methods.exchange.number && (await statusOnDisk(cluster)) === "left")
          throw new Error("nobody asks it");
      });
    }
    await cluster.node("h4").changeRing({ kind: "leave", host: "h4" });
    await eventually(async () => (await statusOnDisk(cluster)) === "left", "h4 to have left by its own disk");
    cluster.kill("h4");
    const statusAt = async (host: string) =>
      (await cluster.node(host).status()).members.find(({ id }) => id === "h4")?.status;
    assert.equal(await statusAt("h1"), "leaving");
    for (const host of ["h1", "h2", "h3"]) intercept(cluster, host, async () => {});
    const h4 = await cluster.start("h4");
    await h4.left;
    cluster.kill("h4");
    for (const host of ["h1", "h2", "h3"]) assert.equal(await statusAt(host), "left");
    await assert.rejects(cluster.start("h4"), failsWith("not-member"), "it is told: only an operator brings it back");
  } finally {
    await cluster.stop();
  }
});

test("a host leaves when all owners have the writes that it answered at W: a hint for one would go with it (seed 16000968)", async () => {
  const cluster = await MemoryCluster.of(3);
  try {
    const h3 = cluster.node("h3");
    let [fall, hasFallen] = [(): void => {}, false];
    const silence = new Promise<void>((resolve) => {
      fall = () => {
        hasFallen = true;
        resolve();
      };
    });
    intercept(cluster, "h3", (to, body) =>
      to === "h2" && body[0] === methods.replicate.number && !hasFallen
        ? silence.then(() => Promise.reject(new TransportError("lost", "h2 is silent")))
        : undefined,
    );
    await h3.put("b", "k", utf8("v"), { w: 2 });
    await h3.changeRing({ kind: "leave", host: "h3" });
    await eventually(async () => {
      const { owned, filling, handingOff } = (await h3.status()).partitions;
      return owned + filling + handingOff === 0;
    }, "h3 to have handed everything over");
    // Several times as long as it takes to leave now.
    setTimeout(fall, 1_000);
    await h3.left;
    cluster.kill("h3");
    assert.equal(hasFallen, true);
    assert.deepEqual((await cluster.disk("h3").page("hints", { limit: 10 })).rows, []);
  } finally {
    await cluster.stop();
  }
});

async function statusOnDisk(cluster: MemoryCluster): Promise<string | undefined> {
  const roster = await loadRoster(new RecordStore(cluster.disk("h4")));
  return roster?.members.get(node("h4"))?.status;
}

test("a host leaves although its disk cannot tell all rows: the others hold them, and they stay a former holding", async () => {
  const leaving = memberRecord({ id: node("h1"), status: "leaving" });
  const roster = mergeRoster(rosterOf(["h2", "h3"]), { members: new Map([[leaving.id, leaving]]) });
  const one = oneNode("h1", roster, ["h2", "h3"]);
  for (const server of one.servers.values()) {
    server.on(methods.exchange, async () => ({ same: true, lacking: [] }));
  }
  const partition = 3 as PartitionIndex;
  one.disk.hasUnreadablePart = true;
  one.holdings.set(partition, "former");
  let hasLeft = false;
  leaveWhenTold({ ...one, requests: { close: () => {}, isIdle: true } }, () => (hasLeft = true));
  await one.clock.advance(2_000);
  assert.equal(hasLeft, false, "it was not dropped yet");
  assert.ok(one.replica.drop.begin(partition));
  await one.replica.drop.run(partition, { pace: async () => {}, isAllowed: () => true });
  await one.clock.advance(2_000);
  assert.deepEqual([hasLeft, one.holdings.get(partition)], [true, "former"]);
});

test("of the last two hosts, told to leave at once, one stays and says why: the other hands everything over to it", async () => {
  const cluster = await MemoryCluster.of(2);
  try {
    const [h1, h2] = [cluster.node("h1"), cluster.node("h2")];
    await h1.put("b", "k", utf8("v"), { w: "all" });
    await Promise.all([h1, h2].map((host, i) => host.changeRing({ kind: "leave", host: `h${i + 1}` })));
    let hasLeft = false;
    void h2.left.then(() => (hasLeft = true));
    await eventually(() => hasLeft, "one of them to leave");
    cluster.kill("h2");
    const { ready, notices, members } = await h1.status();
    assert.deepEqual([ready, members.map(({ status }) => status)], [true, ["up", "left"]]);
    assert.ok(
      notices.some((notice) => notice.includes("told to leave, and stays")),
      notices.join(),
    );
    assert.deepEqual(texts((await h1.get("b", "k")).siblings), ["v"]);
  } finally {
    await cluster.stop();
  }
});

test("a host whose last companion leaves as well, and is dead, stays: what is left of the ring can be told to remove that one", async () => {
  const leaving = ["h1", "h2"].map((id) => memberRecord({ id: node(id), status: "leaving" }));
  const roster = mergeRoster(rosterOf(["h1", "h2"]), { members: new Map(leaving.map((each) => [each.id, each])) });
  for (const [peers, status] of [
    [[], "up"],
    [["h1"], "leaving"],
  ] as const) {
    const one = oneNode("h2", roster, peers);
    leaveWhenTold({ ...one, requests: { close: () => {}, isIdle: true } }, () => {});
    await one.clock.advance(1_000);
    assert.equal(one.cluster.ownRecord.status, status, peers.join());
  }
});
