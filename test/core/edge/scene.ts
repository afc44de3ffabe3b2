/** Edges and hosts for one test each. */
import type { Watched } from "../../../core/api.ts";
import type { NodeConfig } from "../../../core/config.ts";
import type { EdgeNode } from "../../../core/edge/edge-node.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import type { StoreChange } from "../../../core/store-node.ts";
import { eventually } from "../../support/eventually.ts";
import type { MemoryCluster } from "../../support/memory-cluster.ts";
import { MemoryEdges } from "../../support/memory-edges.ts";
import { texts } from "../../support/values.ts";
import { patient, withCluster } from "../coordinate/scene.ts";

/** Hosts h1..hN, and edges that the test starts; all end with it. */
export function withEdges(
  hosts: number,
  body: (edges: MemoryEdges, cluster: MemoryCluster) => Promise<void>,
  config: Partial<NodeConfig> = {},
): Promise<void> {
  return withCluster(
    hosts,
    async (cluster) => {
      const edges = new MemoryEdges(cluster);
      try {
        await body(edges, cluster);
      } finally {
        await edges.stop();
      }
    },
    { ...patient, ...config },
  );
}

/**
 * What is deleted is forgotten soon. Not sooner: each pause of a busy machine for half the time in flight puts that off
 * (`replica/stillness.ts`), the next time for longer.
 */
export const forgetful = { graceMs: 4_500, reapIntervalMs: 50, inFlightMsMax: 1_500 };

/** The values of `b/name` at all hosts, as a quorum of all tells them. */
export async function atHosts(cluster: MemoryCluster, name: string): Promise<string[]> {
  const [host] = [...cluster.nodes.values()];
  return texts((await host!.get("b", name, { r: "all" })).siblings);
}

/** Each host's own copy of `b/name`, in the order of their names; those that hold it. */
export async function atEachHost(cluster: MemoryCluster, name: string): Promise<string[][]> {
  const answers = await Promise.all([...cluster.nodes.values()].map((host) => host.getLocal("b", name)));
  return answers.filter(({ holding }) => holding === "complete").map(({ siblings }) => texts(siblings));
}

export const valuesOf = async (edge: EdgeNode, name: string, r?: "local"): Promise<string[]> =>
  texts((await edge.get("b", name, r === undefined ? {} : { r })).siblings);

export const flushed = (edge: EdgeNode): Promise<void> => edge.flush({ timeoutMs: 20_000 });

export const online = (edge: EdgeNode): Promise<void> =>
  eventually(() => edge.facts().connected, "the edge to be online");

/** Waits until an edge has noticed that it is offline. */
export const offline = (edge: EdgeNode): Promise<void> =>
  eventually(() => !edge.facts().connected, "the edge to be offline");

/** What becomes of the next write that an edge sends: it is cut off before it arrives, or its answer is lost. */
export function losesNext(edges: MemoryEdges, name: string, what: "request" | "answer"): Promise<void> {
  const transport = edges.transport(name);
  const request = transport.request.bind(transport);
  return new Promise((lost) => {
    transport.request = async (to, body, timeoutMs) => {
      if (body[0] !== methods.edgeWrite.number) return request(to, body, timeoutMs);
      if (what === "answer") await request(to, body, timeoutMs);
      lost();
      return new Promise(() => {}); // until the process ends
    };
  });
}

/** What a watcher was shown. */
export async function watching(
  edge: EdgeNode,
  what: Watched,
  body: (seen: {
    readonly all: readonly StoreChange[];
    readonly shows: (name: string, value: string) => Promise<void>;
  }) => Promise<void>,
): Promise<void> {
  const all: StoreChange[] = [];
  const end = new AbortController();
  const follow = async (): Promise<void> => {
    for await (const change of edge.watch("b", what, end.signal)) all.push(change);
  };
  const done = follow();
  const last = (name: string): string | undefined => {
    const change = all.findLast((each) => each.name === name);
    return change && texts(change.siblings).join("+");
  };
  try {
    await body({
      all,
      shows: (name, value) =>
        eventually(
          () => last(name) === value,
          () => `${name}: ${value}, not ${last(name)}`,
        ),
    });
  } finally {
    end.abort();
    await done;
  }
}
