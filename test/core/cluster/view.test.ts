import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { bitmapOf } from "../../../core/bytes/bitmap.ts";
import { Cluster } from "../../../core/cluster/cluster.ts";
import { loadRoster } from "../../../core/cluster/stored-roster.ts";
import { Marks } from "../../../core/cluster/marks.ts";
import { Exchange } from "../../../core/cluster/exchange.ts";
import type { Health } from "../../../core/cluster/health.ts";
import type { NodeId, PartitionIndex } from "../../../core/identity.ts";
import { encodeRoster } from "../../../core/membership/exchange.ts";
import { emptyRoster, type HoldingsRecord, mergeRoster } from "../../../core/membership/roster.ts";
import { type Transport, TransportError } from "../../../core/ports.ts";
import { Consents } from "../../../core/replica/consents.ts";
import { Holdings } from "../../../core/replica/holdings.ts";
import { MemoryStorage } from "../../../core/storage/memory-storage.ts";
import { RecordStore } from "../../../core/storage/record-store.ts";
import type { StoreEvent } from "../../../core/telemetry.ts";
import { testIdentity } from "../../support/test-identity.ts";
import { FaultyStorage } from "../../support/faulty-storage.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { realRandom } from "../../support/memory-cluster.ts";
import { microtasks } from "../../support/values.ts";
import {
  cluster as parameters,
  marksOf,
  memberRecord,
  nodes,
  otherRing,
  otherSecret,
  secret,
} from "../membership/samples.ts";

const [self, h2, h3, h4] = nodes as [NodeId, NodeId, NodeId, NodeId];
const partition = 0 as PartitionIndex;
const ownMark = "0a".repeat(16);
const everything = bitmapOf(
  parameters.partitions,
  Array.from({ length: parameters.partitions }, (_, i) => i),
);

/** Work that a test waits for. */
class RunningTasks {
  #all: Promise<unknown> = Promise.resolve();

  run(_name: string, work: () => Promise<unknown>): void {
    this.#all = Promise.all([this.#all, work()]);
  }

  async settled(): Promise<void> {
    await this.#all;
  }
}

/** h1's view of hosts h1..hN, of which those in `down` do not answer. */
function viewOf(count: number, down: readonly NodeId[] = []) {
  const hosts = nodes.slice(0, count);
  const roster = mergeRoster(emptyRoster(parameters), {
    members: new Map(hosts.map((id) => [id, memberRecord({ id, mark: ownMark })])),
    assignment: Array.from({ length: parameters.partitions }, (_, i) => ({ host: hosts[i % count]!, epoch: 1 })),
  });
  const disk = new FaultyStorage(new MemoryStorage());
  const records = new RecordStore(disk);
  const holdings = new Holdings(parameters.partitions, realRandom);
  const health = { isUp: (node: NodeId) => !down.includes(node) } as Health;
  const events: StoreEvent[] = [];
  const telemetry = { event: (event: StoreEvent) => void events.push(event) };
  const clock = new ManualClock();
  const tasks = new RunningTasks();
  const marks = new Marks({ records, random: realRandom }, [ownMark]);
  const found = { oldCopies: 0 };
  const cluster = new Cluster(
    {
      self,
      records,
      holdings,
      health,
      clock,
      identity: testIdentity(self),
      marks,
      tasks,
      telemetry,
      onOldCopy: () => void (found.oldCopies += 1),
    },
    roster,
  );
  return { cluster, holdings, disk, records, clock, marks, found, tasks, events };
}

/** Whether h1 is sure of a partition after it has exchanged membership with these. */
async function met(count: number, down: readonly NodeId[], ...exchanged: NodeId[]): Promise<boolean> {
  const { cluster, clock } = viewOf(count, down);
  await clock.advance(1_000);
  for (const peer of exchanged) cluster.exchangedWith(peer);
  return cluster.isConfirmed(partition);
}

function holdingsOf(id: NodeId, rest: Partial<HoldingsRecord>): Map<NodeId, HoldingsRecord> {
  const none = bitmapOf(parameters.partitions, []);
  return new Map([
    [
      id,
      { id, life: 1, incarnation: 1, sequence: 9, complete: none, filling: none, former: none, hints: none, ...rest },
    ],
  ]);
}

