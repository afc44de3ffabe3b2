/**
 * A node: composition and lifecycle only. What it is made of comes through the ports; what it does is elsewhere.
 */
import type {
  DeleteOptions,
  Explanation,
  GetOptions,
  ListAnswer,
  ListOptions,
  LocalAnswer,
  NodeApi,
  NodeStatus,
  PeerExplanation,
  PlanView,
  PutOptions,
  ReadAnswer,
  RingRequest,
  RingView,
  WatchEvent,
  WriteAnswer,
} from "./api.ts";
import { Admission } from "./background/admission.ts";
import { Agreements, forgettableBeforeMs } from "./background/agreements.ts";
import { deliverHints } from "./background/deliver-hints.ts";
import { AntiEntropy } from "./background/anti-entropy.ts";
import { leaveWhenTold } from "./background/leave.ts";
import { keepMembership } from "./background/members.ts";
import { takeShare, takeShareWhenAsked } from "./background/take-share.ts";
import { Transfers } from "./background/transfers.ts";
import { makeKey } from "./bytes/key.ts";
import { HybridClock } from "./causality/hybrid-clock.ts";
import { Cluster, loadRoster } from "./cluster/cluster.ts";
import { Exchange } from "./cluster/exchange.ts";
import { findCluster, meetSeeds } from "./cluster/find-cluster.ts";
import { Health } from "./cluster/health.ts";
import { RingCommands } from "./cluster/ring-commands.ts";
import {
  checkMayReturn,
  foundCluster,
  isDeparted,
  joinCluster,
  type OwnDescription,
  returnToCluster,
  type WantedParameters,
} from "./cluster/start.ts";
import { nodeDefaults, type NodeConfig } from "./config.ts";
import { ChangeFeeds } from "./coordinate/change-feeds.ts";
import { Contexts } from "./coordinate/contexts.ts";
import type { CoordinateDeps } from "./coordinate/deps.ts";
import { explain, explainPeer } from "./coordinate/explain.ts";
import { healDamaged } from "./coordinate/heal.ts";
import { Requests } from "./coordinate/requests.ts";
import { serveClients, serveHosts } from "./coordinate/serve.ts";
import { watch } from "./coordinate/watch.ts";
import { StoreError } from "./errors.ts";
import type { NodeId, PartitionIndex } from "./identity.ts";
import { type HoldingsRecord, mergeRoster, type Roster } from "./membership/roster.ts";
import type { CancelSignal, Clock, Random, Stop, Storage, Transport } from "./ports.ts";
import { Holdings } from "./replica/holdings.ts";
import { OwnTime, tickIntervalMs } from "./replica/own-time.ts";
import { Replica } from "./replica/replica.ts";
import { RpcServer } from "./rpc/rpc.ts";
import { nodeStatus, ringView } from "./status.ts";
import { RecordStore } from "./storage/record-store.ts";
import { reasonOf, Tasks } from "./tasks.ts";
import type { Telemetry } from "./telemetry.ts";

/** The outside world of one node. The caller made them, and closes them after `stop`. */
export interface NodePorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly storage: Storage;
  readonly transport: Transport;
  readonly telemetry: Telemetry;
}

/** Which cluster, and how. */
export interface NodeOptions {
  readonly cluster: WantedParameters;
  /** Addresses of hosts of the cluster. None, and no data: this node founds the cluster, if it may. */
  readonly seeds: readonly string[];
  /** False: this identity was a member once and has lost its data; it waits for the others instead. */
  readonly mayFound?: boolean;
  /** False: take no share of the ring before an operator gives it one (`join`). */
  readonly mayJoin?: boolean;
  readonly config?: Partial<NodeConfig>;
  /** What opening the storage found, for `status`. */
  readonly setAside?: readonly string[];
  /** Records that were on the disk are missing: what is there is kept, and every partition is filled anew. */
  readonly recordsMissing?: boolean;
}

