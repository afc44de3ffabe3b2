/** What all hosts of a cluster of some size know when they agree, as large as it is among real hosts. */
import { bitmapOf } from "../../core/bytes/bitmap.ts";
import { toHex } from "../../core/bytes/hex.ts";
import type { OwnDescription } from "../../core/cluster/start.ts";
import type { NodeId } from "../../core/identity.ts";
import type { MemberRecord } from "../../core/membership/member.ts";
import { emptyRoster, mergeRoster, type HoldingsRecord, type Roster } from "../../core/membership/roster.ts";
import { signMember } from "../../core/membership/signed-member.ts";
import { allPartitions } from "../../core/placement/partition.ts";
import { Ring } from "../../core/placement/ring.ts";
import type { Identity } from "../../core/ports.ts";
import { testIdentity } from "../support/test-identity.ts";
import type { Chance } from "../sim/chance.ts";

export interface ClusterSize {
  readonly hosts: number;
  /** Q. */
  readonly partitions: number;
}

/** Tokens dealt out one by one, every record signed, all partitions complete. */
export async function agreedRoster({ hosts, partitions }: ClusterSize, chance: Chance): Promise<Roster> {
  const ids = Array.from({ length: hosts }, () => memberId(chance));
  const members = new Map<NodeId, MemberRecord>();
  for (const id of ids) {
    const marks = Array.from({ length: 8 }, () => toHex(chance.bytes(16)));
    const version = { life: 1, incarnation: 24, status: "up", mark: marks[0]!, answers: marks } as const;
    members.set(id, await signMember({ ...description(id), ...version }, id, (input) => identityOf(id).sign(input)));
  }
  const assignment = allPartitions(partitions).map((token) => ({ host: ids[token % hosts]!, epoch: 1 }));
  const ring = new Ring({ n: 3, members: members.values(), assignment });
  const none = bitmapOf(partitions, []);
  const held = ids.map((id): readonly [NodeId, HoldingsRecord] => {
    const complete = bitmapOf(partitions, ring.ownedBy(id));
    return [id, { id, life: 1, incarnation: 24, sequence: 9, complete, filling: none, former: none, hints: none }];
  });
  const secrets = [toHex(chance.bytes(32))];
  const empty = emptyRoster({ name: "scale", partitions, n: 3, admission: "open" });
  return mergeRoster(empty, { members, assignment, holdings: new Map(held), secrets });
}

/** As long as a PeerId. */
export function memberId(chance: Chance): NodeId {
  return `12D3KooW${toHex(chance.bytes(22))}` as NodeId;
}

/** What an ordinary host says of itself. */
export function description(id: NodeId): OwnDescription {
  const addresses = [`/ip4/10.20.30.40/tcp/4001/p2p/${id}`, `/ip4/10.20.30.40/tcp/4002/ws/p2p/${id}`];
  const http = "http://10.20.30.40:7070";
  return { id, kind: "host", capacity: 100, zone: "zone-a", deviceGroup: "", addresses, http };
}

/** Signatures as long as Ed25519's, without its cost in a simulation of a thousand hosts. */
export function identityOf(self: NodeId): Identity {
  const identity = testIdentity(self);
  return {
    sign: async (input) => {
      const half = await identity.sign(input);
      return Uint8Array.of(...half, ...half);
    },
    verify: (who, input, signature) => identity.verify(who, input, signature.subarray(0, signature.length / 2)),
  };
}
