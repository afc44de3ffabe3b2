import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  bytes,
  DecodeError,
  field,
  hex,
  message,
  optional,
  repeated,
  text,
  varint,
} from "../../../core/bytes/codec.ts";
import type { NodeId, PartitionIndex } from "../../../core/identity.ts";
import { decodeAssignment, encodeAssignment } from "../../../core/membership/assignment-encoding.ts";
import {
  encodeRoster,
  RosterMessage,
  rosterFrom,
  rosterMessage,
  rosterPartOf,
} from "../../../core/membership/exchange.ts";
import {
  type ForgettingMark,
  type ForgettingMarks,
  includesRing,
  mergeMarks,
  ringOfFoundings,
  type RingName,
  sharesFounding,
  unnamedRing,
} from "../../../core/membership/forgetting-marks.ts";
import { decodeForgettingMarks, encodeForgettingMarks } from "../../../core/membership/forgetting-marks-encoding.ts";
import { emptyRoster } from "../../../core/membership/roster.ts";
import { bothRings, cluster, marksOf, memberRecord, nodes, otherRing, ring, roster, sent } from "./samples.ts";

describe("a roster", () => {
  test("a roster survives the disk", () => {
    fc.assert(
      fc.property(roster, (own) => {
        const read = rosterFrom(RosterMessage.decode(encodeRoster(own)));
        assert.deepEqual(encodeRoster(read), encodeRoster(own));
      }),
    );
  });
});

function sortedByRing(marks: ForgettingMarks): ForgettingMarks {
  return new Map([...marks].map(([at, each]) => [at, each.toSorted((a, b) => (a.ring < b.ring ? -1 : 1))]));
}

