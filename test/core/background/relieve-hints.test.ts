import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { relieveHints } from "../../../core/background/relieve-hints.ts";
import type { Key } from "../../../core/identity.ts";
import { locate } from "../../../core/placement/locate.ts";
import type { CopyRole } from "../../../core/replica/copy.ts";
import { StorageError } from "../../../core/ports.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import { node, oneNode, rosterOf } from "../cluster/world.ts";
import { memberRecord } from "../membership/samples.ts";
import { at, put, World } from "../replica/world.ts";

const minuteMs = 60_000;

/** h1 keeps `count` hints for h4, which stays away: all of them too much. h2 and h3 own the keys, too. */
async function keeper(
  count: number,
  { isSpare, isThere = false }: { readonly isSpare: boolean; readonly isThere?: boolean },
) {
  const owners = ["h2", "h3", "h4"];
  const { members } = rosterOf(["h1"]);
  const roster = rosterOf(owners, { holdings: { h2: "complete", h3: "complete", h4: "complete" } });
  const all = { ...roster, members: new Map([...roster.members, ...members]) };
  const one = oneNode("h1", all, ["h2", "h3", ...(isThere ? ["h4"] : [])], { hintBytesMax: 0 });
  const { replica, disk } = one;
  const source = await new World().start();
  const state = (await source.replica.write(at("v"), put("v"))).held.toBytes();
  let kept = 0;
  const keep = async (more: number): Promise<void> => {
    for (const endsAt = kept + more; kept < endsAt; kept++)
      await replica.keepHint(locate(`b/k${kept}` as Key, 16), node("h4"), state, isSpare);
  };
  await keep(count);
  const page = disk.page.bind(disk);
  let looks = 0;
  disk.page = (ns, request) => {
    if (ns === "hints") looks += 1;
    return page(ns, request);
  };
  const outside: { role: CopyRole } = { role: "complete" };
  for (const server of one.servers.values()) server.on(methods.replicate, async () => ({ role: outside.role }));
  const refusing = { isTold: false };
  relieveHints({ ...one, rate: { pay: async () => {} } }, { isRefusedBy: () => refusing.isTold });
  await one.clock.advance(1);
  return { ...one, outside, refusing, keep, looks: () => looks, left: () => replica.hints.summaries() };
}

describe("hints over their bounds that nobody can spare", () => {
  test("are looked at once a minute", async () => {
    const { clock, looks, tasks } = await keeper(20, { isSpare: false });
    assert.equal(looks(), 1);
    await clock.advance(minuteMs - 2_000);
    assert.equal(looks(), 1);
    await clock.advance(3_000);
    assert.equal(looks(), 2);
    await clock.advance(10 * minuteMs);
    assert.ok(looks() >= 11 && looks() <= 12, `${looks()} looks`);
    await tasks.stop(0);
  });

  test("and at once when a host goes or comes, when the ring is another, or what a host holds", async () => {
    const { clock, looks, tasks, cluster } = await keeper(20, { isSpare: false });
    const holdings = cluster.roster.holdings.get(node("h2"))!;
    const changes = [
      () => cluster.health.connectionChanged(node("h2"), false),
      () => cluster.health.connectionChanged(node("h2"), true),
      () => cluster.merge({ members: new Map([[node("h9"), memberRecord({ id: node("h9") })]]) }),
      () => cluster.merge({ holdings: new Map([[node("h2"), { ...holdings, sequence: 2 }]]) }),
    ];
    for (const [i, change] of changes.entries()) {
      change();
      await clock.advance(2_500);
      assert.equal(looks(), i + 2);
    }
    await tasks.stop(0);
  });

  test("and when there are a fifth more, not for each that comes while writes go on", async () => {
    const { clock, looks, tasks, keep } = await keeper(20, { isSpare: false });
    for (let second = 0; second < 30; second++) {
      await keep(1);
      await clock.advance(1_000);
    }
    assert.ok(looks() >= 4 && looks() <= 12, `${looks()} looks while 20 became 50`);
    await tasks.stop(0);
  });
});

test("hints over their bounds for one that is there go when it takes none, not while they are on their way to it", async () => {
  const { clock, tasks, cluster, refusing, left } = await keeper(20, { isSpare: true, isThere: true });
  cluster.health.sweep();
  assert.ok(cluster.health.isUp(node("h4")));
  await clock.advance(5_000);
  assert.equal(left()[0]?.count, 20);
  refusing.isTold = true;
  await clock.advance(2_000);
  assert.deepEqual(left(), []);
  await tasks.stop(0);
});

test("a hint that cannot be looked at keeps no other from going", async () => {
  const { clock, tasks, replica, keep, left, events } = await keeper(0, { isSpare: true });
  const delivered = replica.hintDelivered.bind(replica);
  replica.hintDelivered = async (located, target, hint) => {
    if (located.key === "b/k0") throw new StorageError("io", "the disk refuses to read");
    return delivered(located, target, hint);
  };
  await keep(5);
  await clock.advance(2_000);
  assert.equal(left()[0]?.count, 1);
  const [told] = events.filter((event) => event.kind === "task-failed");
  assert.match(told?.reason ?? "", /^1 kept for h4 could not be looked at: the disk refuses to read/);
  await tasks.stop(0);
});

test("hints over their bounds that can be spared go, those that an owner did not take within a minute", async () => {
  const { clock, tasks, outside, keep, left } = await keeper(20, { isSpare: true });
  assert.deepEqual(left(), []);
  outside.role = "filling";
  await keep(20);
  await clock.advance(10_000);
  assert.equal(left()[0]?.count, 20);
  outside.role = "complete";
  await clock.advance(minuteMs);
  assert.deepEqual(left(), []);
  await tasks.stop(0);
});
