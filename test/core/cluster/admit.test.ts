import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { field, message, text, varint } from "../../../core/bytes/codec.ts";
import { admit, mayKnowSecrets } from "../../../core/cluster/admit.ts";
import type { NodeId } from "../../../core/identity.ts";
import {
  encodeRoster,
  membersMax,
  rosterFrom,
  RosterMessage,
  rosterMessage,
  rosterPartOf,
} from "../../../core/membership/exchange.ts";
import type { MemberRecord, MemberStatement } from "../../../core/membership/member.ts";
import { lease } from "../../../core/membership/roles.ts";
import { emptyRoster, mergeRoster, type Roster, type RosterPart } from "../../../core/membership/roster.ts";
import { encodeStatement, recordOf, signingInput } from "../../../core/membership/signed-member.ts";
import type { Identity } from "../../../core/ports.ts";
import { signedRecord, testIdentity } from "../../support/test-identity.ts";
import { cluster, memberRecord, nodes, part as anyPart } from "../membership/samples.ts";

const [h1, h2, h3, stranger] = nodes as [NodeId, NodeId, NodeId, NodeId];

function rosterOf(...records: MemberRecord[]): Roster {
  return mergeRoster(emptyRoster(cluster), { members: new Map(records.map((record) => [record.id, record])) });
}

const three = rosterOf(...[h1, h2, h3].map((id) => memberRecord({ id })));
const own = memberRecord({ id: h2, incarnation: 2, addresses: ["memory:moved"] });

/** An identity that counts what it verifies. */
function counting(): Identity & { count: number } {
  const identity = testIdentity(h1);
  return {
    count: 0,
    sign: (input) => identity.sign(input),
    verify(...all) {
      this.count += 1;
      return identity.verify(...all);
    },
  };
}

async function admitted(part: RosterPart, from = h2, roster = three, identity: Identity = testIdentity(h1)) {
  const { part: merged, refused } = await admit(identity, roster, from, {
    records: part,
    sections: () => part,
  });
  return { members: [...(merged.members?.keys() ?? [])], part: merged, refused: refused.map(({ about }) => about) };
}

const members = (...records: MemberRecord[]): RosterPart => ({
  members: new Map(records.map((record) => [record.id, record])),
});

describe("a member record", () => {
  test("signed by its node is admitted, whoever brings it", async () => {
    for (const from of [h2, h3, stranger]) {
      const { members: found, refused } = await admitted(members(own), from);
      assert.deepEqual([found, refused], [[h2], []]);
    }
  });

  test("of which any byte was changed is refused, alone", () =>
    fc.assert(
      fc.asyncProperty(fc.nat(), fc.integer({ min: 1, max: 255 }), fc.boolean(), async (at, flip, inSignature) => {
        const payload = own.proof.payload.slice();
        const signature = own.proof.signature.slice();
        const changed = inSignature ? signature : payload;
        changed[at % changed.length]! ^= flip;
        const forged: MemberRecord = { ...own, proof: { payload, by: h2, signature } };
        const sound = memberRecord({ id: h3, incarnation: 2 });
        const { members: found, refused } = await admitted(members(forged, sound));
        assert.deepEqual([found, refused], [[h3], [h2]]);
      }),
      { numRuns: 200 },
    ));

  test("signed by another is admitted as removed or lapsed only, and from a member only", async () => {
    for (const status of ["up", "leaving", "left", "removed", "lapsed"] as const) {
      const isByOthers = status === "removed" || status === "lapsed";
      const said = memberRecord({ id: h2, status, incarnation: 3 }, h3);
      assert.deepEqual((await admitted(members(said))).members, isByOthers ? [h2] : [], status);
      assert.deepEqual((await admitted(members(memberRecord({ id: h2, status }, stranger)))).members, [], status);
    }
  });

  test("says only what its kind may be: a lease is for browser hosts, in reason, and only theirs lapses", async () => {
    const browser = { kind: "browser-host", leaseMs: 600_000 } as const;
    const roles: readonly (readonly [Partial<MemberStatement>, boolean])[] = [
      [{}, true],
      [browser, true],
      [{ ...browser, leaseMs: lease.minMs }, true],
      [{ ...browser, leaseMs: lease.maxMs }, true],
      [{ capacity: 0 }, false],
      [{ leaseMs: 600_000 }, false],
      [{ kind: "browser-host" }, false],
      [{ ...browser, leaseMs: 0 }, false],
      [{ ...browser, leaseMs: lease.minMs - 1 }, false],
      [{ ...browser, leaseMs: lease.maxMs + 1 }, false],
      [{ ...browser, leaseMs: Number.MAX_SAFE_INTEGER }, false],
    ];
    for (const [role, isFine] of roles) {
      const said = memberRecord({ id: h2, incarnation: 3, ...role });
      const { members: found, refused } = await admitted(members(said), h2);
      assert.deepEqual([found, refused], isFine ? [[h2], []] : [[], [h2]], JSON.stringify(role));
    }
    const lapse = { id: h2, status: "lapsed", incarnation: 3 } as const;
    for (const by of [h2, h3]) {
      assert.deepEqual((await admitted(members(memberRecord(lapse, by)))).members, [h2]);
      const host = signedRecord({ ...memberRecord({ id: h2, incarnation: 3 }), status: "lapsed" }, by);
      assert.deepEqual((await admitted(members(host))).refused, [h2], "a host never lapses");
    }
  });

  test("that is final is taken whatever its capacity: who has that member already must hear of its removal", async () => {
    for (const status of ["left", "removed"] as const) {
      const said = memberRecord({ id: h2, incarnation: 3, status, capacity: 0 }, status === "left" ? h2 : h3);
      const { members: found, refused } = await admitted(members(said));
      assert.deepEqual([found, refused], [[h2], []], status);
    }
  });

  test("of a host that is new is refused where there is room for no more, and news of the others is taken", async () => {
    const others = Array.from({ length: membersMax - 3 }, (_, i) => memberRecord({ id: `b${i}` as NodeId }));
    const almostFull = rosterOf(memberRecord({ id: h1 }), memberRecord({ id: h2 }), ...others);
    const newcomers = members(memberRecord({ id: h3 }), memberRecord({ id: stranger }), own);
    const { members: found, part, refused } = await admitted(newcomers, h2, almostFull);
    assert.deepEqual([found, refused], [[h3, h2], [stranger]]);
    const full = mergeRoster(almostFull, { members: part.members! });
    assert.equal(rosterFrom(RosterMessage.decode(encodeRoster(full))).members.size, membersMax, "it can be saved");
  });

  test("of a removal by a host that is new here is admitted with that host's own record", async () => {
    const removal = memberRecord({ id: h2, status: "removed" }, stranger);
    const { members: found, refused } = await admitted(members(removal, memberRecord({ id: stranger })));
    assert.deepEqual([found.toSorted(), refused], [[h2, stranger].toSorted(), []]);
  });

  test("that is known byte for byte is not verified again, a thousand of them cost nothing", async () => {
    const identity = counting();
    await admitted(three, h2, three, identity);
    assert.equal(identity.count, 0);
    await admitted(mergeRoster(three, members(own)), h2, three, identity);
    assert.equal(identity.count, 1);
  });

  test("of a newer version keeps its unknown fields, which are signed too, on its way through this one", async () => {
    const Newer = message("Newer", { note: field(90, text(64)), weight: field(91, varint) });
    const more = Newer.encode({ note: "of a later version", weight: 7 });
    const payload = Uint8Array.from([...encodeStatement(own), ...more]);
    const signature = await testIdentity(h2).sign(signingInput(payload));
    const newer = recordOf({ payload, by: h2, signature });
    const through = mergeRoster(three, (await admitted(members(newer))).part);
    const passedOn = rosterPartOf(RosterMessage.decode(RosterMessage.encode(rosterMessage(through))));
    assert.deepEqual(passedOn.members!.get(h2)!.proof.payload, payload);
    assert.deepEqual((await admitted(passedOn, h3, emptyRoster(cluster))).refused, []);
    assert.deepEqual(passedOn.members!.get(h2)!.addresses, own.addresses);
  });

  test("with a question that its host never signed is not asked", async () => {
    const forged = memberRecord({ id: h2, incarnation: 9, mark: "0b".repeat(16) });
    const { part, refused } = await admitted({ questions: [{ ...forged, proof: { ...forged.proof, by: h3 } }] });
    assert.deepEqual([part.questions, refused], [[], [h2]]);
  });
});

