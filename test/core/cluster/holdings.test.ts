import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { hasBit } from "../../../core/bytes/bitmap.ts";
import type { PartitionIndex } from "../../../core/identity.ts";
import { mergeRoster } from "../../../core/membership/roster.ts";
import { versionMax } from "../../../core/membership/signed-member.ts";
import { allPartitions } from "../../../core/placement/partition.ts";
import { eventually } from "../../support/eventually.ts";
import { node, oneNode, type OneNode, rosterOf } from "./world.ts";

const hosts = ["h1", "h2", "h3", "h4"];
const h1 = node("h1");

/** Node h1 that holds completely what it owns, and a partition that it does not own. */
function settled(): OneNode & { readonly foreign: PartitionIndex } {
  const one = oneNode("h1", rosterOf(hosts));
  one.cluster.claimOwned("complete");
  const foreign = allPartitions(16).find((partition) => !one.cluster.ring.owners(partition).includes(h1))!;
  return { ...one, foreign };
}

/** The token of a partition changes hands: so do its first owner and, at times, others. */
function give({ cluster }: OneNode, token: PartitionIndex, to: string, epoch: number): void {
  const { assignment } = cluster.roster;
  cluster.merge({ assignment: assignment.map((entry, i) => (i === token ? { host: node(to), epoch } : entry)) });
}

/** Everybody says to hold all completely. */
function allComplete({ cluster }: OneNode): void {
  cluster.merge(rosterOf(hosts, { holdings: { h2: "complete", h3: "complete", h4: "complete" } }));
}

describe("a partition", () => {
  test("that a node newly owns is filling from the moment the ring changes, and it says so", () => {
    const one = settled();
    give(one, one.foreign, "h1", 3);
    assert.equal(one.holdings.get(one.foreign), "filling");
    assert.ok(hasBit(one.cluster.roster.holdings.get(h1)!.filling, one.foreign));
  });

  test("that it owns again, though it never dropped it, is filling: it got none of the writes since", () => {
    for (const before of ["complete", "former"] as const) {
      const one = settled();
      one.holdings.set(one.foreign, before);
      give(one, one.foreign, "h1", 3);
      assert.equal(one.holdings.get(one.foreign), "filling", before);
    }
  });

  test("that it lost and won back between two rings that it saw is filling, with its other owners complete all the while", () => {
    const one = settled();
    const states = () => allPartitions(16).filter((partition) => one.holdings.get(partition) === "filling");
    const fillings = one.holdings.fillingOf(4 as PartitionIndex);
    give(one, 5 as PartitionIndex, "h2", 4);
    assert.deepEqual(states(), [], "a token of another owner went and came back");
    give(one, 4 as PartitionIndex, "h1", 4);
    assert.deepEqual(states(), [2, 3, 4], "its own did, by which it owns these");
    give(one, 4 as PartitionIndex, "h1", 6);
    assert.equal(
      one.holdings.fillingOf(4 as PartitionIndex),
      fillings + 2,
      "what was copied for the first does not count",
    );
  });

  test("that it owns no more and has to copy anew is a former one at once: nobody would ever fill it", () => {
    const one = settled();
    one.holdings.set(one.foreign, "complete");
    one.cluster.refill(one.foreign);
    assert.equal(one.cluster.retireFormerHoldings(), true);
    assert.equal(one.holdings.get(one.foreign), "former");
    assert.ok(hasBit(one.cluster.roster.holdings.get(h1)!.former, one.foreign));
  });

  test("that it owns no more stays in use while an owner is filling, then it counts nowhere", () => {
    const one = settled();
    give(one, one.foreign, "h1", 3);
    one.holdings.set(one.foreign, "complete");
    give(one, one.foreign, "h2", 4);
    const h4Fills = rosterOf(hosts, { holdings: { h2: "complete", h3: "complete", h4: "filling" } });
    one.cluster.merge(h4Fills);
    one.cluster.retireFormerHoldings();
    assert.equal(one.holdings.get(one.foreign), "complete");
    const raised = new Map(
      [...h4Fills.holdings].map(([id, held]) => [id, { ...held, sequence: 2, complete: held.former.map(() => 255) }]),
    );
    one.cluster.merge(mergeRoster(h4Fills, { holdings: raised }));
    one.cluster.retireFormerHoldings();
    assert.equal(one.holdings.get(one.foreign), "former");
    const { complete, former } = one.cluster.roster.holdings.get(h1)!;
    assert.deepEqual([hasBit(complete, one.foreign), hasBit(former, one.foreign)], [false, true]);
    assert.equal(one.cluster.partitionView(one.foreign).holders.has(h1), false);
  });

  test("that it was filling and owns no more counts nowhere at once", () => {
    const one = settled();
    give(one, one.foreign, "h1", 3);
    give(one, one.foreign, "h2", 4);
    assert.equal(one.holdings.get(one.foreign), "former");
  });

  test("of which another directory with its identity said otherwise is said anew, above that", async () => {
    const one = settled();
    const own = one.cluster.roster.holdings.get(h1)!;
    const said = { ...own, sequence: own.sequence + 5, complete: own.filling, filling: own.complete };
    for (const [foreign, incarnation] of [
      [said, own.incarnation] as const,
      [{ ...said, incarnation: 9 }, 10] as const,
    ]) {
      one.cluster.merge({ holdings: new Map([[h1, foreign]]) });
      // A higher incarnation is signed first.
      await eventually(async () => one.cluster.ownRecord.incarnation === incarnation, "the own record to be amended");
      const told = one.cluster.roster.holdings.get(h1)!;
      assert.deepEqual([told.complete, told.filling], [own.complete, own.filling]);
      assert.ok(told.sequence > foreign.sequence);
      assert.deepEqual([told.incarnation, one.cluster.ownRecord.incarnation], [incarnation, incarnation]);
    }
  });

  test("of which somebody said otherwise under the last number that can be is said anew, in a new incarnation", async () => {
    const one = settled();
    const own = one.cluster.roster.holdings.get(h1)!;
    const said = { ...own, sequence: versionMax, complete: own.filling };
    one.cluster.merge({ holdings: new Map([[h1, said]]) });
    await eventually(async () => one.cluster.ownRecord.incarnation === own.incarnation + 1, "the next incarnation");
    const told = one.cluster.roster.holdings.get(h1)!;
    assert.deepEqual([told.complete, told.incarnation], [own.complete, own.incarnation + 1]);
    assert.ok(told.sequence < 100, "which can be raised as often as any other");
  });

  test("that it owned and owns is as complete as before, whoever else the ring changes", () => {
    const one = settled();
    allComplete(one);
    const owned = one.cluster.ring.ownedBy(h1);
    give(one, one.foreign, "h1", 3);
    assert.ok(owned.every((partition) => one.holdings.get(partition) === "complete"));
  });
});
