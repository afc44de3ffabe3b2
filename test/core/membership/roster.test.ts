import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { rosterDigest } from "../../../core/membership/comparison.ts";
import { encodeRoster } from "../../../core/membership/exchange.ts";
import type { PartitionIndex } from "../../../core/identity.ts";
import type { MemberStatus } from "../../../core/membership/member.ts";
import {
  emptyRoster,
  mergeRoster,
  newerMember,
  type Roster,
  type RosterPart,
  ringMembers,
} from "../../../core/membership/roster.ts";
import {
  bothRings,
  cluster,
  holdings,
  marksOf,
  memberRecord,
  nodes,
  otherRing,
  part,
  ring,
  roster,
  sent,
  twin,
} from "./samples.ts";

const finalStatuses: readonly MemberStatus[] = ["left", "removed", "lapsed"];

/** Rosters are equal when their canonical bytes are. */
const same = (a: Roster, b: Roster): void => assert.deepEqual(encodeRoster(a), encodeRoster(b));

describe("the newer of two member records", () => {
  test("is the same whichever comes first, and however three are grouped", () => {
    fc.assert(
      fc.property(twin, twin, twin, (a, b, c) => {
        assert.deepEqual(newerMember(a, b), newerMember(b, a));
        assert.deepEqual(newerMember(newerMember(a, b), c), newerMember(a, newerMember(b, c)));
        assert.equal(newerMember(a, a), a);
      }),
      { numRuns: 2_000 },
    );
  });

  test("is the same one whether it was made here or came over the wire", () => {
    const left = memberRecord({ incarnation: 3, status: "left" });
    const removed = memberRecord({ incarnation: 3, status: "removed" });
    const [wireLeft, wireRemoved] = [left, removed].map((record) => {
      const one = mergeRoster(emptyRoster(cluster), { members: new Map([[record.id, record]]) });
      return sent(one).members!.get(record.id)!;
    });
    assert.equal(newerMember(left, wireRemoved!).status, newerMember(removed, wireLeft!).status);
  });

  test("is that of the higher life, whatever else it says", () => {
    const former = memberRecord({ life: 1, incarnation: 9, status: "removed" });
    const back = memberRecord({ life: 2, incarnation: 1, status: "up" });
    assert.equal(newerMember(former, back), back);
  });

  test("is within a life a final one, also under a lower incarnation: who was removed does not come back by a restart", () => {
    for (const status of finalStatuses) {
      const final = memberRecord({ incarnation: 1, status });
      for (const live of ["up", "leaving"] as const) {
        assert.equal(newerMember(memberRecord({ incarnation: 7, status: live }), final), final);
      }
    }
  });

  test("is else that of the higher incarnation: a late lower one changes nothing (memberlist#311)", () => {
    const now = memberRecord({ incarnation: 5, addresses: ["memory:new"] });
    const late = memberRecord({ incarnation: 4, addresses: ["memory:old"] });
    assert.equal(newerMember(now, late), now);
    const before = mergeRoster(emptyRoster(cluster), { members: new Map([[now.id, now]]) });
    assert.equal(mergeRoster(before, { members: new Map([[late.id, late]]) }), before);
  });
});

