/** When a roster counts as saved. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { loadRoster } from "../../../core/cluster/stored-roster.ts";
import { microtasks } from "../../support/values.ts";
import { oneNode, rosterOf } from "./world.ts";

const hosts = ["h1", "h2", "h3"];

describe("a roster", () => {
  test("is saved for whoever asks only when the write that is under way is done, and refused with it", async () => {
    const { cluster, disk } = oneNode("h1", rosterOf(hosts));
    for (const refusal of [undefined, "full"] as const) {
      await cluster.amend({ zone: String(refusal) });
      disk.refusesWrites = refusal;
      const release = disk.hold("writes");
      const ends: unknown[] = [];
      const save = (): Promise<unknown> =>
        cluster.save().then(
          () => ends.push("saved"),
          () => ends.push("refused"),
        );
      const first = save();
      await microtasks();
      const second = save();
      await microtasks();
      assert.deepEqual(ends, [], "before the disk has answered");
      release();
      await Promise.all([first, second]);
      const how = refusal === undefined ? "saved" : "refused";
      assert.deepEqual(ends, [how, how]);
    }
  });

  test("takes nothing more of an old copy, also when that is found while it is written", async () => {
    const { cluster, disk, records } = oneNode("h1", rosterOf(hosts));
    cluster.claimOwned("complete");
    const { complete } = cluster.roster.holdings.get(cluster.self)!;
    const release = disk.hold("writes");
    const saving = cluster.save();
    await microtasks();
    cluster.doubt(cluster.ring.ownedBy(cluster.self));
    release();
    await assert.rejects(saving, { code: "not-ready" });
    assert.deepEqual((await loadRoster(records))!.holdings.get(cluster.self)!.complete, complete);
  });
});
