/**
 * Membership for nodes that are no members (PROTOCOL 6: edges refresh it every 10 s and when told that theirs is stale).
 * Digest first: an edge that knows the present state costs 16 bytes. Two trips else, for it has nothing to tell.
 */
import { equalBytes } from "../bytes/compare.ts";
import type { NodeConfig } from "../config.ts";
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import { compareWith, differenceTo, nothingKnown, rosterDigest, summarize } from "../membership/comparison.ts";
import { rosterMessage, rosterPartOf } from "../membership/exchange.ts";
import { publicRoster } from "../membership/public-roster.ts";
import { emptyRoster, mergeRoster, type Roster } from "../membership/roster.ts";
import { checkPartitions } from "../placement/partition.ts";
import type { Identity, Transport } from "../ports.ts";
import { call, methods, type RpcServer } from "../rpc/rpc.ts";
import { admit } from "./admit.ts";
import type { Cluster } from "./cluster.ts";

export function servePublicMembership(
  { cluster }: { readonly cluster: Cluster },
  { graceMs }: Pick<NodeConfig, "graceMs">,
  server: RpcServer,
): void {
  server.on(methods.membership, async (_from, { cluster: asked, digest, compare }) => {
    const { name } = cluster.roster.cluster;
    if (asked !== name)
      throw new StoreError("bad-request", `this host belongs to the cluster "${name}", not to "${asked}"`);
    await cluster.save();
    const roster = publicRoster(cluster.roster);
    if (compare !== undefined) {
      return { same: false, part: rosterMessage(roster, differenceTo(compare, roster).part), graceMs };
    }
    const same = equalBytes(digest, rosterDigest(roster));
    return same ? { same, graceMs } : { same, summary: summarize(roster), graceMs };
  });
}

export interface PublicMembership {
  readonly roster: Roster;
  readonly graceMs: number;
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
  const first = await call(transport, host, methods.membership, { cluster: name, digest }, timeoutMs);
  const { graceMs } = first;
  if (first.same && known !== undefined) return { roster: known, graceMs };
  const compare = known === undefined || first.summary === undefined ? nothingKnown : compareWith(first.summary, known);
  const { part } = await call(transport, host, methods.membership, { cluster: name, digest, compare }, timeoutMs);
  if (part === undefined) throw new StoreError("not-ready", `${host} has no membership to give yet`);
  checkPartitions(part.cluster.partitions);
  const before = known ?? emptyRoster(part.cluster);
  const { part: admitted } = await admit(identity, before, host, rosterPartOf(part));
  return { roster: publicRoster(mergeRoster(before, admitted)), graceMs };
}