describe("what is not signed", () => {
  const unsigned = (part: RosterPart): number =>
    [part.assignment, part.holdings, part.secrets, part.changes].filter((each) => each !== undefined).length;

  test("counts from members and from those that left, and from nobody else", async () => {
    const sent: RosterPart = { ...emptyRoster(cluster), members: new Map() };
    const statuses = { up: 4, leaving: 4, left: 4, removed: 0, lapsed: 0 } as const;
    for (const [status, count] of Object.entries(statuses)) {
      const roster = rosterOf(memberRecord({ id: h2, status: status as keyof typeof statuses }));
      assert.equal(unsigned((await admitted(sent, h2, roster)).part), count, status);
    }
    assert.equal(unsigned((await admitted(sent, stranger)).part), 0);
  });

  test("is not even read from who is no member: to read it can cost much", async () => {
    const sections = (): never => assert.fail("read");
    const { part } = await admit(testIdentity(h1), three, stranger, { records: members(own), sections });
    assert.deepEqual([...part.members!.keys()], [h2]);
  });

  test("of a run that a removal did not know of is taken all the same, or those who heard of it would differ for ever", async () => {
    const bits = new Uint8Array(1);
    const said = {
      id: h3,
      life: 1,
      incarnation: 4,
      sequence: 1,
      complete: bits,
      filling: bits,
      former: bits,
      hints: bits,
    };
    const sent: RosterPart = { holdings: new Map([[h3, said]]) };
    const told = async (status: "up" | "removed", incarnation: number): Promise<number> => {
      const record = memberRecord({ id: h3, status, incarnation }, status === "removed" ? h2 : h3);
      return (await admitted(sent, h2, rosterOf(memberRecord({ id: h2 }), record))).part.holdings!.size;
    };
    assert.deepEqual([await told("removed", 3), await told("up", 3), await told("up", 4)], [1, 0, 1]);
  });

  test("counts from one whose record comes with it, as of who joins", async () => {
    const joining = { ...emptyRoster(cluster), ...members(memberRecord({ id: stranger })) };
    assert.equal(unsigned((await admitted(joining, stranger)).part), 4);
  });

  test("and what is: everything that is admitted can be merged", () =>
    fc.assert(
      fc.asyncProperty(anyPart, async (sent) => {
        const { part, refused } = await admitted(sent);
        assert.deepEqual(refused, []);
        mergeRoster(three, part);
      }),
      { numRuns: 100 },
    ));
});

test("secrets are told to those on the ring alone", () => {
  const statuses = { up: true, leaving: true, left: false, removed: false, lapsed: false } as const;
  for (const [status, may] of Object.entries(statuses)) {
    const roster = rosterOf(memberRecord({ id: h2, status: status as keyof typeof statuses }));
    assert.equal(mayKnowSecrets(roster, h2), may, status);
  }
  assert.equal(mayKnowSecrets(three, stranger), false);
});
