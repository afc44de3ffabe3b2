/** Edges whose reads are watched, or answered otherwise than by the network. */
import type { NodeId } from "../../../core/identity.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import { eventually } from "../../support/eventually.ts";
import type { MemoryCluster } from "../../support/memory-cluster.ts";
import type { EdgeSpec, MemoryEdges } from "../../support/memory-edges.ts";
import { patient } from "../coordinate/scene.ts";

export type Answer = (to: NodeId, body: Uint8Array) => Promise<Uint8Array> | undefined;

/** Names of what an edge asks from now on, and of whom; `instead` may answer in the network's place. */
export function asked(edges: MemoryEdges, name: string, instead: Answer = () => undefined): string[] {
  const requests: string[] = [];
  const transport = edges.transport(name);
  const request = transport.request.bind(transport);
  const reads = [methods.edgeFetch, methods.edgeRead];
  transport.request = (to, body, timeoutMs) => {
    const method = reads.find(({ number }) => number === body[0]);
    if (method !== undefined) requests.push(`${method.name} ${to}`);
    return instead(to, body) ?? request(to, body, timeoutMs);
  };
  return requests;
}

/** Changes what a host answers to a fetch. */
export const altered = (edges: MemoryEdges, change: { readonly counts?: boolean; readonly ring?: string }): Answer => {
  const transport = edges.transport("e1");
  const request = transport.request.bind(transport);
  return (to, body) => {
    if (body[0] !== methods.edgeFetch.number) return undefined;
    return request(to, body, 60_000).then((answer) =>
      methods.edgeFetch.response.encode({ ...methods.edgeFetch.response.decode(answer, 1), ...change }, 0),
    );
  };
};

/** An edge that is connected to all hosts, asks no more owners than it needs, and waits for late ones. */
export async function reader(edges: MemoryEdges, cluster: MemoryCluster, spec: EdgeSpec["config"] = {}) {
  const config = { ...patient, readRepairShare: 0, speculativeDelayMinMs: 60_000, ...spec };
  const edge = await edges.connected("e1", { config });
  const connected = () => [...edges.transport("e1").peers()].filter((peer) => peer.connected).length;
  await eventually(() => connected() === cluster.nodes.size, "the edge to be connected to all hosts");
  return edge;
}

/** To h1, of three hosts. */
export async function connectedToOne(edges: MemoryEdges, cluster: MemoryCluster): Promise<void> {
  for (const host of ["h2", "h3"]) cluster.network.cut("e1" as NodeId, host as NodeId);
  const connected = () => [...edges.transport("e1").peers()].filter((peer) => peer.connected).length;
  await eventually(() => connected() === 1, "the edge to lose two hosts");
}

export const still = { readRepairShare: 0, antiEntropyIntervalMs: 2_000_000_000 };
