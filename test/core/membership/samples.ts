/** Random rosters of one small cluster: hosts that left, holdings of any run, concurrent assignments. */
import fc from "fast-check";
import type { NodeId, PartitionIndex } from "../../../core/identity.ts";
import {
  type ForgettingMarks,
  ringName,
  type RingName,
  unnamedRing,
} from "../../../core/membership/forgetting-marks.ts";
import { RosterMessage, rosterMessage, rosterPartOf } from "../../../core/membership/exchange.ts";
import type { MemberRecord, MemberStatement, MemberStatus } from "../../../core/membership/member.ts";
import {
  emptyRoster,
  type HoldingsRecord,
  mergeRoster,
  type RingChange,
  type Roster,
  type RosterPart,
} from "../../../core/membership/roster.ts";

import { signedRecord } from "../../support/test-identity.ts";

export const cluster = { name: "test", partitions: 8, n: 3, admission: "open" } as const;

export const [secret, otherSecret] = ["aa".repeat(32), "bb".repeat(32)] as const;
/** The ring of one founding, of another one, and what they are once they have met. */
export const [ring, otherRing, bothRings] = [[secret], [otherSecret], [secret, otherSecret]].map(ringName) as [
  RingName,
  RingName,
  RingName,
];

/** Of one ring. */
export function marksOf(pairs: Readonly<Record<number, number>>, name: RingName = ring): ForgettingMarks {
  return new Map(
    Object.entries(pairs).map(([index, mark]) => [Number(index) as PartitionIndex, [{ ring: name, mark }]]),
  );
}

export const nodes = ["h1", "h2", "h3", "h4"] as NodeId[];
const node = fc.constantFrom(...nodes);
const few = fc.integer({ min: 1, max: 3 });
const status: fc.Arbitrary<MemberStatus> = fc.constantFrom("up", "leaving", "left", "removed", "lapsed");

/** What may be said to have lapsed. */
const browser = { kind: "browser-host", leaseMs: 600_000 } as const;

/** Signed by the member itself, or by whom it is told. */
export function memberRecord(rest: Partial<MemberStatement> = {}, by?: NodeId): MemberRecord {
  const statement: MemberStatement = {
    id: nodes[0]!,
    life: 1,
    incarnation: 1,
    status: "up",
    kind: "host",
    capacity: 100,
    zone: "",
    deviceGroup: "",
    addresses: [],
    http: "",
    mark: "00".repeat(16),
    answers: [],
    ...(rest.status === "lapsed" ? browser : {}),
    ...rest,
  };
  return signedRecord(statement, by);
}

/** A node writes one record per life, incarnation and status, so these decide the rest. */
const member: fc.Arbitrary<MemberRecord> = fc
  .record({ id: node, life: few, incarnation: few, status })
  .map((key) => memberRecord({ ...key, addresses: [`memory:${key.id}`], capacity: 100 * key.incarnation }));

/** Records of one node that differ in whatever may differ, as a copied identity makes them. */
export const twin: fc.Arbitrary<MemberRecord> = fc
  .record({ life: few, incarnation: few, status, mark: fc.constantFrom("0a".repeat(16), "0b".repeat(16)) })
  .map((rest) => memberRecord(rest));

/** One host publishes one pair of bitmaps per life, incarnation and sequence. */
export const holdings: fc.Arbitrary<HoldingsRecord> = fc
  .record({ id: node, life: few, incarnation: few, sequence: few })
  .map((key) => {
    const bits = key.life * 37 + key.incarnation * 11 + key.sequence;
    return {
      ...key,
      complete: Uint8Array.of(bits & 255),
      filling: Uint8Array.of(~bits & 255),
      former: Uint8Array.of(0),
      hints: Uint8Array.of(0),
    };
  });

const change: fc.Arbitrary<RingChange> = fc.record({
  by: node,
  atMs: fc.integer({ min: 0, max: 20 }),
  verb: fc.constantFrom("join", "leave", "lapse"),
  subject: node,
  tokens: few,
  life: few,
});

const assignment = fc.array(fc.record({ host: fc.option(node), epoch: fc.integer({ min: 0, max: 3 }) }), {
  minLength: cluster.partitions,
  maxLength: cluster.partitions,
});

export const part: fc.Arbitrary<RosterPart> = fc
  .record({
    members: fc.array(member, { maxLength: 6 }),
    holdings: fc.array(holdings, { maxLength: 6 }),
    assignment: fc.option(assignment, { nil: undefined }),
    secrets: fc.array(fc.constantFrom(secret, otherSecret, "cc".repeat(32))),
    changes: fc.array(change, { maxLength: 4 }),
    forgettingMarks: fc.array(
      fc.tuple(fc.constantFrom(0, 3, 7), few, fc.constantFrom(unnamedRing, ring, otherRing, bothRings)),
      {
        maxLength: 4,
      },
    ),
  })
  .map(({ members, holdings: held, assignment: tokens, forgettingMarks: marks, ...lists }) => ({
    members: new Map(members.map((each) => [each.id, each])),
    holdings: new Map(held.map((each) => [each.id, each])),
    forgettingMarks: new Map(
      marks.map(([partition, mark, name]) => [partition as PartitionIndex, [{ ring: name, mark }]]),
    ),
    ...(tokens === undefined ? {} : { assignment: tokens }),
    ...lists,
  }));

/** As a node reads it from its disk. */
export const roster: fc.Arbitrary<Roster> = part.map((each) => {
  const written = mergeRoster(emptyRoster(cluster), each);
  return mergeRoster(emptyRoster(cluster), sent(written));
});

/** What arrives when this part is sent: real bytes, decoded anew. */
export function sent(from: Roster, some: RosterPart = from): RosterPart {
  return rosterPartOf(RosterMessage.decode(RosterMessage.encode(rosterMessage(from, some))));
}