describe("a host's view", () => {
  test("takes nobody's word for what it holds itself", () => {
    const { cluster } = viewOf(3);
    cluster.claimOwned("filling");
    cluster.merge({ holdings: holdingsOf(self, { sequence: 99, complete: everything }) });
    assert.equal(cluster.partitionView(partition).holders.get(self), "filling");
  });

  test("counts the holdings of members, former owners among them, and of nobody else", () => {
    const { cluster } = viewOf(4);
    const outsider = "gone" as NodeId;
    cluster.merge({
      holdings: new Map([
        ...holdingsOf(h4, { complete: everything }),
        ...holdingsOf(outsider, { complete: everything }),
      ]),
    });
    const { owners, holders } = cluster.partitionView(partition);
    assert.equal(owners.includes(h4), false);
    assert.deepEqual([...holders], [[h4, "complete"]]);
    cluster.merge({ members: new Map([[h4, memberRecord({ id: h4, status: "removed" })]]) });
    assert.equal(cluster.partitionView(partition).holders.has(h4), false);
  });

  test("counts replicas from the members, up or not, and never above N", () => {
    assert.deepEqual(
      [1, 2, 3, 4].map((count) => viewOf(count, [h2, h3]).cluster.replicas),
      [1, 2, 3, 3],
    );
  });

  test("is not sure of a partition until it met one co-owner, and every one that is up", async () => {
    assert.equal(await met(1, []), true, "alone there is nobody to meet");
    assert.equal(await met(3, []), false);
    assert.equal(await met(3, [], h2), false, "h3 is up");
    assert.equal(await met(3, [h3], h2), true);
    assert.equal(await met(3, [h2, h3]), false, "nobody was met");
    assert.equal(await met(3, [], h2, h3), true);
    assert.equal(await met(3, [], h4), false, "no co-owner");
  });

  test("once sure stays sure, whoever comes up later", async () => {
    const down = [h3];
    const { cluster, clock } = viewOf(3, down);
    cluster.exchangedWith(h2);
    assert.equal(cluster.isConfirmed(partition), false, "h3 was not even dialled yet");
    await clock.advance(1_000);
    assert.equal(cluster.isConfirmed(partition), true);
    down.pop();
    assert.equal(cluster.isConfirmed(partition), true);
  });

  test("claims at the start what the ring gives it and it does not hold, and publishes it under a higher sequence", () => {
    const { cluster, holdings } = viewOf(2);
    cluster.claimOwned("filling");
    const { sequence, filling } = cluster.roster.holdings.get(self)!;
    assert.deepEqual(filling, everything);
    holdings.set(partition, "complete");
    cluster.publishHoldings();
    assert.equal(cluster.roster.holdings.get(self)!.sequence, sequence + 1);
    assert.equal(cluster.partitionView(partition).holders.get(self), "complete");
    cluster.claimOwned("filling");
    assert.equal(holdings.get(partition), "complete", "what it holds it keeps");
  });

  test("fills what it owns anew from the moment it hears of it, whatever it still holds from earlier", () => {
    const { cluster, holdings } = viewOf(4);
    const notOwned = [...Array(parameters.partitions).keys()].find(
      (i) => !cluster.ring.ownedBy(self).includes(i as PartitionIndex),
    );
    holdings.set(notOwned as PartitionIndex, "former");
    cluster.merge({ members: new Map([[h2, memberRecord({ id: h2, status: "left" })]]) });
    assert.ok(cluster.ring.ownedBy(self).includes(notOwned as PartitionIndex), "three hosts own everything");
    assert.equal(holdings.get(notOwned as PartitionIndex), "filling");
    assert.equal(cluster.partitionView(notOwned as PartitionIndex).holders.get(self), "filling");
  });

  test("keeps counting a former holding until every owner says that it is complete", () => {
    const { cluster, holdings } = viewOf(4);
    const all = [...Array(parameters.partitions).keys()] as PartitionIndex[];
    const former = all.find((i) => !cluster.ring.ownedBy(self).includes(i))!;
    holdings.set(former, "complete");
    cluster.merge({
      holdings: new Map([...holdingsOf(h2, { complete: everything }), ...holdingsOf(h3, { complete: everything })]),
    });
    assert.equal(cluster.retireFormerHoldings(), false, "h4 was not heard");
    cluster.merge({ holdings: holdingsOf(h4, { filling: everything }) });
    assert.equal(cluster.retireFormerHoldings(), false, "h4 is filling");
    cluster.merge({ holdings: holdingsOf(h4, { sequence: 10, complete: everything }) });
    assert.equal(cluster.retireFormerHoldings(), true);
    assert.equal(holdings.get(former), "former");
    assert.equal(cluster.partitionView(former).holders.has(self), false);
    assert.equal(cluster.retireFormerHoldings(), false);
  });

  test("changes its own record only under the next incarnation", async () => {
    const { cluster } = viewOf(2);
    await cluster.amend({ status: "leaving" });
    assert.deepEqual([cluster.ownRecord.incarnation, cluster.ownRecord.status], [2, "leaving"]);
    cluster.merge({ members: new Map([[self, memberRecord({ id: self, incarnation: 1, mark: ownMark })]]) });
    assert.equal(cluster.ownRecord.status, "leaving");
  });
});

