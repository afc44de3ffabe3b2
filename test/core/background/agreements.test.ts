import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Agreements, forgettableBeforeMs } from "../../../core/background/agreements.ts";
import { bitmapOf } from "../../../core/bytes/bitmap.ts";
import type { PartitionIndex } from "../../../core/identity.ts";
import type { HoldingsRecord } from "../../../core/membership/roster.ts";
import { Holdings } from "../../../core/replica/holdings.ts";
import { OwnTime, tickIntervalMs } from "../../../core/replica/own-time.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { realRandom } from "../../support/memory-cluster.ts";
import { node, oneNode, rosterOf } from "../cluster/world.ts";

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
      clock.skip(Math.min(left, tickIntervalMs));
      ownTime.tick();
    }
  };
  const ask = (...ids: string[]): void => ids.forEach((id) => cluster.exchangedWith(node(id), clock.now()));
  const agree = (): number => {
    for (const owner of owners) if (owner !== node("h1")) agreements.note(owner, [partition], ownTime.nowMs());
    return ownTime.nowMs();
  };
  const before = (): number =>
    forgettableBeforeMs({ cluster, holdings, ownTime, agreements }, { partition, inFlightMsMax });
  return { ...one, partition, stranger, clock, ownTime, holdings, agreements, say, pass, ask, agree, before, owners };
}

const hosts = ["h2", "h3", "h4"];

describe("what was known before an agreement is forgettable", () => {
  test("once nothing is in flight any more and all members were asked after that", () => {
    const { agree, pass, ask, before } = scene();
    pass(100);
    const atMs = agree();
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
    const { agreements, owners, partition, ownTime, pass, ask, before } = scene();
    agreements.note(
      owners.find((owner) => owner !== node("h1"))!,
      [partition],
      ownTime.nowMs(),
    );
    pass(inFlightMsMax + 1);
    ask(...hosts);
    assert.ok(before() <= 0);
  });

  test("not while somebody keeps hints there, or a member that owns it not holds it", () => {
    const { agree, pass, ask, before, say, stranger, partition } = scene();
    const atMs = agree();
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
    const { agree, pass, ask, before, holdings, partition } = scene();
    agree();
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
    const { agree, pass, ask, before, clock, ownTime } = scene();
    agree();
    pass(inFlightMsMax + 1);
    ask(...hosts);
    assert.ok(before() > 0);
    clock.skip(60_000);
    ask(...hosts);
    assert.equal(before(), 0, "no tick has noticed it yet");
    ownTime.tick();
    assert.equal(before(), 0);
    pass(30_000);
    ask(...hosts);
    assert.ok(before() > 0);
  });
});

test("the own time neither jumps nor goes back with the wall clock", () => {
  const clock = new ManualClock(5_000_000);
  const ownTime = new OwnTime(clock);
  const startMs = ownTime.nowMs();
  assert.equal(startMs, clock.wallTime());
  clock.wallMs -= 3_600_000;
  clock.skip(10);
  assert.equal(ownTime.nowMs(), startMs + 10);
});

test("agreements that are renewed all the time still settle", () => {
  const agreements = new Agreements(1);
  const [partition, peer] = [0 as PartitionIndex, node("h2")];
  const found: (number | undefined)[] = [];
  for (let ms = 1; ms <= 10_000; ms++) {
    agreements.note(peer, [partition], ms);
    if (ms % 10 === 0) found.push(agreements.settledOfAllMs(partition, [peer], ms - 1_000));
  }
  assert.equal(found[50], undefined);
  assert.ok(found.at(-1)! > 7_000, String(found.at(-1)));
  assert.ok(found.every((settledMs, i) => settledMs === undefined || settledMs < 10 * (i + 1) - 1_000));
});
