import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { bytes, DecodeError, field, message, text, varint } from "../../../core/bytes/codec.ts";
import type { NodeId } from "../../../core/identity.ts";
import { decodeAssignment, encodeAssignment } from "../../../core/membership/assignment-encoding.ts";
import {
  encodeRoster,
  foreignRecordOf,
  lackingIn,
  RosterMessage,
  RosterSummary,
  rosterFrom,
  rosterMessage,
  rosterPartOf,
  summarize,
} from "../../../core/membership/exchange.ts";
import { emptyRoster, mergeRoster, type Roster } from "../../../core/membership/roster.ts";
import { memberRecord, cluster, roster, sent } from "./samples.ts";

const overWire = (own: Roster): RosterSummary => RosterSummary.decode(RosterSummary.encode(summarize(own)));

describe("an exchange", () => {
  test("makes two rosters equal, sending each only what the other may lack", () => {
    fc.assert(
      fc.property(roster, roster, (asker, asked) => {
        // Only holdings of one life: a summary does not tell lives of holdings apart (see found.test.ts).
        const [a, b] = [oneLife(asker), oneLife(asked)];
        const answered = mergeRoster(b, sent(a, lackingIn(overWire(b), a)));
        const asking = mergeRoster(a, sent(answered, lackingIn(overWire(a), answered)));
        assert.deepEqual(encodeRoster(asking), encodeRoster(answered));
        assert.deepEqual(encodeRoster(asking), encodeRoster(mergeRoster(a, b)));
      }),
      { numRuns: 1_000 },
    );
  });

  test("of equal rosters sends no member, no assignment, no secret and no change", () => {
    fc.assert(
      fc.property(roster, (both) => {
        const listed = { ...both, holdings: new Map([...both.holdings].filter(([id]) => both.members.has(id))) };
        const lacking = lackingIn(overWire(listed), listed);
        assert.deepEqual(
          [lacking.members?.size, lacking.holdings?.size, lacking.assignment, lacking.secrets, lacking.changes],
          [0, 0, undefined, undefined, undefined],
        );
      }),
    );
  });

  test("carries a change of one member alone", () => {
    const before = mergeRoster(emptyRoster(cluster), {
      members: new Map(["h1", "h2", "h3"].map((id) => [id as NodeId, memberRecord({ id: id as NodeId })])),
    });
    const moved = memberRecord({ id: "h2" as NodeId, incarnation: 2, addresses: ["memory:elsewhere"] });
    const after = mergeRoster(before, { members: new Map([[moved.id, moved]]) });
    const lacking = lackingIn(overWire(before), after);
    assert.deepEqual([...lacking.members!.keys()], ["h2"]);
    assert.equal(lacking.assignment, undefined);
  });

  test("a roster survives the disk", () => {
    fc.assert(
      fc.property(roster, (own) => {
        const read = rosterFrom(RosterMessage.decode(encodeRoster(own)));
        assert.deepEqual(encodeRoster(read), encodeRoster(own));
      }),
    );
  });
});

function oneLife(own: Roster): Roster {
  return { ...own, holdings: new Map([...own.holdings].filter(([, { life }]) => life === 1)) };
}

describe("a record of oneself", () => {
  const own = mergeRoster(emptyRoster(cluster), {
    members: new Map([["h1" as NodeId, memberRecord({ incarnation: 3, mark: "0a".repeat(16) })]]),
  });
  const heard = (rest: Parameters<typeof memberRecord>[0]): boolean =>
    foreignRecordOf("h1" as NodeId, own, {
      members: new Map([["h1" as NodeId, memberRecord({ mark: "0b".repeat(16), ...rest })]]),
    });

  test("under an unknown mark and an incarnation not below the own one was written by another directory", () => {
    assert.equal(heard({ incarnation: 3 }), true);
    assert.equal(heard({ incarnation: 9 }), true);
    assert.equal(heard({ life: 2, incarnation: 1 }), true);
  });

  test("of an earlier run, or with the own mark, is not foreign", () => {
    assert.equal(heard({ incarnation: 2 }), false);
    assert.equal(heard({ incarnation: 9, mark: "0a".repeat(16) }), false);
    assert.equal(foreignRecordOf("h1" as NodeId, own, {}), false);
  });
});

describe("an assignment as bytes", () => {
  const id = fc.string({ minLength: 1, maxLength: 9, unit: "binary" }).map((chars) => chars as NodeId);
  const entry = fc.tuple(fc.option(id), fc.integer({ min: 0, max: 2 ** 48 })).map(([host, epoch]) => ({ host, epoch }));

  test("comes back as it was", () => {
    fc.assert(
      fc.property(fc.array(entry, { minLength: 1, maxLength: 64 }), (entries) => {
        assert.deepEqual(decodeAssignment(encodeAssignment(entries), entries.length), entries);
      }),
    );
  });

  test("of another number of tokens, an unknown host or half a number is refused", () => {
    const good = encodeAssignment([{ host: "h1" as NodeId, epoch: 300 }]);
    assert.throws(() => decodeAssignment(good, 2), DecodeError);
    assert.throws(
      () => decodeAssignment(encodeAssignment([...Array(9)].map(() => ({ host: null, epoch: 1 }))), 8),
      DecodeError,
    );
    const Forged = message("Forged", { hosts: field(1, text(128)), tokens: field(2, bytes(64)) });
    for (const tokens of [[2, 1], [1], [1, 128], [1, ...Array(8).fill(255)]]) {
      const forged = Forged.encode({ hosts: "h1", tokens: Uint8Array.from(tokens) });
      assert.throws(() => decodeAssignment(forged, 1), DecodeError, `tokens ${tokens.join()}`);
    }
  });

  test("any bytes are an assignment of that many tokens, or a DecodeError", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.integer({ min: 1, max: 8 }), (noise, partitions) => {
        try {
          assert.equal(decodeAssignment(noise, partitions).length, partitions);
        } catch (error: unknown) {
          assert.ok(error instanceof DecodeError, String(error));
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

describe("a roster from a hostile or newer peer", () => {
  test("cut short anywhere or with one byte changed is a roster part or a DecodeError", () => {
    fc.assert(
      fc.property(roster, fc.nat(), fc.nat(), fc.integer({ min: 1, max: 255 }), (own, cut, at, flip) => {
        const encoded = encodeRoster(own);
        const changed = encoded.slice();
        changed[at % changed.length]! ^= flip;
        for (const hostile of [encoded.subarray(0, cut % encoded.length), changed]) {
          try {
            rosterPartOf(RosterMessage.decode(hostile));
          } catch (error: unknown) {
            assert.ok(error instanceof DecodeError, String(error));
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  test("with fields that this version does not know is read without them", () => {
    const Newer = message("Newer", { lease: field(90, varint), note: field(91, text(64)) });
    fc.assert(
      fc.property(roster, (own) => {
        const more = Newer.encode({ lease: 600_000, note: "of a later version" });
        const read = rosterFrom(RosterMessage.decode(Buffer.concat([encodeRoster(own), more])));
        assert.deepEqual(encodeRoster(read), encodeRoster(own));
      }),
      { numRuns: 50 },
    );
  });

  test("of another Q is refused before it is merged", () => {
    const other = emptyRoster({ ...cluster, partitions: 16 });
    const claimed = { ...rosterMessage(other), cluster };
    assert.throws(() => rosterPartOf(claimed), DecodeError);
  });
});