describe("a host that hears of a reap to which it did not consent", () => {
  test("has an old copy of its data: it counts no more, and saves nothing that would hide that", async () => {
    const { cluster, holdings, found } = viewOf(3);
    cluster.claimOwned("complete");
    cluster.doubt([]);
    assert.equal(found.oldCopies, 0);
    await cluster.save();
    cluster.doubt([partition]);
    cluster.doubt([partition]);
    assert.equal(found.oldCopies, 1);
    assert.deepEqual(holdings.bitmaps().filling, everything);
    await assert.rejects(cluster.save(), { code: "not-ready" });
  });

  test("by a ring that was founded apart keeps what it has, and fills", async () => {
    const { cluster, holdings, records, found } = viewOf(3);
    cluster.merge({ secrets: [secret] });
    cluster.claimOwned("complete");
    const consents = new Consents(records, cluster.roster);
    cluster.merge({ secrets: [otherSecret], forgettingMarks: marksOf({ [partition]: 7 }, otherRing) });
    cluster.doubt(consents.takeUncovered(cluster.roster));
    assert.equal(found.oldCopies, 0);
    assert.equal(holdings.get(partition), "filling");
    await cluster.save();
  });

  test("after its membership ended, or as it hears of that, keeps what it has and the marks that it knew as a member", async () => {
    const removed = memberRecord({ id: self, status: "removed", mark: ownMark }, h2);
    const { cluster, holdings } = viewOf(3);
    cluster.claimOwned("complete");
    cluster.merge({ forgettingMarks: marksOf({ [partition]: 3 }) });
    cluster.merge({ members: new Map([[self, removed]]), forgettingMarks: marksOf({ [partition]: 5 }) });
    cluster.merge({ forgettingMarks: marksOf({ [partition]: 7 }) });
    assert.deepEqual(cluster.roster.forgettingMarks, marksOf({ [partition]: 3 }));
    assert.equal(holdings.get(partition), "complete");
  });

  test("keeps its data where it holds nothing of the partition", () => {
    const { cluster, found } = viewOf(3);
    cluster.doubt([partition]);
    assert.equal(found.oldCopies, 0);
  });

  test("sets it aside once, also where the same message shows a later run of its own", () => {
    const { cluster, found, events } = viewOf(3);
    cluster.claimOwned("complete");
    cluster.onChange(() => cluster.doubt([partition]));
    cluster.merge({ members: new Map([[self, memberRecord({ id: self, incarnation: 7, mark: "0b".repeat(16) })]]) });
    assert.equal(found.oldCopies, 1);
    assert.ok(events.some(({ kind }) => kind === "old-data"));
  });

  test("sets it aside for a hint alone", () => {
    const { cluster, holdings, found } = viewOf(3);
    holdings.setHinted(partition, true);
    cluster.doubt([partition]);
    assert.equal(found.oldCopies, 1);
  });
});

