import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { DecodeError } from "../../../core/bytes/codec.ts";
import type { NodeId } from "../../../core/identity.ts";
import {
  compareWith,
  nothingKnown,
  RosterComparison,
  rosterDigest,
  RosterSummary,
  summarize,
} from "../../../core/membership/comparison.ts";
import { type Difference, differenceTo, owedTo } from "../../../core/membership/difference.ts";
import { encodeRoster, RosterMessage, rosterMessage } from "../../../core/membership/exchange.ts";
import {
  emptyRoster,
  type HoldingsRecord,
  mergeRoster,
  type Roster,
  type RosterPart,
} from "../../../core/membership/roster.ts";
import { cluster, memberRecord, roster, sent } from "./samples.ts";

interface Exchanged {
  readonly asker: Roster;
  readonly asked: Roster;
  readonly pulled: Difference;
  readonly pushed: RosterPart;
  /** Of all three trips, both ways. */
  readonly bytes: number;
}

/** As `cluster/exchange.ts` does it, in real bytes. */
function exchange(asker: Roster, asked: Roster): Exchanged {
  const summaryBytes = RosterSummary.encode(summarize(asked));
  const summary = RosterSummary.decode(summaryBytes);
  const comparisonBytes = RosterComparison.encode(compareWith(summary, asker));
  const pulled = differenceTo(RosterComparison.decode(comparisonBytes), asked);
  const merged = mergeRoster(asker, sent(asked, pulled.part));
  const pushed = owedTo(summary.sections, { ...pulled, part: sent(asked, pulled.part) }, merged);
  const parts = [rosterMessage(asked, pulled.part), rosterMessage(merged, pushed)];
  const bytes = [summaryBytes, comparisonBytes, ...parts.map((part) => RosterMessage.encode(part))];
  return {
    asker: merged,
    asked: mergeRoster(asked, sent(merged, pushed)),
    pulled,
    pushed,
    bytes: bytes.reduce((sum, { length }) => sum + length, 0),
  };
}

describe("an exchange", () => {
  test("makes two rosters equal, and what both knew", () => {
    fc.assert(
      fc.property(roster, roster, (asker, asked) => {
        const after = exchange(asker, asked);
        assert.deepEqual(encodeRoster(after.asker), encodeRoster(after.asked));
        assert.deepEqual(encodeRoster(after.asker), encodeRoster(mergeRoster(asker, asked)));
        assert.deepEqual(rosterDigest(after.asker), rosterDigest(after.asked));
      }),
      { numRuns: 1_000 },
    );
  });

  test("of equal rosters sends no member, no assignment, no secret and no change", () => {
    fc.assert(
      fc.property(roster, (both) => {
        const { pulled, pushed } = exchange(both, both);
        for (const part of [pulled.part, pushed]) {
          assert.deepEqual(
            [part.members?.size, part.holdings?.size, part.assignment, part.secrets, part.changes, part.questions],
            [0, 0, undefined, undefined, undefined, undefined],
          );
        }
      }),
    );
  });

  test("carries a change of one member alone, to whichever side lacks it", () => {
    const before = mergeRoster(emptyRoster(cluster), {
      members: new Map(["h1", "h2", "h3"].map((id) => [id as NodeId, memberRecord({ id: id as NodeId })])),
    });
    const moved = memberRecord({ id: "h2" as NodeId, incarnation: 2, addresses: ["memory:elsewhere"] });
    const after = mergeRoster(before, { members: new Map([[moved.id, moved]]) });
    const [pull, push] = [exchange(before, after), exchange(after, before)];
    assert.deepEqual([...pull.pulled.part.members!.keys()], ["h2"]);
    assert.deepEqual([...pull.pushed.members!.keys()], []);
    assert.deepEqual([...push.pushed.members!.keys()], ["h2"]);
    for (const { pulled, pushed } of [pull, push]) {
      assert.deepEqual([pulled.part.assignment, pushed.assignment], [undefined, undefined]);
    }
  });

  test("among 1,000 hosts, one of which changed, takes a small part of the roster, and a member more too", () => {
    const ids = Array.from({ length: 1_000 }, (_, i) => `12D3KooWhost${String(i).padStart(40, "0")}` as NodeId);
    const addresses = ["/ip4/10.0.0.1/tcp/4001", "/ip4/10.0.0.1/tcp/4002/ws"];
    const all = mergeRoster(emptyRoster(cluster), {
      members: new Map(ids.map((id) => [id, memberRecord({ id, addresses })])),
    });
    const changed = memberRecord({ id: ids[500]!, incarnation: 2, addresses });
    const joined = memberRecord({ id: "12D3KooWnew" as NodeId, addresses });
    for (const record of [changed, joined]) {
      const more = mergeRoster(all, { members: new Map([[record.id, record]]) });
      for (const { bytes, asker, asked } of [exchange(all, more), exchange(more, all)]) {
        assert.deepEqual(rosterDigest(asker), rosterDigest(asked));
        assert.ok(bytes * 50 < encodeRoster(all).length, `${bytes} bytes of ${encodeRoster(all).length}`);
      }
    }
  });

  test("carries the holdings of a member's next life, which counts both its numbers from 1 again", () => {
    const holding = (life: number, bits: number): Roster => {
      const one = { id: memberRecord().id, life, incarnation: 1, sequence: 1 };
      const [complete, none] = [Uint8Array.of(bits), Uint8Array.of(0)];
      const record: HoldingsRecord = { ...one, complete, filling: none, former: none, hints: none };
      return mergeRoster(emptyRoster(cluster), {
        members: new Map([[one.id, memberRecord({ life: 2 })]]),
        holdings: new Map([[one.id, record]]),
      });
    };
    const [behind, ahead] = [holding(1, 255), holding(2, 0)];
    assert.deepEqual(encodeRoster(exchange(behind, ahead).asker), encodeRoster(ahead));
    assert.deepEqual(encodeRoster(exchange(ahead, behind).asked), encodeRoster(ahead));
  });

  test("brings a node that knows nothing everything", () => {
    fc.assert(
      fc.property(roster, (known) => {
        const { part } = differenceTo(nothingKnown, known);
        assert.deepEqual(encodeRoster(mergeRoster(emptyRoster(cluster), sent(known, part))), encodeRoster(known));
      }),
    );
  });

  test("brings the asker also the record that loses against its own: its mark may be news", () => {
    const now = memberRecord({ incarnation: 9, mark: "0a".repeat(16) });
    const before = memberRecord({ incarnation: 5, mark: "0b".repeat(16) });
    const [asker, asked] = [now, before].map((record) =>
      mergeRoster(emptyRoster(cluster), { members: new Map([[record.id, record]]) }),
    );
    const { pulled } = exchange(asker!, asked!);
    assert.equal(pulled.part.members!.get(before.id)?.mark, before.mark);
  });

  test("with groups that no summary can have is refused", () => {
    const { sections } = summarize(emptyRoster(cluster));
    for (const groups of [new Uint8Array(0), new Uint8Array(9)]) {
      assert.throws(() => compareWith({ groups, sections }, emptyRoster(cluster)), DecodeError);
    }
    for (const groupCount of [0, 1_025, 2 ** 40]) {
      assert.throws(() => differenceTo({ ...nothingKnown, groupCount }, emptyRoster(cluster)), DecodeError);
    }
  });
});