describe("merging rosters", () => {
  test("keeps every section to which a part adds nothing as it is: gossip tells and digests read only what is new", () => {
    const restarted = memberRecord({ incarnation: 9 });
    fc.assert(
      fc.property(roster, (own) => {
        const members = new Map([[restarted.id, restarted]]);
        const merged = mergeRoster(own, { ...own, members });
        for (const section of ["assignment", "secrets", "changes", "forgettingMarks", "holdings"] as const) {
          assert.equal(merged[section], own[section], section);
        }
      }),
    );
  });

  test("keeps of each partition the highest forgetting mark, and changes nothing for lower ones", () => {
    const marks = (pairs: Readonly<Record<number, number>>): RosterPart => ({ forgettingMarks: marksOf(pairs) });
    const own = mergeRoster(emptyRoster(cluster), marks({ 1: 5, 2: 7 }));
    assert.equal(mergeRoster(own, marks({ 1: 5, 2: 6 })), own);
    assert.deepEqual(mergeRoster(own, marks({ 1: 9, 3: 1 })).forgettingMarks, marksOf({ 1: 9, 2: 7, 3: 1 }));
  });

  test("keeps the marks of rings that were founded apart side by side, until they forget something together", () => {
    const both = mergeRoster(mergeRoster(emptyRoster(cluster), { forgettingMarks: marksOf({ 1: 5 }) }), {
      forgettingMarks: marksOf({ 1: 9 }, otherRing),
    });
    const sorted = [
      { ring, mark: 5 },
      { ring: otherRing, mark: 9 },
    ].toSorted((a, b) => (a.ring < b.ring ? -1 : 1));
    assert.deepEqual(both.forgettingMarks.get(1 as PartitionIndex), sorted);
    const together = marksOf({ 1: 10 }, bothRings);
    const merged = mergeRoster(both, { forgettingMarks: together });
    assert.deepEqual(merged.forgettingMarks, together);
    assert.equal(mergeRoster(merged, { forgettingMarks: marksOf({ 1: 77 }) }), merged);
  });

  test("is commutative, associative and idempotent", () => {
    fc.assert(
      fc.property(roster, roster, roster, (a, b, c) => {
        same(mergeRoster(a, b), mergeRoster(b, a));
        same(mergeRoster(mergeRoster(a, b), c), mergeRoster(a, mergeRoster(b, c)));
        same(mergeRoster(a, a), a);
      }),
      { numRuns: 1_000 },
    );
  });

  test("returns the roster itself when the part adds nothing, also when it came over the wire", () => {
    fc.assert(
      fc.property(roster, part, (a, some) => {
        const merged = mergeRoster(a, some);
        assert.equal(mergeRoster(merged, some), merged);
        assert.equal(mergeRoster(merged, sent(merged, some)), merged);
        assert.equal(mergeRoster(merged, sent(merged)), merged);
        assert.equal(mergeRoster(merged, {}), merged);
      }),
      { numRuns: 500 },
    );
  });

  test("takes the holdings of the latest life, run and sequence, however often they arrive", () => {
    fc.assert(
      fc.property(fc.array(holdings, { minLength: 1, maxLength: 8 }), (records) => {
        const merged = records.reduce(
          (all, record) => mergeRoster(all, { holdings: new Map([[record.id, record]]) }),
          emptyRoster(cluster),
        );
        for (const id of new Set(records.map((record) => record.id))) {
          const latest = records
            .filter((record) => record.id === id)
            .toSorted((a, b) => a.life - b.life || a.incarnation - b.incarnation || a.sequence - b.sequence)
            .at(-1);
          assert.deepEqual(merged.holdings.get(id), latest);
        }
      }),
    );
  });

  test("makes one change of a lapse that two hosts carried out at once, and two of the lapses of two lives", () => {
    const lapse = { verb: "lapse", subject: nodes[3]!, life: 1, tokens: 2 } as const;
    const [first, second] = [1, 2].map((i) => ({ changes: [{ ...lapse, by: nodes[i]!, atMs: i }] }));
    const later = { changes: [{ ...lapse, by: nodes[1]!, atMs: 9, life: 2 }] };
    for (const parts of [
      [first!, second!, later],
      [later, second!, first!],
    ]) {
      const merged = parts.reduce(mergeRoster, emptyRoster(cluster));
      assert.deepEqual(
        merged.changes.map(({ atMs, life }) => [atMs, life]),
        [
          [2, 1],
          [9, 2],
        ],
      );
    }
  });

  test("forgets the oldest ring changes above 500, whatever the order in which they came", () => {
    const changes = Array.from({ length: 700 }, (_, atMs) => ({
      by: nodes[0]!,
      atMs,
      verb: "join" as const,
      subject: nodes[1]!,
      tokens: 1,
    }));
    const older = mergeRoster(emptyRoster(cluster), { changes: changes.slice(0, 400) });
    const newer = mergeRoster(emptyRoster(cluster), { changes: changes.slice(300) });
    const merged = mergeRoster(older, newer);
    assert.deepEqual(
      merged.changes.map(({ atMs }) => atMs),
      changes.slice(200).map(({ atMs }) => atMs),
    );
    same(mergeRoster(newer, older), merged);
    assert.equal(mergeRoster(merged, older), merged);
  });

  test("keeps on the ring who is up or leaving, and nobody else", () => {
    const statuses: readonly MemberStatus[] = ["up", "leaving", "left", "removed"];
    const members = new Map(nodes.map((id, i) => [id, memberRecord({ id, status: statuses[i]! })]));
    const merged = mergeRoster(emptyRoster(cluster), { members });
    assert.deepEqual(
      ringMembers(merged).map(({ id }) => id),
      ["h1", "h2"],
    );
  });
});

test("digests of rosters are equal exactly when the rosters are", () => {
  fc.assert(
    fc.property(roster, roster, (a, b) => {
      const equal = Buffer.compare(encodeRoster(a), encodeRoster(b)) === 0;
      assert.equal(Buffer.compare(rosterDigest(a), rosterDigest(b)) === 0, equal);
      assert.deepEqual(rosterDigest(mergeRoster(a, b)), rosterDigest(mergeRoster(b, a)));
    }),
  );
});

describe("questions", () => {
  const marks = ["0a", "0b", "0c", "0d"].map((pair) => pair.repeat(16));
  const run = fc
    .record({ incarnation: fc.integer({ min: 1, max: 9 }), mark: fc.constantFrom(...marks) })
    .map((rest) => memberRecord(rest));

  test("are kept for each mark that the present record does not answer for, in whatever order records come", () => {
    fc.assert(
      fc.property(fc.array(run, { minLength: 1, maxLength: 8 }), (records) => {
        const merged = records.reduce(
          (all, record) => mergeRoster(all, { members: new Map([[record.id, record]]) }),
          emptyRoster(cluster),
        );
        const present = merged.members.get(nodes[0]!)!;
        const asked = new Set(merged.questions.map(({ mark }) => mark));
        assert.deepEqual(asked, new Set(records.map(({ mark }) => mark).filter((mark) => mark !== present.mark)));
      }),
    );
  });

  test("end when the host's record answers for them, and are never more than eight for one host", () => {
    const many = Array.from({ length: 30 }, (_, i) =>
      memberRecord({ incarnation: i + 1, mark: i.toString(16).padStart(2, "0").repeat(16) }),
    );
    const asked = many.reduce(
      (all, record) => mergeRoster(all, { members: new Map([[record.id, record]]) }),
      emptyRoster(cluster),
    );
    assert.equal(asked.questions.length, 8);
    const answers = asked.questions.map(({ mark }) => mark);
    const answer = memberRecord({ incarnation: 99, mark: many.at(-1)!.mark, answers });
    assert.deepEqual(mergeRoster(asked, { members: new Map([[answer.id, answer]]) }).questions, []);
  });
});