describe("a host that hears of a run of its own that its disk does not know", () => {
  const later = memberRecord({ id: self, incarnation: 7, mark: "0b".repeat(16) });
  const hear = (cluster: Cluster, record = later): void => cluster.merge({ members: new Map([[self, record]]) });

  test("has an old copy of its data, says so once, and counts as filling at once", () => {
    const { cluster, holdings, found, events } = viewOf(3);
    cluster.claimOwned("complete");
    hear(cluster);
    assert.deepEqual(holdings.bitmaps().filling, everything);
    assert.equal(cluster.partitionView(partition).holders.get(self), "filling");
    hear(cluster, memberRecord({ id: self, incarnation: 8, mark: "0c".repeat(16) }));
    assert.equal(found.oldCopies, 1);
    assert.equal(events.filter(({ kind }) => kind === "old-data").length, 1);
  });

  test("hears of it also when the record was replaced by its own, for peers keep asking", () => {
    const { cluster, found } = viewOf(3);
    const unaware = memberRecord({ id: self, incarnation: 9, mark: ownMark });
    const peer = mergeRoster(emptyRoster(parameters), { members: new Map([[self, later]]) });
    const asking = mergeRoster(peer, { members: new Map([[self, unaware]]) });
    assert.deepEqual(
      asking.questions.map(({ mark }) => mark),
      [later.mark],
    );
    cluster.merge({ questions: asking.questions });
    assert.equal(found.oldCopies, 1);
  });

  test("whose data is younger than itself keeps it, fills everything anew and outbids the other run", async () => {
    const { cluster, holdings, found, marks, tasks } = viewOf(3);
    await marks.bear({ life: 1, incarnation: 1 });
    cluster.claimOwned("complete");
    hear(cluster);
    await tasks.settled();
    assert.equal(found.oldCopies, 0);
    assert.deepEqual(holdings.bitmaps().filling, everything);
    assert.equal(cluster.ownRecord.incarnation, 8);
    assert.equal([ownMark, later.mark].includes(cluster.ownRecord.mark), false);
    assert.ok(cluster.ownRecord.answers.includes(later.mark), "nobody need ask again");
    assert.equal(cluster.partitionView(partition).holders.get(self), "filling");
    assert.equal(cluster.roster.holdings.get(self)!.incarnation, 8);
    assert.notEqual(cluster.rivalAtMs, undefined);
  });

  test("before its directory was born ignores it, and answers for it", async () => {
    const { cluster, holdings, found, marks, tasks } = viewOf(3);
    await marks.bear({ life: 1, incarnation: 3 });
    cluster.claimOwned("complete");
    cluster.merge({ questions: [memberRecord({ id: self, incarnation: 2, mark: later.mark })] });
    await tasks.settled();
    assert.deepEqual(holdings.bitmaps().complete, everything);
    assert.equal(found.oldCopies, 0);
    assert.ok(cluster.ownRecord.answers.includes(later.mark));
    assert.deepEqual(cluster.roster.questions, []);
  });

  test("does not take another host's word for its own", () => {
    const { cluster, found } = viewOf(3);
    const said = memberRecord({ id: self, incarnation: 7, status: "removed", mark: "0b".repeat(16) }, h2);
    cluster.merge({ questions: [said] });
    assert.equal(found.oldCopies, 0);
  });
});

describe("the roster on the disk", () => {
  test("is what was saved, and one write serves all who ask at once", async () => {
    const { cluster, disk, records } = viewOf(3);
    await Promise.all([cluster.save(), cluster.save(), cluster.save()]);
    assert.equal(disk.batches, 1);
    await cluster.save();
    assert.equal(disk.batches, 1, "nothing is new");
    assert.deepEqual(encodeRoster((await loadRoster(records))!), encodeRoster(cluster.roster));
  });

  test("is saved again when it changed during the write, or when the write failed", async () => {
    const { cluster, disk, records } = viewOf(3);
    const release = disk.hold("writes");
    const saving = cluster.save();
    await cluster.amend({ zone: "z" });
    release();
    await saving;
    assert.equal((await loadRoster(records))!.members.get(self)!.zone, "z");
    disk.refusesWrites = "io";
    await cluster.amend({ zone: "y" });
    await assert.rejects(cluster.save());
    disk.refusesWrites = undefined;
    await cluster.save();
    assert.equal((await loadRoster(records))!.members.get(self)!.zone, "y");
  });

  test("is written before anybody hears of it: a crash must not make a host a stranger to itself", async () => {
    const { cluster, disk, records } = viewOf(2);
    const sent: NodeId[] = [];
    const request = (to: NodeId): Promise<Uint8Array> => {
      sent.push(to);
      return Promise.reject(new TransportError("not-sent", "only a test"));
    };
    const transport = { self, request } as unknown as Transport;
    const telemetry = { event: () => {} };
    const consents = new Consents(records, cluster.roster);
    const deps = { transport, cluster, clock: new ManualClock(), identity: testIdentity(self), telemetry, consents };
    const exchange = new Exchange(deps, { timeoutMs: 1_000 });
    const release = disk.hold("writes");
    const exchanging = exchange.with(h2);
    await microtasks();
    assert.deepEqual(sent, []);
    release();
    await assert.rejects(exchanging, TransportError);
    assert.deepEqual(sent, [h2]);
  });
});