/** Damage is rare, and reads mend what they meet. */
const healIntervalMs = 5_000;
/** Replicas that are still being told of a write get this long. */
const stopGraceMs = 2_000;

/** What exists once the node has a place in the cluster. */
interface Running {
  readonly deps: CoordinateDeps;
  readonly requests: Requests;
  readonly feeds: ChangeFeeds;
  readonly commands: RingCommands;
  readonly transfers: Transfers;
  readonly stopListening: Stop;
}

/** How a node came to its roster, and what its disk says that it held when it was written last. */
type Origin = { readonly kind: "founded" | "returned" | "joined"; readonly held?: HoldingsRecord | undefined };

/**
 * @example
 * const node = new EverwriteNode({ clock, random, storage, transport, telemetry }, options);
 * await node.start({ kind: "host", capacity: 100, zone: "", deviceGroup: "", addresses, http: "" });
 * await node.put("carts", "alice", body);
 * await node.stop();
 */
export class EverwriteNode implements NodeApi {
  readonly #ports: NodePorts;
  readonly #options: NodeOptions;
  readonly #config: NodeConfig;
  readonly #records: RecordStore;
  readonly #tasks: Tasks;
  readonly #server: RpcServer;
  readonly #startedMs: number;
  #running: Running | undefined;
  #waitingFor = "the start";
  #hasLeft: () => void = () => {};
  /** Resolves when this node was told to leave and everything is handed over: the process may end. */
  readonly left: Promise<void> = new Promise((resolve) => {
    this.#hasLeft = resolve;
  });

  constructor(ports: NodePorts, options: NodeOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#config = { ...nodeDefaults, ...options.config };
    this.#records = new RecordStore(ports.storage);
    this.#tasks = new Tasks(ports);
    this.#server = new RpcServer(ports.telemetry);
    this.#startedMs = ports.clock.now();
  }

  /**
   * Founds, returns to or joins the cluster; resolves when requests are answered. With seeds that do not answer it goes
   * on trying, and `status` says what for, until `stop`.
   * One that left or was removed comes back as a new member if it has seeds, and offers what it holds.
   * @throws StoreError `bad-request` when the data or the seeds belong to a cluster with other parameters,
   *   `not-member` when this node left or was removed and has no seeds
   */
  async start(description: Omit<OwnDescription, "id">): Promise<void> {
    const { transport, random, telemetry } = this.#ports;
    const own = { ...description, id: transport.self };
    const wanted = this.#options.cluster;
    const stored = await loadRoster(this.#records);
    const stopServing = this.#server.listen(transport);
    const held = stored?.holdings.get(own.id);
    const { seeds, mayFound } = this.#options;
    if (stored !== undefined && !isDeparted(own.id, stored)) {
      await this.#run(returnToCluster(own, stored, wanted, random), { kind: "returned", held }, stopServing);
    } else if (stored === undefined && seeds.length === 0 && mayFound !== false) {
      await this.#run(foundCluster(own, wanted, this.#ports), { kind: "founded" }, stopServing);
      telemetry.event({ kind: "cluster-created", cluster: wanted.name });
    } else {
      if (stored !== undefined) checkMayReturn(own.id, stored, seeds);
      const { peer, roster } = await this.#findCluster();
      const known = stored === undefined ? roster : mergeRoster(roster, stored);
      await this.#run(joinCluster(own, known, wanted, random), { kind: "joined", held }, stopServing);
      // Not needed for anything but speed: members exchange in the background anyway.
      this.#tasks.run("exchange membership", () => this.#ready().deps.exchange.with(peer));
    }
    telemetry.event({ kind: "ready", id: transport.self });
  }

  #findCluster(): Promise<{ readonly peer: NodeId; readonly roster: Roster }> {
    const { transport, telemetry } = this.#ports;
    const waitFor = (what: string): void => {
      this.#waitingFor = what;
      telemetry.event({ kind: "waiting", for: what });
    };
    const deps = { transport, tasks: this.#tasks, config: this.#config, waitFor };
    return findCluster(deps, this.#options.seeds, this.#options.cluster.name);
  }

  /** Answers what is under way, then lets go of everything. The ports stay open: whoever made them closes them. */
  async stop(): Promise<void> {
    await this.#tasks.stop(stopGraceMs);
    this.#running?.stopListening();
    await this.#running?.deps.cluster.save().catch((error: unknown) => {
      this.#ports.telemetry.event({ kind: "task-failed", task: "save membership", reason: reasonOf(error) });
    });
  }

