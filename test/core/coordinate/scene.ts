/** Clusters for one test each, and keys that lie where a test needs them. */
import type { NodeConfig } from "../../../core/config.ts";
import type { Key, NodeId } from "../../../core/identity.ts";
import { locate } from "../../../core/placement/locate.ts";
import type { EverwriteNode } from "../../../core/node.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import type { StoreEvent } from "../../../core/telemetry.ts";
import { eventually } from "../../support/eventually.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { texts, utf8 } from "../../support/values.ts";

/** Hosts h1..hN that end with the test, whatever state it left them in. */
export async function withCluster(
  count: number,
  body: (cluster: MemoryCluster) => Promise<void>,
  config: Partial<NodeConfig> = {},
): Promise<void> {
  const cluster = await MemoryCluster.of(count, { config });
  try {
    await body(cluster);
  } finally {
    await cluster.stop();
  }
}

/**
 * For a test in which every host that is there answers, and the answers are what it is about: a machine that is busy with
 * other things must not turn a slow host into one that is away. A host that is killed is away at once all the same.
 */
export const patient = { requestTimeoutMs: 60_000, replicaTimeoutMs: 60_000, suspectAfterMs: 60_000 };

export interface Place {
  readonly name: string;
  /** Every host in order of preference: owners, then fallbacks. */
  readonly walk: readonly string[];
}

/** A key `b/…` whose walk is as wanted; each `unique` gives another one. */
export async function placed(
  cluster: MemoryCluster,
  fits: (walk: readonly string[]) => boolean = () => true,
  unique = "key",
): Promise<Place> {
  const [node] = [...cluster.nodes.values()];
  for (let i = 0; i < 500; i++) {
    const name = `${unique}${i}`;
    const { preferenceList } = await node!.explain("b", name);
    const walk = preferenceList.map(({ id }) => id);
    if (fits(walk)) return { name, walk };
  }
  throw new Error("no key of 500 lies like that");
}

export const rowOf = (name: string): Uint8Array => locate(`b/${name}` as Key, 16).row;

/** Waits until `node` sees `peer` as wanted. */
export function seen(node: EverwriteNode, peer: string, alive: boolean): Promise<void> {
  return eventually(
    async () => {
      const { members } = await node.status();
      return members.some((member) => member.id === peer && member.alive === alive);
    },
    `${peer} to be seen ${alive ? "up" : "down"}`,
  );
}

export function eventsOf<K extends StoreEvent["kind"]>(
  cluster: MemoryCluster,
  kind: K,
  at?: string,
): Extract<StoreEvent, { kind: K }>[] {
  return cluster.events.flatMap(({ node, event }) =>
    event.kind === kind && (at === undefined || node === at) ? [event as Extract<StoreEvent, { kind: K }>] : [],
  );
}

/** Puts `v1` everywhere, then `v2` on all but one host, whose disk refuses it; the key's hosts are all three. */
export async function staleAt(cluster: MemoryCluster, behind: string): Promise<void> {
  const [first] = [...cluster.nodes.keys()].filter((name) => name !== behind);
  const node = cluster.node(first!);
  const { context } = await node.put("b", "k", utf8("v1"), { w: "all" });
  cluster.disk(behind).refusesWrites = "io";
  await node.put("b", "k", utf8("v2"), { context: context!, w: 2 });
  // The coordinator has noted who missed it: nothing more is written for this put. The note is lost, so only reads mend.
  await eventually(async () => (await node.status()).hints === 1, `the hint for ${behind}`);
  await cluster.disk(first!).clear("hints", {});
  cluster.disk(behind).refusesWrites = undefined;
}

/** Requests of one method that a host sends from now on: to whom. */
export function sentBy(cluster: MemoryCluster, host: string, method: { readonly number: number }): readonly NodeId[] {
  const sent: NodeId[] = [];
  intercept(cluster, host, (to, body) => {
    if (body[0] === method.number) sent.push(to);
    return undefined;
  });
  return sent;
}

/** Calls `see` for each request that a host sends from now on; what it returns is awaited before the request goes out. */
export function intercept(
  cluster: MemoryCluster,
  host: string,
  see: (to: NodeId, body: Uint8Array) => Promise<unknown> | undefined,
): void {
  const transport = cluster.transport(host);
  const request = transport.request.bind(transport);
  transport.request = async (to, body, timeoutMs) => {
    await see(to, body);
    return request(to, body, timeoutMs);
  };
}

/** The values of `b/k` at one host. */
export const local = async (cluster: MemoryCluster, name: string): Promise<string[]> =>
  texts((await cluster.node(name).getLocal("b", "k")).siblings);

/** The keys whose states a request carries. */
export function statesIn(body: Uint8Array): string[] {
  const message = body.subarray(1);
  if (body[0] === methods.replicate.number) return [methods.replicate.request.decode(message).key];
  if (body[0] !== methods.swap.number) return [];
  return methods.swap.request.decode(message).push.map(({ key }) => key);
}
