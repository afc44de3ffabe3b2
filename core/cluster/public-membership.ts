/**
 * Membership for nodes that are no members (PROTOCOL 6: edges refresh it every 10 s and when told that theirs is stale).
 * Digest first: an edge that knows the present state costs 16 bytes. Two trips else, for it has nothing to tell.
 */
import { nodeDefaults, type QuorumSpec } from "../config.ts";
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import { compareWith, nothingKnown, rosterDigest } from "../membership/comparison.ts";
import { toldIn } from "../membership/exchange.ts";
import { publicRoster } from "../membership/public-roster.ts";
import { emptyRoster, mergeRoster, type Roster } from "../membership/roster.ts";
import { checkPartitions } from "../placement/partition.ts";
import type { Identity, Transport } from "../ports.ts";
import { parseQuorum } from "../quorum/resolve.ts";
import { call } from "../rpc/call.ts";
import { edgeMethods } from "../rpc/edge-methods.ts";
import { admit } from "./admit.ts";

export interface PublicMembership {
  readonly roster: Roster;
  readonly graceMs: number;
  readonly inFlightMs: number;
  /** Undefined: an older host, which does not tell. */
  readonly r: QuorumSpec | undefined;
}

/**
 * The asker's side: what a host knows, merged into `known`.
 * @throws TransportError, StoreError `bad-request` (another cluster), DecodeError
 */
export async function fetchPublicMembership(
  deps: { readonly transport: Transport; readonly identity: Identity },
  host: NodeId,
  { name, known, timeoutMs }: { readonly name: string; readonly known: Roster | undefined; readonly timeoutMs: number },
): Promise<PublicMembership> {
  const { transport, identity } = deps;
  const digest = known === undefined ? new Uint8Array(16) : rosterDigest(known);
  const first = await call(transport, host, edgeMethods.membership, { cluster: name, digest }, timeoutMs);
  const { graceMs, inFlightMs: toldMs = nodeDefaults.inFlightMsMax } = first;
  const own = { graceMs, inFlightMs: toldMs, r: first.r === undefined ? undefined : parseQuorum(first.r, "r") };
  if (first.same && known !== undefined) return { roster: known, ...own };
  const compare = known === undefined || first.summary === undefined ? nothingKnown : compareWith(first.summary, known);
  const { part } = await call(transport, host, edgeMethods.membership, { cluster: name, digest, compare }, timeoutMs);
  if (part === undefined) throw new StoreError("not-ready", `${host} has no membership to give yet`);
  checkPartitions(part.cluster.partitions);
  const before = known ?? emptyRoster(part.cluster);
  const { part: admitted } = await admit(identity, before, host, toldIn(part));
  return { roster: publicRoster(mergeRoster(before, admitted)), ...own };
}
