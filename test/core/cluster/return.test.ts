import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { hasBit } from "../../../core/bytes/bitmap.ts";
import { encodeVersioned } from "../../../core/causality/encoding.ts";
import { nothing } from "../../../core/causality/version-set.ts";
import { Marks } from "../../../core/cluster/marks.ts";
import { type Outdated, outdatedOf } from "../../../core/cluster/start.ts";
import type { Key } from "../../../core/identity.ts";
import { mergeRoster } from "../../../core/membership/roster.ts";
import { locate } from "../../../core/placement/locate.ts";
import { testIdentity } from "../../support/test-identity.ts";
import { realRandom } from "../../support/memory-cluster.ts";
import { marksOf, memberRecord } from "../membership/samples.ts";
import { node, oneNode, type OneNode, rosterOf } from "./world.ts";

const hosts = ["h1", "h2", "h3"];
const h1 = node("h1");
const located = locate("b/k" as Key, 16);

/** h1 was removed, and something was forgotten since; what of its disk it cannot offer. */
async function outdated(one: OneNode, held: "complete" | "filling" | undefined, isReaped: boolean): Promise<Outdated> {
  const { records, clock } = one;
  const stored = rosterOf(hosts, held === undefined ? {} : { holdings: { h1: held } });
  const none = { complete: new Uint8Array(2), filling: new Uint8Array(2), former: new Uint8Array(2) };
  const bits = stored.holdings.get(h1) ?? { id: h1, life: 1, incarnation: 1, sequence: 1, ...none, hints: none.former };
  const known = mergeRoster(stored, {
    members: new Map([[h1, memberRecord({ id: h1, status: "removed" }, node("h2"))]]),
    forgettingMarks: isReaped ? marksOf({ [located.partition]: 7 }) : new Map(),
  });
  const marks = new Marks({ records, random: realRandom }, [memberRecord().mark]);
  const means = { clock, random: realRandom, identity: testIdentity(h1), marks, records };
  return outdatedOf(h1, { stored: { ...stored, holdings: new Map([[h1, bits]]) }, known }, means);
}

describe("what a removed host has on its disk", () => {
  test("is offered when it returns, also where it was still filling: a write may live on it alone", async () => {
    for (const held of ["complete", "filling"] as const) {
      const { partitions, isWhole } = await outdated(oneNode("h1", rosterOf(hosts)), held, false);
      assert.deepEqual({ partitions, isWhole }, { partitions: [], isWhole: false }, held);
    }
  });

  test("is set aside where something was forgotten meanwhile, and offered elsewhere", async () => {
    for (const bits of ["complete", "filling"] as const) {
      const { partitions, isWhole, held } = await outdated(oneNode("h1", rosterOf(hosts)), bits, true);
      assert.deepEqual({ partitions, isWhole }, { partitions: [located.partition], isWhole: false });
      const left = Array.from({ length: 16 }, (_, partition) => hasBit(held![bits], partition));
      assert.deepEqual(
        left,
        left.map((_, partition) => partition !== located.partition),
        bits,
      );
    }
    const { partitions } = await outdated(oneNode("h1", rosterOf(hosts)), undefined, true);
    assert.deepEqual(partitions, [], "it holds nothing there");
  });

  test("is set aside for a hint alone that was kept where something was forgotten meanwhile", async () => {
    const one = oneNode("h1", rosterOf(hosts));
    await one.replica.open();
    await one.replica.keepHint(located, node("h2"), encodeVersioned(nothing));
    const { partitions, hintTargets } = await outdated(one, undefined, true);
    assert.deepEqual([partitions, hintTargets], [[located.partition], [node("h2")]]);
    assert.deepEqual((await outdated(one, undefined, false)).partitions, []);
  });
});
