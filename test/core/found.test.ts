/**
 * Rules that the core does not keep yet: each test fails, and says in its comment what goes wrong where.
 * When one is mended, its test moves to the file of its part.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { NodeId } from "../../core/identity.ts";
import { encodeRoster, lackingIn, summarize } from "../../core/membership/exchange.ts";
import { emptyRoster, mergeRoster, newerMember } from "../../core/membership/roster.ts";
import { ReadTally } from "../../core/quorum/read-tally.ts";
import { cluster, memberRecord, nodes, sent } from "./membership/samples.ts";
import { viewOf } from "./quorum/view.ts";

describe("found in quorum", () => {
  /**
   * read-tally.ts promises "`met` is final", but keeps no decision: a later reply may raise what is needed. Harmless for
   * the answer (Reading settles once), not for `heals`, which asks the tally again after the answer.
   */
  test("a read that was met stays met when a later reply says filling", () => {
    const tally = new ReadTally(viewOf("a b c", { d: "complete", e: "complete" }), 2);
    for (const node of nodesOf("a b c")) tally.ask(node);
    tally.reply("a" as NodeId, "complete");
    assert.equal(tally.reply("b" as NodeId, "complete").kind, "met");
    assert.equal(tally.reply("c" as NodeId, "filling").kind, "met");
  });
});

describe("found in membership", () => {
  /**
   * newerMember breaks a tie by JSON.stringify, which goes by the order of properties: a record made here has another
   * order than one that was decoded. So on a tie each side keeps its own, and two hosts that carried out `remove` and
   * `leave` of one member at the same incarnation never agree: their fingerprints differ for ever.
   */
  test("which of two records wins does not depend on the way they came", () => {
    const left = memberRecord({ incarnation: 3, status: "left" });
    const removed = memberRecord({ incarnation: 3, status: "removed" });
    const [wireLeft, wireRemoved] = [left, removed].map((record) => {
      const one = mergeRoster(emptyRoster(cluster), { members: new Map([[record.id, record]]) });
      return sent(one).members!.get(record.id)!;
    });
    assert.equal(newerMember(left, wireRemoved!).status, newerMember(removed, wireLeft!).status);
  });

  /**
   * A summary has the incarnation and sequence of holdings, not their life: a host that came back under the next life
   * counts both from 1 again, and its new bitmaps are then not sent to whoever remembers the old ones under equal numbers.
   */
  test("an exchange carries the holdings of a member's next life", () => {
    const id = nodes[0]!;
    const holding = (life: number, bits: number) => ({
      members: new Map([[id, memberRecord({ id, life: 2 })]]),
      holdings: new Map([
        [id, { id, life, incarnation: 1, sequence: 1, complete: Uint8Array.of(bits), filling: Uint8Array.of(0) }],
      ]),
    });
    const behind = mergeRoster(emptyRoster(cluster), holding(1, 255));
    const ahead = mergeRoster(emptyRoster(cluster), holding(2, 0));
    const after = mergeRoster(behind, sent(ahead, lackingIn(summarize(behind), ahead)));
    assert.deepEqual(encodeRoster(after), encodeRoster(ahead));
  });
});

function nodesOf(names: string): NodeId[] {
  return names.split(" ") as NodeId[];
}
