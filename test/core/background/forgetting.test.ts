import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Agreements } from "../../../core/background/agreements.ts";
import { Forgetting } from "../../../core/background/forgetting.ts";
import { bitmapOf } from "../../../core/bytes/bitmap.ts";
import { latestMark } from "../../../core/membership/forgetting-marks.ts";
import type { HoldingsRecord } from "../../../core/membership/roster.ts";
import { Holdings } from "../../../core/replica/holdings.ts";
import { OwnTime, tickIntervalMs } from "../../../core/replica/own-time.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { realRandom } from "../../support/memory-cluster.ts";
import { node, oneNode, rosterOf } from "../cluster/world.ts";
import { marksOf, memberRecord } from "../membership/samples.ts";

const inFlightMsMax = 1_000;

/** h1, with two co-owners of partition 0 and a member that owns nothing there. */
function scene() {
  const hosts = ["h1", "h2", "h3", "h4"];
  const roster = rosterOf(hosts, { holdings: { h1: "complete", h2: "complete", h3: "complete", h4: "complete" } });
  const one = oneNode("h1", roster, ["h2", "h3", "h4"]);
  const { cluster } = one;
  const partition = cluster.ring.ownedBy(node("h1"))[0]!;
  const owners = cluster.ring.owners(partition);
  const stranger = node(hosts.find((host) => !owners.includes(node(host)))!);
  const clock = one.clock;
  const ownTime = new OwnTime(clock);
  const holdings = new Holdings(16, realRandom);
  holdings.set(partition, "complete");
  const agreements = new Agreements(16);
  let sequence = 10;
  const say = (id: string, bits: Partial<HoldingsRecord> = {}): void => {
    sequence += 1;
    const none = bitmapOf(16, []);
    const record = { id: node(id), life: 1, incarnation: 1, sequence, complete: none, filling: none, former: none };
    cluster.merge({ holdings: new Map([[node(id), { ...record, hints: none, ...bits }]]) });
  };
  for (const host of hosts.slice(1)) say(host);
  const pass = (ms: number): void => {
    for (let left = ms; left > 0; left -= tickIntervalMs) {
      clock.jump(Math.min(left, tickIntervalMs));
      ownTime.tick();
    }
  };
  const ask = (...ids: string[]): void =>
    ids.forEach((id) => cluster.exchangedWith(node(id), { askedMs: clock.now() }));
  const agree = (): number => {
    for (const owner of owners) if (owner !== node("h1")) agreements.note(owner, [partition], ownTime.nowMs());
    return ownTime.nowMs();
  };
  const forgetting = new Forgetting(
    { cluster, holdings, ownTime, agreements, clock },
    { inFlightMsMax, antiEntropyIntervalMs: 1_000 },
  );
  cluster.onChange(() => forgetting.heard());
  const raise = (): void => {
    const mark = latestMark(cluster.roster.forgettingMarks, partition) + 1;
    forgetting.consenting(partition, mark);
    cluster.merge({ forgettingMarks: marksOf({ [partition]: mark }) });
    clock.jump(1);
  };
  const before = (): number => forgetting.forgettableBeforeMs(partition);
  const tools = { say, pass, ask, agree, raise, before };
  return { ...one, ...tools, partition, stranger, clock, ownTime, holdings, agreements, forgetting, owners };
}

const hosts = ["h2", "h3", "h4"];

