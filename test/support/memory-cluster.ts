/**
 * Whole nodes over memory: the real core, an in-memory network and in-memory disks that outlive their process.
 */
import { randomBytes } from "node:crypto";
import { bitmapOf } from "../../core/bytes/bitmap.ts";
import { equalBytes } from "../../core/bytes/compare.ts";
import { loadRoster } from "../../core/cluster/stored-roster.ts";
import type { NodeConfig } from "../../core/config.ts";
import type { NodeId } from "../../core/identity.ts";
import { encodeRoster } from "../../core/membership/exchange.ts";
import { ringMembers } from "../../core/membership/roster.ts";
import { repair } from "../../core/background/repair.ts";
import { EverwriteNode } from "../../core/node.ts";
import type { NodeOptions, NodePorts } from "../../core/node-options.ts";
import { Ring } from "../../core/placement/ring.ts";
import { type Clock, type Random, type Stop, type Storage, StorageError } from "../../core/ports.ts";
import { MemoryStorage } from "../../core/storage/memory-storage.ts";
import { RecordStore } from "../../core/storage/record-store.ts";
import type { StoreEvent } from "../../core/telemetry.ts";
import { MemoryNetwork, type MemoryTransport } from "../core/memory-transport.ts";
import { eventually } from "./eventually.ts";
import { FaultyStorage } from "./faulty-storage.ts";
import type { MemoryGossip } from "./memory-gossip.ts";
import { testIdentity } from "./test-identity.ts";
import { realClock } from "./real-clock.ts";

export const realRandom: Random = {
  next: () => Math.random(),
  bytes: (count) => Uint8Array.from(randomBytes(count)),
};

export interface MemberSpec {
  readonly seeds?: readonly string[];
  readonly mayFound?: boolean;
  readonly isFirst?: () => Promise<boolean>;
  readonly onLongTask?: NodePorts["onLongTask"];
  readonly mayJoin?: boolean;
  readonly config?: Partial<NodeConfig>;
  readonly cluster?: Partial<NodeOptions["cluster"]>;
  readonly own?: Partial<Parameters<EverwriteNode["start"]>[0]>;
  readonly clock?: Clock;
}

/** Partitions are few here, so that a test's ring is made in no time. */
const testCluster = { name: "test", partitions: 16, n: 3 };

export class MemoryCluster {
  readonly network = new MemoryNetwork({ clock: realClock, random: realRandom });
  readonly nodes = new Map<string, EverwriteNode>();
  /** Membership goes by exchanges alone where a test sets none. */
  gossip: MemoryGossip | undefined;
  readonly events: { readonly node: string; readonly event: StoreEvent }[] = [];
  readonly #hearing = new Map<string, Set<(event: StoreEvent) => void>>();
  readonly #disks = new Map<string, FaultyStorage>();
  /** Aborted when the process is killed. */
  readonly #runs = new Map<string, AbortController>();
  readonly #transports = new Map<string, MemoryTransport>();

  /** Hosts h1..hN, each started after the one before; all know the ring and hold their partitions when it resolves. */
  static async of(count: number, spec: MemberSpec = {}): Promise<MemoryCluster> {
    const cluster = new MemoryCluster();
    for (let i = 1; i <= count; i++) {
      await cluster.join(`h${i}`, i === 1 ? spec : { ...spec, seeds: ["memory:h1"] });
    }
    await cluster.settled();
    return cluster;
  }

  /** Starts a host; all know the share that it took when it resolves, so that the next plan takes nothing from it. */
  async join(name: string, spec: MemberSpec = { seeds: ["memory:h1"] }): Promise<EverwriteNode> {
    const node = await this.start(name, spec);
    const isKnown = (): boolean =>
      [...this.nodes.values()].every((each) => each.ring().tokens.includes(name as NodeId));
    await eventually(isKnown, `${name} to take its share`);
    return node;
  }

