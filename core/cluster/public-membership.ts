/**
 * Membership for nodes that are no members (PROTOCOL 6: edges refresh it every 10 s and when told that theirs is stale).
 * Digest first: an edge that knows the present state costs 16 bytes. Two trips else, for it has nothing to tell.
 */
import { equalBytes } from "../bytes/compare.ts";
import { type NodeConfig, nodeDefaults, type QuorumSpec } from "../config.ts";
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import { compareWith, differenceTo, nothingKnown, rosterDigest, summarize } from "../membership/comparison.ts";
import { rosterMessage, toldIn } from "../membership/exchange.ts";
import { publicRoster } from "../membership/public-roster.ts";
import { emptyRoster, mergeRoster, type Roster } from "../membership/roster.ts";
import { checkPartitions } from "../placement/partition.ts";
import type { Identity, Transport } from "../ports.ts";
import { parseQuorum } from "../quorum/resolve.ts";
import { inFlightMs } from "../replica/stillness.ts";
import { call, type RpcServer } from "../rpc/call.ts";
import { edgeMethods } from "../rpc/edge-methods.ts";
import { admit } from "./admit.ts";
import type { Cluster } from "./cluster.ts";

export function servePublicMembership(
  { cluster }: { readonly cluster: Cluster },
  config: Pick<NodeConfig, "graceMs" | "inFlightMsMax" | "r">,
  server: RpcServer,
): void {
  server.on(edgeMethods.membership, async (_from, { cluster: asked, digest, compare }) => {
    const { name } = cluster.roster.cluster;
    if (asked !== name)
      throw new StoreError("bad-request", `this host belongs to the cluster "${name}", not to "${asked}"`);
    await cluster.save();
    const roster = publicRoster(cluster.roster);
    const own = { graceMs: config.graceMs, inFlightMs: Math.floor(inFlightMs(config)), r: String(config.r) };
    if (compare !== undefined) {
      return { same: false, part: rosterMessage(roster, differenceTo(compare, roster).part), ...own };
    }
    const same = equalBytes(digest, rosterDigest(roster));
    return same ? { same, ...own } : { same, summary: summarize(roster), ...own };
  });
}

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
