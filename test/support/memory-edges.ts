/** Edges beside the hosts of a `MemoryCluster`: in-memory network, disks that outlive their process. */
import type { EdgeConfig } from "../../core/edge/config.ts";
import { EdgeNode } from "../../core/edge/edge-node.ts";
import type { NodeId } from "../../core/identity.ts";
import type { Clock } from "../../core/ports.ts";
import { MemoryStorage } from "../../core/storage/memory-storage.ts";
import type { StoreEvent } from "../../core/telemetry.ts";
import type { MemoryTransport } from "../core/memory-transport.ts";
import { eventually } from "./eventually.ts";
import { FaultyStorage } from "./faulty-storage.ts";
import { copyOf, duringRun, type MemoryCluster, realRandom } from "./memory-cluster.ts";
import { realClock } from "./real-clock.ts";
import { testIdentity } from "./test-identity.ts";

export interface EdgeSpec {
  readonly config?: Partial<EdgeConfig>;
  readonly clock?: Clock;
  readonly seeds?: readonly string[];
}

/** Retries come soon, so that a test need not wait for them. */
const quick = { retryFirstMs: 20, retryMaxMs: 200, requestTimeoutMs: 2_000 };

interface Running {
  readonly edge: EdgeNode;
  readonly transport: MemoryTransport;
  /** Aborted when the process is killed. */
  readonly run: AbortController;
}

export class MemoryEdges {
  readonly events: { readonly node: string; readonly event: StoreEvent }[] = [];
  readonly #cluster: MemoryCluster;
  readonly #disks = new Map<string, FaultyStorage>();
  readonly #running = new Map<string, Running>();

  constructor(cluster: MemoryCluster) {
    this.#cluster = cluster;
  }

  /** Not yet in contact with any host. */
  async start(
    name: string,
    { config = {}, clock = realClock, seeds = ["memory:h1"] }: EdgeSpec = {},
  ): Promise<EdgeNode> {
    const transport = this.#cluster.network.node(name);
    const run = new AbortController();
    const storage = duringRun(this.disk(name), run.signal);
    const telemetry = { event: (event: StoreEvent) => void this.events.push({ node: name, event }) };
    const identity = testIdentity(name as NodeId);
    const ports = { clock, random: realRandom, storage, transport, identity, telemetry };
    const edge = new EdgeNode(ports, { cluster: "test", seeds, config: { ...quick, ...config } });
    this.#running.set(name, { edge, transport, run });
    await edge.start();
    return edge;
  }

  async connected(name: string, spec?: EdgeSpec): Promise<EdgeNode> {
    const edge = await this.start(name, spec);
    await eventually(() => edge.facts().connected, `${name} to be connected`);
    return edge;
  }

  /** The process is gone, with all that was not flushed; the disk stays. */
  async kill(name: string): Promise<void> {
    const { edge, transport, run } = this.#running.get(name)!;
    this.#running.delete(name);
    run.abort();
    transport.die();
    void edge.close();
    await this.disk(name).powerCut();
  }

  disk(name: string): FaultyStorage {
    const disk = this.#disks.get(name) ?? new FaultyStorage(new MemoryStorage());
    this.#disks.set(name, disk);
    return disk;
  }

  copyDisk(name: string): Promise<FaultyStorage> {
    return copyOf(this.disk(name));
  }

  putDisk(name: string, disk: FaultyStorage): void {
    this.#disks.set(name, disk);
  }

  transport(name: string): MemoryTransport {
    return this.#running.get(name)!.transport;
  }

  /** Every connection of an edge to hosts breaks, and none is made. */
  cut(name: string): void {
    for (const host of this.#cluster.nodes.keys()) this.#cluster.network.cut(name as NodeId, host as NodeId);
  }

  heal(name: string): void {
    for (const host of ["h1", "h2", "h3", "h4", "h5"]) {
      this.#cluster.network.heal(name as NodeId, host as NodeId);
    }
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#running.values()].map(({ edge }) => edge.close()));
    for (const { transport } of this.#running.values()) transport.die();
  }
}