  async start(name: string, spec: MemberSpec = {}): Promise<EverwriteNode> {
    const {
      seeds = [],
      config = {},
      cluster = {},
      own = {},
      mayFound = true,
      mayJoin = true,
      isFirst,
      onLongTask,
    } = spec;
    const storage = this.#disks.get(name) ?? new FaultyStorage(new MemoryStorage());
    this.#disks.set(name, storage);
    const telemetry = {
      event: (event: StoreEvent) => {
        this.events.push({ node: name, event });
        for (const hear of this.#hearing.get(name) ?? []) hear(event);
      },
    };
    const transport = this.network.node(name);
    this.#transports.set(name, transport);
    const run = new AbortController();
    this.#runs.set(name, run);
    const setAside = async () => {
      await storage.close();
      const empty = new FaultyStorage(new MemoryStorage());
      this.#disks.set(name, empty);
      return { storage: duringRun(empty, run.signal), as: `${name}.old` };
    };
    const identity = testIdentity(name as NodeId);
    const gossip = this.gossip?.of(name as NodeId);
    const platform = {
      clock: spec.clock ?? realClock,
      random: realRandom,
      telemetry,
      storage: duringRun(storage, run.signal),
    };
    const openAside = async () => ({ storage: new MemoryStorage(), as: `${name}.old` });
    const optional = { ...(gossip && { gossip }), ...(onLongTask && { onLongTask }) };
    const ports = { ...platform, transport, setAside, openAside, identity, ...optional };
    const description = { kind: "host" as const, capacity: 100, zone: "", deviceGroup: "", http: "" };
    const node = new EverwriteNode(ports, {
      cluster: { ...testCluster, ...cluster },
      seeds,
      mayFound,
      ...(isFirst && { isFirst }),
      mayJoin,
      repair,
      config: { requestTimeoutMs: 2_000, replicaTimeoutMs: 300, ...config },
    });
    this.nodes.set(name, node);
    await node.start({ ...description, addresses: [`memory:${name}`], ...own });
    return node;
  }

  node(name: string): EverwriteNode {
    const node = this.nodes.get(name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  }

  /** Hears what a node tells from now on. */
  onEvent(name: string, hear: (event: StoreEvent) => void): Stop {
    const hearing = this.#hearing.get(name) ?? new Set();
    this.#hearing.set(name, hearing.add(hear));
    return () => void hearing.delete(hear);
  }

  /** The process is gone, the disk stays. */
  kill(name: string): void {
    this.#runs.get(name)!.abort();
    void this.node(name).stop();
    this.#transports.get(name)!.die();
    this.nodes.delete(name);
  }

  wipe(name: string): void {
    this.#disks.delete(name);
  }

  disk(name: string): FaultyStorage {
    return this.#disks.get(name)!;
  }

  /** A copy of a disk as it is now. */
  copyDisk(name: string): Promise<FaultyStorage> {
    return copyOf(this.disk(name));
  }

  putDisk(name: string, disk: FaultyStorage): void {
    this.#disks.set(name, disk);
  }

  /** Somebody on the network who is no host: only a transport. */
  stranger(name: string): MemoryTransport {
    const transport = this.network.node(name);
    this.#transports.set(name, transport);
    return transport;
  }

  transport(name: string): MemoryTransport {
    return this.#transports.get(name)!;
  }

  /** Breaks every connection of a host; it goes on alone. */
  isolate(name: string): void {
    for (const other of this.nodes.keys()) if (other !== name) this.network.cut(name as NodeId, other as NodeId);
  }

  rejoin(name: string): void {
    for (const other of this.nodes.keys()) if (other !== name) this.network.heal(name as NodeId, other as NodeId);
  }

  /** Both see each other. */
  async connected(a: string, b: string): Promise<void> {
    const sees = async (one: string, other: string): Promise<boolean> =>
      (await this.node(one).status()).members.some(({ id, alive }) => id === other && alive);
    await eventually(async () => (await sees(a, b)) && (await sees(b, a)), `${a} and ${b} to be connected`);
  }

  /** All running nodes see one ring of `members` hosts and hold their partitions completely; former owners have let go. */
  async settled(members = this.nodes.size): Promise<void> {
    await eventually(async () => {
      const all = await Promise.all([...this.nodes.values()].map((node) => node.status()));
      const isSettled = all.every(
        (status) =>
          status.ready &&
          status.partitions.filling === 0 &&
          status.members.length === members &&
          status.members.filter(({ alive }) => alive).length >= this.nodes.size,
      );
      return isSettled && (await this.#agree());
    }, `a settled ring of ${members}`);
  }

  /** Each has the same membership on its disk, in which each holds what it owns and nothing else. */
  async #agree(): Promise<boolean> {
    const names = [...this.nodes.keys()] as NodeId[];
    const rosters = await Promise.all(names.map((name) => loadRoster(new RecordStore(this.disk(name)))));
    const [roster] = rosters;
    if (roster === undefined) return false;
    const encoded = encodeRoster(roster);
    if (!rosters.every((other) => other !== undefined && equalBytes(encodeRoster(other), encoded))) return false;
    const { cluster, assignment, holdings } = roster;
    const ring = new Ring({ n: cluster.n, members: ringMembers(roster), assignment });
    return names.every((name) => {
      const held = holdings.get(name)?.complete;
      return held !== undefined && equalBytes(held, bitmapOf(ring.partitions, ring.ownedBy(name)));
    });
  }

  async stop(): Promise<void> {
    await Promise.all([...this.nodes.values()].map((node) => node.stop()));
    for (const transport of this.#transports.values()) transport.die();
    this.nodes.clear();
  }
}

export async function copyOf(disk: FaultyStorage): Promise<FaultyStorage> {
  const copy = new MemoryStorage();
  for (const ns of ["objects", "hints", "meta", "merkle"] as const) {
    const { rows } = await disk.page(ns, { limit: 1_000_000 });
    await copy.batch(
      rows.map((row) => ({ kind: "put", ns, ...row })),
      "synced",
    );
  }
  return new FaultyStorage(copy);
}

/** The disk as one run of a process has it: once it was killed it writes no more, whatever it was about to. */
export function duringRun(disk: Storage, killed: AbortSignal): Storage {
  const alive = (): void => {
    if (killed.aborted) throw new StorageError("closed", "this process was killed");
  };
  return {
    get: (ns, key) => disk.get(ns, key),
    getMany: (ns, keys) => disk.getMany(ns, keys),
    page: (ns, request) => disk.page(ns, request),
    usage: () => disk.usage(),
    close: () => disk.close(),
    async batch(operations, durability) {
      alive();
      await disk.batch(operations, durability);
    },
    async clear(ns, range) {
      alive();
      await disk.clear(ns, range);
    },
  };
}
