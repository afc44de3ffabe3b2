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
        const answered = mergeRoster(asked, sent(asker, lackingIn(overWire(asked), asker)));
        const asking = mergeRoster(asker, sent(answered, lackingIn(overWire(asker), answered)));
        assert.deepEqual(encodeRoster(asking), encodeRoster(answered));
        assert.deepEqual(encodeRoster(asking), encodeRoster(mergeRoster(asker, asked)));
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

  test("carries the holdings of a member's next life, which counts both its numbers from 1 again", () => {
    const holding = (life: number, bits: number): Roster => {
      const one = { id: memberRecord().id, life, incarnation: 1, sequence: 1 };
      const [complete, none] = [Uint8Array.of(bits), Uint8Array.of(0)];
      return mergeRoster(emptyRoster(cluster), {
        members: new Map([[one.id, memberRecord({ life: 2 })]]),
        holdings: new Map([[one.id, { ...one, complete, filling: none, former: none, hints: none }]]),
      });
    };
    const [behind, ahead] = [holding(1, 255), holding(2, 0)];
    const after = mergeRoster(behind, sent(ahead, lackingIn(overWire(behind), ahead)));
    assert.deepEqual(encodeRoster(after), encodeRoster(ahead));
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
  const entry = fc.tuple(fc.option(id), fc.integer({ min: 0, max: 2 ** 40 })).map(([host, epoch]) => ({ host, epoch }));

  test("comes back as it was", () => {
    fc.assert(
      fc.property(fc.array(entry, { minLength: 1, maxLength: 64 }), (entries) => {
        assert.deepEqual(decodeAssignment(encodeAssignment(entries), entries.length), entries);
      }),
    );
  });

  test("with an epoch that nobody could raise any more is refused", () => {
    const absurd = encodeAssignment([{ host: "h1" as NodeId, epoch: 2 ** 40 + 1 }]);
    assert.throws(() => decodeAssignment(absurd, 1), DecodeError);
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

  test("with a life or an incarnation that its host could not raise any more is refused", () => {
    const absurd = 2 ** 40 + 1;
    const bitmaps = {
      complete: Uint8Array.of(0),
      filling: Uint8Array.of(0),
      former: Uint8Array.of(0),
      hints: Uint8Array.of(0),
    };
    const { id } = memberRecord();
    for (const version of [
      { life: absurd, incarnation: 1 },
      { life: 1, incarnation: absurd },
    ]) {
      const member = { members: new Map([[id, memberRecord(version)]]) };
      const held = { holdings: new Map([[id, { id, ...version, sequence: 1, ...bitmaps }]]) };
      for (const forged of [member, held]) assert.throws(() => sent(emptyRoster(cluster), forged), DecodeError);
    }
    const last = { members: new Map([[id, memberRecord({ life: 2 ** 40, incarnation: 2 ** 40 })]]) };
    assert.equal(sent(emptyRoster(cluster), last).members!.size, 1);
  });

  test("of another Q is refused before it is merged", () => {
    const other = emptyRoster({ ...cluster, partitions: 16 });
    const claimed = { ...rosterMessage(other), cluster };
    assert.throws(() => rosterPartOf(claimed), DecodeError);
  });
});