describe("forgetting marks as bytes", () => {
  const bad = (marks: readonly { partition: number; mark: number }[]): Uint8Array => {
    const encoded = encodeForgettingMarks(
      new Map(marks.map(({ partition, mark }) => [partition as PartitionIndex, [{ ring, mark }]])),
    );
    return RosterMessage.encode({ ...rosterMessage(emptyRoster(cluster)), forgettingMarks: encoded });
  };
  const read = (encoded: Uint8Array): unknown => rosterPartOf(RosterMessage.decode(encoded)).forgettingMarks;

  test("come back as they were, and take no byte while there are none", () => {
    assert.deepEqual(read(bad([{ partition: 7, mark: 2 ** 50 }])), marksOf({ 7: 2 ** 50 }));
    assert.equal(rosterMessage(emptyRoster(cluster)).forgettingMarks, undefined);
  });

  test("name the rings that raised them, and none where a version that told none apart has written them", () => {
    const marks = new Map([
      [
        2 as PartitionIndex,
        [
          { ring, mark: 9 },
          { ring: otherRing, mark: 4 },
        ],
      ],
      [5 as PartitionIndex, [{ ring: bothRings, mark: 3 }]],
    ]);
    assert.deepEqual(decodeForgettingMarks(encodeForgettingMarks(marks), 8), sortedByRing(marks));
    const Old = message("Old", {
      marks: repeated(1, message("OldMark", { partition: field(1, varint), mark: field(2, varint) }), 65_536),
    });
    const written = Old.encode({ marks: [{ partition: 2, mark: 7 }] });
    assert.deepEqual(decodeForgettingMarks(written, 8), marksOf({ 2: 7 }, unnamedRing));
    const read = Old.decode(encodeForgettingMarks(marks)).marks.map(
      ({ partition, mark }) => [partition, mark] as const,
    );
    assert.deepEqual(
      [...new Map(read)],
      [
        [2, 9],
        [5, 3],
      ],
      "which reads the highest of each partition",
    );
  });

  test("are read as merged, and refused where they name a ring that there is not, or too many", () => {
    const Hostile = message("Hostile", {
      marks: repeated(
        1,
        message("Mark", { partition: field(1, varint), mark: field(2, varint), ring: optional(3, varint) }),
        10,
      ),
      rings: repeated(2, message("Ring", { foundings: repeated(1, hex(8), 2_000) }), 2_000),
    });
    const [one, two] = [ring, otherRing];
    const encoded = Hostile.encode({
      marks: [0, 1, 2, 0].map((index, i) => ({ partition: 1, mark: 5 + i, ring: index })),
      rings: [{ foundings: [one] }, { foundings: [two, one, two] }, { foundings: [two] }],
    });
    assert.deepEqual(decodeForgettingMarks(encoded, 8), marksOf({ 1: 6 }, bothRings));
    const noRing = Hostile.encode({ marks: [{ partition: 1, mark: 5, ring: 1 }], rings: [{ foundings: [one] }] });
    const many = Array.from({ length: 1_001 }, () => one);
    for (const bytesOf of [
      noRing,
      Hostile.encode({ marks: [], rings: [{ foundings: many }] }),
      Hostile.encode({ marks: [], rings: many.map(() => ({ foundings: [one] })) }),
    ]) {
      assert.throws(() => decodeForgettingMarks(bytesOf, 8), DecodeError);
    }
  });

  test("are read in bounded time, however many rings of however many foundings somebody names", () => {
    const foundings = Array.from({ length: 400 }, (_, i) => i.toString(16).padStart(16, "0"));
    // Each ring lacks one founding of a longer one or another: they differ late, and few include each other.
    const rings = Array.from({ length: 360 }, (_, i) => ({ foundings: foundings.slice(i % 2, 400 - (i >> 1)) }));
    const marks = Array.from({ length: 60_000 }, (_, i) => ({ partition: i % 8, mark: 1 + i, ring: i % rings.length }));
    const Many = message("Many", {
      marks: repeated(
        1,
        message("Mark", { partition: field(1, varint), mark: field(2, varint), ring: optional(3, varint) }),
        marks.length,
      ),
      rings: repeated(2, message("Ring", { foundings: repeated(1, hex(8), 400) }), rings.length),
    });
    const read = decodeForgettingMarks(Many.encode({ marks, rings }), 8);
    assert.deepEqual(read.get(0 as PartitionIndex), [{ ring: foundings.join("") as RingName, mark: 59_761 }]);
  });

  test("are read as they would be merged one by one", () => {
    const [a, b, c] = ["a", "b", "c"].map((letter) => letter.repeat(16)) as [string, string, string];
    const named = fc.constantFrom([], [a], [b], [c], [a, b], [b, c], [a, b, c]).map(ringOfFoundings);
    fc.assert(
      fc.property(
        fc.array(fc.record({ ring: named, mark: fc.integer({ min: 1, max: 4 }) }, { noNullPrototype: true })),
        (marks) => {
          const at = 3 as PartitionIndex;
          const merged = marks.reduce<readonly ForgettingMark[]>((all, each) => mergeMarks(all, [each]), []);
          const read = decodeForgettingMarks(encodeForgettingMarks(new Map([[at, marks]])), 8);
          assert.deepEqual(read.get(at) ?? [], merged);
        },
      ),
    );
  });

  test("belong to the foundings that their ring is named after, and to none that two of these make side by side", () => {
    const wide = ringOfFoundings(["1".repeat(16), "2".repeat(16)]);
    for (const [founding, isOf] of [
      ["2".repeat(16), true],
      [wide.slice(4, 20), false],
    ] as const) {
      assert.equal(includesRing(wide, ringOfFoundings([founding])), isOf);
      assert.equal(sharesFounding(wide, ringOfFoundings([founding])), isOf);
    }
  });

  test("are refused where they name a partition that there is not, or a mark that could not be raised any more", () => {
    assert.throws(() => read(bad([{ partition: 8, mark: 1 }])), DecodeError);
    assert.throws(() => read(bad([{ partition: 0, mark: 2 ** 50 + 1 }])), DecodeError);
    const cut = RosterMessage.encode({
      ...rosterMessage(emptyRoster(cluster)),
      forgettingMarks: Uint8Array.of(10, 9, 8),
    });
    assert.throws(() => read(cut), DecodeError);
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

  test("with a member of a status that this version does not know is refused as a whole", () => {
    const { payload, by, signature } = memberRecord({ status: "left" }).proof;
    const at = Buffer.from(payload).indexOf(Uint8Array.of(0x20, 2)); // the field's tag, and the status
    const later = { payload: payload.with(at + 1, 9), by, signature };
    const told = { ...rosterMessage(emptyRoster(cluster)), members: [memberRecord({ id: nodes[1]! }).proof, later] };
    const encoded = RosterMessage.encode(told);
    assert.throws(() => rosterPartOf(RosterMessage.decode(encoded)), /unknown choice 9/);
  });

  test("with a life, an incarnation or a count of holdings that its host could not raise any more is refused", () => {
    const absurd = 2 ** 40 + 1;
    const bitmaps = {
      complete: Uint8Array.of(0),
      filling: Uint8Array.of(0),
      former: Uint8Array.of(0),
      hints: Uint8Array.of(0),
    };
    const { id } = memberRecord();
    const count = { life: 1, incarnation: 1, sequence: absurd, ...bitmaps };
    assert.throws(() => sent(emptyRoster(cluster), { holdings: new Map([[id, { id, ...count }]]) }), DecodeError);
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
