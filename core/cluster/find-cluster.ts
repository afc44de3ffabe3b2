/**
 * How a node without data finds the cluster: through its seeds, or through a member that still knows it and dials in.
 * Invariant: it waits as long as it takes, and says for what; only a seed that refuses it ends the wait. Whoever else is
 * connected may be an edge, or of another cluster.
 */
import type { NodeConfig } from "../config.ts";
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import type { Roster } from "../membership/roster.ts";
import type { Identity, Transport } from "../ports.ts";
import { reasonOf, type Tasks } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";
import type { Cluster } from "./cluster.ts";
import { type Exchange, fetchRoster } from "./exchange.ts";

export interface FindDeps {
  readonly transport: Transport;
  readonly identity: Identity;
  readonly tasks: Tasks;
  readonly config: Pick<NodeConfig, "requestTimeoutMs">;
  /** Hears what is waited for. */
  readonly waitFor: (what: string) => void;
  /** Whether this node may come in by what that one tells; any may where it is not given. */
  readonly isDoor?: ((peer: NodeId, told: Roster) => boolean) | undefined;
  /** See `NodeOptions`; without it others founded the cluster. */
  readonly isFirst?: (() => Promise<boolean>) | undefined;
}

export interface MeetDeps {
  readonly transport: Transport;
  readonly cluster: Cluster;
  readonly exchange: Exchange;
  readonly tasks: Tasks;
  readonly telemetry: Telemetry;
}

const retryMs = { first: 200, max: 5_000 };
/** Nobody waits for it, and it may be for ever. */
const meetAgainMs = { first: 1_000, max: 60_000 };

/**
 * Undefined: this node is the first, and founds it.
 * @throws StoreError `bad-request` when a seed belongs to another cluster, `closed` when the node was stopped meanwhile
 */
export async function findCluster(deps: FindDeps, seeds: readonly string[], name: string): Promise<Roster | undefined> {
  const { transport, tasks, config, waitFor } = deps;
  for (let pauseMs = retryMs.first; ; pauseMs = Math.min(2 * pauseMs, retryMs.max)) {
    // Each once: many edges may be connected, and all say the same.
    const reasons = new Set<string>();
    const connected = [...transport.peers()].flatMap(({ id, connected: isUp }) => (isUp ? [id] : []));
    for (const candidate of [...seeds.map((address) => ({ address })), ...connected.map((id) => ({ id }))]) {
      if (tasks.stopped) throw new StoreError("closed", "stopped before the cluster was found");
      try {
        const peer = "id" in candidate ? candidate.id : await transport.meet(candidate.address);
        // One list of seeds may serve all hosts: the own address is no news.
        if (peer === transport.self) continue;
        const told = await fetchRoster(deps, peer, name, config.requestTimeoutMs);
        if (deps.isDoor?.(peer, told) ?? true) return told;
        throw new StoreError("not-member", "it is no member any more, and has not heard of it");
      } catch (error: unknown) {
        const isRefused = error instanceof StoreError && error.code === "bad-request";
        if (isRefused && "address" in candidate) throw error;
        const who = "address" in candidate ? candidate.address : candidate.id;
        reasons.add(`${isRefused ? "somebody is connected who is no host of the cluster" : who}: ${reasonOf(error)}`);
      }
    }
    if (await deps.isFirst?.()) return undefined;
    const whom =
      seeds.length > 0
        ? "a seed to answer"
        : "a host of the cluster to connect: this one was a member and has lost its data";
    waitFor(reasons.size > 0 ? `${whom} (${[...reasons].join("; ")})` : whom);
    await tasks.sleep(pauseMs);
  }
}

/**
 * A host that has its place already asks its seeds too: they may belong to a ring of the same name that was founded
 * apart, and the two become one (paper 4.8.2, "logical partitions"). One that does not answer may be started later, so it
 * is asked again after ever longer pauses, until it is a member: members find each other without seeds. A relay never is
 * one: it is asked for ever, for whoever comes to it later.
 */
export async function meetSeeds(deps: MeetDeps, seeds: readonly string[]): Promise<void> {
  const { cluster, tasks, telemetry } = deps;
  let left = seeds;
  for (let pauseMs = meetAgainMs.first; !tasks.stopped; pauseMs = Math.min(2 * pauseMs, meetAgainMs.max)) {
    const others: string[] = [];
    for (const address of left) {
      try {
        if (await meet(deps, address)) others.push(address);
      } catch (error: unknown) {
        others.push(address);
        telemetry.event({ kind: "seed-silent", address, reason: reasonOf(error) });
      }
    }
    // The transport dials members by itself.
    left = others.filter((address) => !isOfMember(cluster, address));
    if (left.length === 0) return;
    await tasks.sleep(pauseMs);
  }
}

/** False: it is the own address, which is no news. One list of seeds may serve all hosts. */
async function meet({ transport, cluster, exchange }: MeetDeps, address: string): Promise<boolean> {
  const peer = await transport.meet(address);
  if (peer === transport.self) return false;
  if (!cluster.isMember(peer)) await exchange.with(peer);
  return true;
}

/**
 * A seed's address may lack the `/p2p/ID` part; one that has it is that of nobody else, also where the member calls itself
 * by another (a name, say). That of a relay is none: members that are reached through it only begin with it.
 */
function isOfMember(cluster: Cluster, address: string): boolean {
  return [...cluster.roster.members.values()].some(
    ({ id, addresses }) =>
      cluster.isMember(id) &&
      (address.endsWith(`/p2p/${id}`) || addresses.some((each) => each === address || each === `${address}/p2p/${id}`)),
  );
}