describe("what was known before an agreement is forgettable", () => {
  test("once nothing is in flight any more and all members were asked after that", () => {
    const { agree, raise, pass, ask, before } = scene();
    pass(100);
    const atMs = agree();
    raise();
    ask(...hosts);
    assert.ok(before() <= 0, "asked too early");
    pass(inFlightMsMax + 1);
    assert.ok(before() <= 0, "not asked since");
    ask("h2", "h3");
    assert.ok(before() <= 0, "one was not asked since");
    ask("h4");
    assert.equal(before(), atMs);
  });

  test("not while an owner has not agreed", () => {
    const { agreements, owners, partition, ownTime, raise, pass, ask, before } = scene();
    agreements.note(
      owners.find((owner) => owner !== node("h1"))!,
      [partition],
      ownTime.nowMs(),
    );
    raise();
    pass(inFlightMsMax + 1);
    ask(...hosts);
    assert.ok(before() <= 0);
  });

  test("not while somebody keeps hints there, or a member that owns it not holds it", () => {
    const { agree, raise, pass, ask, before, say, stranger, partition } = scene();
    const atMs = agree();
    raise();
    const bit = bitmapOf(16, [partition]);
    for (const bits of [{ hints: bit }, { former: bit }, { complete: bit }, { filling: bit }]) {
      say(stranger, bits);
      pass(inFlightMsMax + 1);
      ask(...hosts);
      assert.ok(before() <= 0, JSON.stringify(Object.keys(bits)));
    }
    say(stranger);
    pass(inFlightMsMax + 1);
    ask(...hosts);
    assert.equal(before(), atMs);
  });

  test("not while this node keeps hints there itself, or is filling", () => {
    const { agree, raise, pass, ask, before, holdings, partition } = scene();
    agree();
    raise();
    pass(inFlightMsMax + 1);
    ask(...hosts);
    assert.ok(before() > 0);
    holdings.setHinted(partition, true);
    assert.equal(before(), 0);
    holdings.setHinted(partition, false);
    holdings.set(partition, "filling");
    assert.equal(before(), 0);
  });

  test("not right after the process slept, for old messages may wait for it", () => {
    const { agree, raise, pass, ask, before, clock, ownTime } = scene();
    agree();
    raise();
    pass(inFlightMsMax + 1);
    ask(...hosts);
    assert.ok(before() > 0);
    clock.jump(60_000);
    ask(...hosts);
    assert.equal(before(), 0, "no tick has noticed it yet");
    ownTime.tick();
    assert.equal(before(), 0);
    pass(30_000);
    ask(...hosts);
    assert.ok(before() > 0);
  });

  test("not without a mark that was raised after the agreement and that every member has", () => {
    const { agree, raise, pass, ask, before, clock } = scene();
    raise();
    agree();
    pass(inFlightMsMax + 1);
    ask(...hosts);
    assert.equal(before(), 0, "the mark is older");
    const atMs = agree();
    pass(inFlightMsMax + 1);
    ask(...hosts);
    raise();
    assert.equal(before(), 0, "nobody was asked since the mark is known here");
    ask("h2", "h3");
    assert.equal(before(), 0, "one was not");
    clock.jump(1);
    ask("h4");
    assert.equal(before(), atMs);
  });

  test("not under a mark to which this node has not consented", () => {
    const { agree, pass, ask, before, cluster, partition } = scene();
    agree();
    cluster.merge({ forgettingMarks: marksOf({ [partition]: 7 }) });
    pass(inFlightMsMax + 1);
    ask(...hosts);
    assert.equal(before(), 0);
  });

  test("not under a mark that was raised on another ring: who has left it since had consented, and holds what it holds", () => {
    const { agree, raise, pass, ask, before, cluster, stranger } = scene();
    agree();
    raise();
    pass(inFlightMsMax + 1);
    ask(...hosts);
    assert.ok(before() > 0);
    const removed = memberRecord({ id: stranger, status: "removed" }, node("h2"));
    cluster.merge({ members: new Map([[stranger, removed]]) });
    ask(...hosts);
    assert.equal(before(), 0);
    const atMs = agree();
    raise();
    pass(inFlightMsMax + 1);
    ask(...hosts);
    assert.equal(before(), atMs, "one that was raised without it is taken at once");
  });

  test("also where agreements and marks are renewed all the time", () => {
    const { agree, raise, pass, ask, before } = scene();
    const ages: number[] = [];
    for (let second = 0; second < 60; second++) {
      const nowMs = agree();
      raise();
      pass(500);
      ask(...hosts);
      ages.push(nowMs - before());
    }
    const late = ages.slice(5).filter((ageMs) => ageMs < 4 * inFlightMsMax);
    assert.ok(late.length > 20, ages.join());
  });
});

describe("a mark is due", () => {
  test("where a clock is too long, once all owners have agreed for some rounds since", () => {
    const { agree, pass, forgetting, partition } = scene();
    agree();
    assert.deepEqual(forgetting.due(), []);
    forgetting.want(partition);
    assert.deepEqual(forgetting.due(), [], "they had not grown so long then");
    pass(2_000);
    agree();
    assert.deepEqual(forgetting.due(), []);
    pass(2_000);
    agree();
    assert.deepEqual(forgetting.due(), [partition]);
  });

  test("again after an attempt that failed, but not at once", () => {
    const { agree, pass, forgetting, partition } = scene();
    forgetting.want(partition);
    pass(4_000);
    agree();
    forgetting.tried(partition, { isRaised: false });
    assert.deepEqual(forgetting.due(), []);
    pass(4_000);
    agree();
    assert.deepEqual(forgetting.due(), [partition]);
    forgetting.tried(partition, { isRaised: true });
    assert.deepEqual(forgetting.due(), []);
  });

  test("not while the last one is so young that clocks may still be cut under it", () => {
    const { agree, raise, pass, forgetting, partition } = scene();
    agree();
    raise();
    forgetting.want(partition);
    const dueMs: number[] = [];
    for (let ms = 0; ms < 10_000; ms += 500) {
      pass(500);
      agree();
      if (forgetting.due().length > 0) dueMs.push(ms + 500);
    }
    assert.ok(dueMs[0]! >= 2 * inFlightMsMax, String(dueMs[0]));
  });
});

test("the own time neither jumps nor goes back with the wall clock", () => {
  const clock = new ManualClock(5_000_000);
  const ownTime = new OwnTime(clock);
  const startMs = ownTime.nowMs();
  assert.equal(startMs, clock.wallTime());
  clock.wallMs -= 3_600_000;
  clock.jump(10);
  assert.equal(ownTime.nowMs(), startMs + 10);
});