  async get(bucket: string, name: string, options?: GetOptions): Promise<ReadAnswer> {
    return this.#ready().requests.get(makeKey(bucket, name), options);
  }

  async getLocal(bucket: string, name: string): Promise<LocalAnswer> {
    return this.#ready().requests.getLocal(makeKey(bucket, name));
  }

  async put(bucket: string, name: string, body: Uint8Array, options: PutOptions = {}): Promise<WriteAnswer> {
    return this.#ready().requests.write(makeKey(bucket, name), body, options);
  }

  async delete(bucket: string, name: string, options: DeleteOptions = {}): Promise<WriteAnswer> {
    return this.#ready().requests.write(makeKey(bucket, name), undefined, options);
  }

  async list(bucket: string, options?: ListOptions): Promise<ListAnswer> {
    return this.#ready().requests.list(bucket, options);
  }

  watch(
    bucket: string,
    what: { readonly name: string } | { readonly prefix: string },
    signal: CancelSignal,
  ): AsyncIterable<WatchEvent> {
    const { deps, requests, feeds } = this.#ready();
    return watch({ ...deps, requests, feeds }, bucket, what, signal);
  }

  async status(): Promise<NodeStatus> {
    const usage = await this.#records.usage();
    const facts = {
      config: this.#config,
      usage,
      corruptRecords: this.#records.corruptReads,
      setAside: this.#options.setAside ?? [],
      uptimeMs: this.#ports.clock.now() - this.#startedMs,
      waitingFor: this.#waitingFor,
      transfers: this.#running?.transfers.view() ?? {},
    };
    return nodeStatus(this.#running?.deps, {
      ...facts,
      id: this.#ports.transport.self,
      name: this.#options.cluster.name,
    });
  }

  ring(): RingView {
    return ringView(this.#ready().deps.cluster);
  }

  async explain(bucket: string, name: string): Promise<Explanation> {
    return explain(this.#ready().deps, makeKey(bucket, name));
  }

  explainPeer(id: string): PeerExplanation {
    return explainPeer(this.#ready().deps, id as NodeId);
  }

  async plan(request: RingRequest): Promise<PlanView> {
    return this.#ready().commands.plan(request);
  }

  async changeRing(request: RingRequest, options?: { readonly ring?: string }): Promise<PlanView> {
    return this.#ready().commands.change(request, options);
  }

  #ready(): Running {
    if (this.#running === undefined || this.#tasks.stopped) {
      const text = this.#tasks.stopped
        ? "this host is stopping"
        : `this host is not ready: it waits for ${this.#waitingFor}`;
      throw new StoreError("not-ready", text);
    }
    return this.#running;
  }

  async #run(roster: Roster, origin: Origin, stopServing: Stop): Promise<void> {
    const { clock, random, transport } = this.#ports;
    const config = this.#config;
    const admission = new Admission(clock, {
      latencyThresholdMs: config.backgroundLatencyThresholdMs,
      windowMs: config.backgroundWindowMs,
      waitMaxMs: config.backgroundWaitMaxMs,
    });
    const telemetry = observed(this.#ports.telemetry, admission);
    const records = this.#records;
    const tasks = this.#tasks;
    const health = new Health({ transport, clock, telemetry }, config);
    const holdings = new Holdings(roster.cluster.partitions, random);
    const clusterDeps = { self: transport.self, records, holdings, health, clock, random, telemetry };
    const cluster = new Cluster(clusterDeps, roster);
    // Only the own disk tells what is held: what peers remember of this node may be from a disk that is lost.
    if (origin.held !== undefined) holdings.restore(origin.held);
    const transfers = new Transfers({ records, holdings, clock, tasks }, config);
    await transfers.open(cluster.ring.fingerprint);
    // Of an earlier life: others own it, or will be asked for it. What they do not cover is offered to them.
    if (origin.kind === "joined") holdings.retireAll();
    if (this.#options.recordsMissing) holdings.refillAll();
    const hybridClock = new HybridClock(config);
    const ownTime = new OwnTime(clock);
    const agreements = new Agreements(roster.cluster.partitions);
    tasks.every("notice sleep", tickIntervalMs, async () => ownTime.tick());
    const replicaDeps = {
      records,
      holdings,
      clock,
      hybridClock,
      random,
      telemetry,
      ownTime,
      forgettableBeforeMs: (partition: PartitionIndex) =>
        forgettableBeforeMs({ cluster, holdings, ownTime, agreements }, { partition, ...config }),
      owns: (partition: PartitionIndex) => cluster.ring.owners(partition).includes(transport.self),
      isConfirmed: (partition: PartitionIndex) => cluster.isConfirmed(partition),
    };
    const replica = new Replica(replicaDeps, config);
    await replica.open();
    const exchange = new Exchange({ transport, cluster, clock }, { timeoutMs: config.requestTimeoutMs });
    const contexts = new Contexts(cluster);
    const deps = {
      cluster,
      exchange,
      contexts,
      replica,
      transport,
      clock,
      hybridClock,
      random,
      telemetry,
      tasks,
      config,
    };
    const requests = new Requests(deps);
    cluster.claimOwned(origin.kind === "founded" ? "complete" : "filling");
    await cluster.save();

    exchange.serve(this.#server);
    serveHosts(deps, this.#server);
    serveClients(deps, this.#server, requests);
    const stopMembership = keepMembership({ ...deps }, config);
    const isDue = cluster.ring.host(transport.self) === undefined || origin.kind === "joined";
    if (this.#options.mayJoin === false) takeShareWhenAsked(deps);
    else takeShare(deps, { isDue });
    tasks.run("meet seeds", () => meetSeeds({ ...deps, seeds: this.#options.seeds }));
    transfers.start({ ...deps, holdings, admission, server: this.#server });
    leaveWhenTold({ ...deps, holdings, requests }, this.#hasLeft);
    tasks.every("heal damaged records", healIntervalMs, () => healDamaged(deps));
    const stopHints = deliverHints({ ...deps, admission });
    const throttle = (): Promise<void> => admission.turn();
    const antiEntropy = new AntiEntropy(
      { ...deps, ownTime, agreements, holdings, server: this.#server, throttle },
      config,
    );
    const stopAntiEntropy = antiEntropy.start();
    const stopListening = (): void => {
      stopAntiEntropy();
      stopMembership();
      stopHints();
      stopServing();
    };
    const commands = new RingCommands({ ...deps, held: () => heldBy(replica, records) });
    this.#running = { deps, requests, feeds: new ChangeFeeds(deps), commands, transfers, stopListening };
  }
}

async function heldBy(
  { index }: Replica,
  records: RecordStore,
): Promise<{ readonly keysIn: (partition: PartitionIndex) => number; readonly bytesPerKey: number }> {
  const { bytes } = await records.usage();
  return { keysIn: (partition) => index.trees.keysIn(partition), bytesPerKey: bytes / Math.max(1, index.keys) };
}

/** Background work yields to what clients wait for. */
function observed(telemetry: Telemetry, admission: Admission): Telemetry {
  return {
    event(event) {
      if (event.kind === "request") admission.observe(event.ms);
      telemetry.event(event);
    },
  };
}
