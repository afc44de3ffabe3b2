import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { encodeVersioned } from "../../../core/causality/encoding.ts";
import { nothing } from "../../../core/causality/version-set.ts";
import { Marks } from "../../../core/cluster/marks.ts";
import { isOutdated } from "../../../core/cluster/start.ts";
import type { Key } from "../../../core/identity.ts";
import { mergeRoster } from "../../../core/membership/roster.ts";
import { locate } from "../../../core/placement/locate.ts";
import { testIdentity } from "../../support/test-identity.ts";
import { realRandom } from "../../support/memory-cluster.ts";
import { memberRecord } from "../membership/samples.ts";
import { node, oneNode, type OneNode, rosterOf } from "./world.ts";

const hosts = ["h1", "h2", "h3"];
const h1 = node("h1");
const located = locate("b/k" as Key, 16);

/** h1 was removed; what it has on its disk, and whether it can be offered when `partition` was reaped since. */
async function isRefused(one: OneNode, held: "complete" | "filling" | undefined, isReaped: boolean): Promise<boolean> {
  const { records, clock } = one;
  const stored = rosterOf(hosts, held === undefined ? {} : { holdings: { h1: held } });
  const none = { complete: new Uint8Array(2), filling: new Uint8Array(2), former: new Uint8Array(2) };
  const bits = stored.holdings.get(h1) ?? { id: h1, life: 1, incarnation: 1, sequence: 1, ...none, hints: none.former };
  const known = mergeRoster(stored, {
    members: new Map([[h1, memberRecord({ id: h1, status: "removed" }, node("h2"))]]),
    forgettingMarks: new Map(isReaped ? [[located.partition, 7]] : []),
  });
  const marks = new Marks({ records, random: realRandom }, [memberRecord().mark]);
  const means = { clock, random: realRandom, identity: testIdentity(h1), marks, records };
  return isOutdated(h1, { stored: { ...stored, holdings: new Map([[h1, bits]]) }, known }, means);
}

describe("what a removed host has on its disk", () => {
  test("is offered when it returns, also where it was still filling: a write may live on it alone", async () => {
    for (const held of ["complete", "filling"] as const) {
      assert.equal(await isRefused(oneNode("h1", rosterOf(hosts)), held, false), false, held);
    }
  });

  test("is set aside when some of it was reaped meanwhile", async () => {
    for (const held of ["complete", "filling"] as const) {
      assert.equal(await isRefused(oneNode("h1", rosterOf(hosts)), held, true), true, held);
    }
    assert.equal(await isRefused(oneNode("h1", rosterOf(hosts)), undefined, true), false, "it holds nothing there");
  });

  test("is set aside for a hint alone that was kept in a partition reaped meanwhile", async () => {
    const one = oneNode("h1", rosterOf(hosts));
    await one.replica.open();
    await one.replica.keepHint(located, node("h2"), encodeVersioned(nothing));
    assert.equal(await isRefused(one, undefined, true), true);
    assert.equal(await isRefused(one, undefined, false), false);
  });
});
