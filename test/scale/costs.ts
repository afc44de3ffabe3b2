/**
 * What membership of some size costs one host: memory, and the processor's time for what each change makes it compute.
 * Measured with the real modules, one host at a time, so it can be measured far beyond what fits into one simulation.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { NodeId } from "../../core/identity.ts";
import { rosterDigest } from "../../core/membership/comparison.ts";
import { encodeRoster, RosterMessage, rosterFrom } from "../../core/membership/exchange.ts";
import type { MemberRecord } from "../../core/membership/member.ts";
import { mergeRoster, ringMembers, type Roster } from "../../core/membership/roster.ts";
import { signMember } from "../../core/membership/signed-member.ts";
import { allPartitions } from "../../core/placement/partition.ts";
import { planJoin } from "../../core/placement/plan.ts";
import { type Placement, Ring } from "../../core/placement/ring.ts";
import { Chance } from "../sim/chance.ts";
import { median } from "../support/figures.ts";
import { agreedRoster, type ClusterSize, identityOf } from "./cluster-state.ts";

export interface Costs {
  /** The roster as it is stored with each change, and as a newcomer fetches it. */
  readonly rosterBytes: number;
  /** Roster and ring with its owners, in memory. */
  readonly memoryBytes: number;
  /** A new ring, and the owners of all partitions. */
  readonly ringMs: number;
  readonly planJoinMs: number;
  /** One record that is new: merging it, the ring with its owners and fingerprint, the digest, the bytes for the disk. */
  readonly changeMs: number;
}

const rounds = 7;
/** Copies of a roster in memory at once: so many that what else the process does is small beside them. */
const copiesBytes = 16_000_000;

export async function costsOf(size: ClusterSize): Promise<Costs> {
  const roster = await agreedRoster(size, new Chance(`costs ${JSON.stringify(size)}`));
  const stored = encodeRoster(roster);
  const changes = await recordsOf(roster);
  const joiner = await agreedRoster({ hosts: 1, partitions: 1 }, new Chance("joiner"));
  const withJoiner = placementOf(mergeRoster(roster, { members: joiner.members }));
  let changed = roster;
  return {
    rosterBytes: stored.length,
    memoryBytes: memoryOf(stored),
    ringMs: medianMs(() => void ringOf(roster)),
    planJoinMs: medianMs(() => void planJoin(withJoiner, [...joiner.members.keys()][0]!)),
    changeMs: medianMs((round) => {
      changed = mergeRoster(changed, { members: changes[round]! });
      // The ring's fingerprint is computed when it is asked for.
      return [ringOf(changed).fingerprint, rosterDigest(changed), encodeRoster(changed)];
    }),
  };
}

/** For each round a host's next record. */
async function recordsOf(roster: Roster): Promise<ReadonlyMap<NodeId, MemberRecord>[]> {
  const [[id, member]] = [...roster.members] as [[NodeId, MemberRecord]];
  const records = Array.from({ length: rounds }, (_, round) =>
    signMember({ ...member, incarnation: member.incarnation + 1 + round }, id, (input) => identityOf(id).sign(input)),
  );
  return (await Promise.all(records)).map((record) => new Map([[id, record]]));
}

function placementOf(roster: Roster): Placement {
  return { n: roster.cluster.n, members: ringMembers(roster), assignment: roster.assignment };
}

function ringOf(roster: Roster): Ring {
  const ring = new Ring(placementOf(roster));
  for (const partition of allPartitions(ring.partitions)) ring.owners(partition);
  return ring;
}

/** Of the processor: others that use the machine do not count. */
function medianMs(run: (round: number) => unknown): number {
  const times = Array.from({ length: rounds }, (_, round) => {
    const start = process.cpuUsage();
    run(round);
    const { user, system } = process.cpuUsage(start);
    return (user + system) / 1_000;
  });
  return median(times);
}

function memoryOf(stored: Uint8Array): number {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  const used = (): number => {
    collectGarbage();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const copies = Math.ceil(copiesBytes / stored.length);
  const before = used();
  const kept = Array.from({ length: copies }, () => {
    // Its own bytes, for decoded bitmaps are views of them.
    const roster = rosterFrom(RosterMessage.decode(stored.slice()));
    return { roster, ring: ringOf(roster) };
  });
  const bytes = used() - before;
  return bytes / kept.length;
}
