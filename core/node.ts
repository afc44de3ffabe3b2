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
  PutOptions,
  ReadAnswer,
  RepairOptions,
  RepairProgress,
  RingView,
  WatchEvent,
  WriteAnswer,
} from "./api.ts";
import { Admission, observed, pacedBy } from "./background/admission.ts";
import { AgreementAges, Agreements, forgettableBeforeMs } from "./background/agreements.ts";
import { deliverHints, type HintDeps } from "./background/deliver-hints.ts";
import { AntiEntropy } from "./background/anti-entropy.ts";
import { relieveHints } from "./background/relieve-hints.ts";
import { repair, type RepairDeps } from "./background/repair.ts";
import { keepFilled } from "./background/fill.ts";
import { type Imported, importOld } from "./background/import-old.ts";
import { keepMembership } from "./background/members.ts";
import { Reaper } from "./background/reap.ts";
import { takeShare } from "./background/take-share.ts";
import { makeKey } from "./bytes/key.ts";
import { HybridClock } from "./causality/hybrid-clock.ts";
import { Cluster, loadRoster } from "./cluster/cluster.ts";
import { Exchange } from "./cluster/exchange.ts";
import { Marks } from "./cluster/marks.ts";
import { findCluster } from "./cluster/find-cluster.ts";
import { Health } from "./cluster/health.ts";
import {
  foundCluster,
  joinCluster,
  type OwnDescription,
  returnToCluster,
  type StartMeans,
  untilToldSecrets,
} from "./cluster/start.ts";
import { nodeDefaults, type NodeConfig } from "./config.ts";
import { ChangeFeeds } from "./coordinate/change-feeds.ts";
import { Contexts } from "./coordinate/contexts.ts";
import { explain, explainPeer } from "./coordinate/explain.ts";
import { healDamaged, healKey } from "./coordinate/heal.ts";
import { Requests } from "./coordinate/requests.ts";
import { serveClients, serveHosts } from "./coordinate/serve.ts";
import { watch } from "./coordinate/watch.ts";
import { StoreError } from "./errors.ts";
import type { NodeId, PartitionIndex } from "./identity.ts";
import type { Roster } from "./membership/roster.ts";
import type { LocatedKey } from "./placement/locate.ts";
import type { CancelSignal, Stop, Storage } from "./ports.ts";
import { Consents } from "./replica/consents.ts";
import { Holdings } from "./replica/holdings.ts";
import { OwnTime, tickIntervalMs } from "./replica/own-time.ts";
import { Replica } from "./replica/replica.ts";
import { RpcServer } from "./rpc/rpc.ts";
import { Deadlines } from "./deadlines.ts";
import type { NodeOptions, NodePorts } from "./node-options.ts";
import { nodeStatus, ringView, type StatusDeps } from "./status.ts";
import { RecordStore } from "./storage/record-store.ts";
import { reasonOf, Tasks } from "./tasks.ts";

/** Damage is rare, and reads mend what they meet. */
const healIntervalMs = 5_000;
/** A disk that failed while the node started on it gets this long. */
const startAnewPauseMs = 1_000;
/** Replicas that are still being told of a write get this long. */
const stopGraceMs = 2_000;

/** What exists once the node has a place in the cluster. */
interface Running {
  readonly deps: StatusDeps;
  readonly repairDeps: RepairDeps & HintDeps;
  readonly requests: Requests;
  readonly feeds: ChangeFeeds;
  readonly reaper: Reaper;
  readonly stopListening: Stop;
}

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
  readonly #server: RpcServer;
  readonly #startedMs: number;
  readonly #setAside: string[];
  #records: RecordStore;
  #tasks: Tasks;
  #running: Running | undefined;
  #stopServing: Stop = () => {};
  #renewing: Promise<void> | undefined;
  #stopped = false;
  #own: OwnDescription | undefined;
  #waitingFor = "the start";

  constructor(ports: NodePorts, options: NodeOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#config = { ...nodeDefaults, ...options.config };
    this.#records = new RecordStore(ports.storage);
    this.#tasks = new Tasks(ports);
    this.#server = new RpcServer(ports.telemetry);
    this.#startedMs = ports.clock.now();
    this.#setAside = [...(options.setAside ?? [])];
  }

  /**
   * Founds, returns to or joins the cluster; resolves when requests are answered. With seeds that do not answer it goes
   * on trying, and `status` says what for, until `stop`.
   * @throws StoreError `bad-request` when the data or the seeds belong to a cluster with other parameters
   */
  async start(description: Omit<OwnDescription, "id">): Promise<void> {
    const { transport, telemetry } = this.#ports;
    const own = (this.#own = { ...description, id: transport.self });
    const wanted = this.#options.cluster;
    const means = await this.#startMeans();
    const stored = await loadRoster(this.#records);
    this.#stopServing = this.#server.listen(transport);
    if (stored !== undefined) {
      await this.#run(await returnToCluster(own, stored, wanted, means), "returned", means.marks);
    } else if (this.#options.seeds.length === 0 && this.#options.mayFound !== false) {
      await this.#run(await foundCluster(own, wanted, means), "founded", means.marks);
      telemetry.event({ kind: "cluster-created", cluster: wanted.name });
    } else {
      const { roster } = await this.#findCluster();
      await this.#run(await joinCluster(own, roster, wanted, means), "joined", means.marks);
    }
    await this.#renewing;
    telemetry.event({ kind: "ready", id: transport.self });
  }

  async #startMeans(): Promise<StartMeans> {
    const marks = await Marks.load({ records: this.#records, random: this.#ports.random });
    return { ...this.#ports, marks };
  }

  /** What is stored here is an old copy: the node goes on as one whose disk was lost, with the membership that it has heard. */
  #renew({ roster }: Cluster): void {
    if (this.#stopped) return;
    this.#waitingFor = "its old data to be set aside";
    this.#server.clear();
    this.#renewing = this.#startAnew(roster).catch((error: unknown) => {
      this.#ports.telemetry.event({ kind: "task-failed", task: "set old data aside", reason: reasonOf(error) });
    });
  }

  async #startAnew(roster: Roster): Promise<void> {
    const { clock, telemetry } = this.#ports;
    await this.#letGo();
    const { storage, as } = await this.#ports.setAside();
    this.#setAside.push(as);
    this.#records = new RecordStore(storage);
    while (!this.#stopped && this.#running === undefined) {
      this.#tasks = new Tasks(this.#ports);
      try {
        const means = await this.#startMeans();
        await this.#run(await joinCluster(this.#own!, roster, this.#options.cluster, means), "joined", means.marks);
      } catch (error: unknown) {
        // Nothing was said to anybody yet, so it can begin again.
        telemetry.event({ kind: "task-failed", task: "start on an empty storage", reason: reasonOf(error) });
        await this.#letGo();
        await new Promise<void>((resolve) => clock.after(startAnewPauseMs, resolve));
      }
    }
    this.#renewing = undefined;
  }

  #findCluster(): Promise<{ readonly peer: NodeId; readonly roster: Roster }> {
    const { transport, identity, telemetry } = this.#ports;
    const waitFor = (what: string): void => {
      this.#waitingFor = what;
      telemetry.event({ kind: "waiting", for: what });
    };
    const deps = { transport, identity, tasks: this.#tasks, config: this.#config, waitFor };
    return findCluster(deps, this.#options.seeds, this.#options.cluster.name);
  }

  /** Answers what is under way, then lets go of everything. The ports stay open: whoever made them closes them. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const running = this.#running;
    await this.#letGo();
    this.#stopServing();
    await this.#renewing;
    await running?.deps.cluster.save().catch((error: unknown) => {
      this.#ports.telemetry.event({ kind: "task-failed", task: "save membership", reason: reasonOf(error) });
    });
  }

  async #letGo(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    await this.#tasks.stop(stopGraceMs);
    running?.stopListening();
    running?.deps.deadlines.stop();
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

  repair(options: RepairOptions): AsyncIterable<RepairProgress> {
    const { repairDeps } = this.#ready();
    return repair(repairDeps, options);
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
    const usage = await this.#records.usage().catch((error: unknown) => {
      // Between the storage that is set aside and the new one there is none.
      if (this.#renewing === undefined) throw error;
      return { bytes: 0 };
    });
    const facts = {
      config: this.#config,
      usage,
      corruptRecords: this.#records.corruptReads,
      setAside: this.#setAside,
      uptimeMs: this.#ports.clock.now() - this.#startedMs,
      waitingFor: this.#waitingFor,
      tombstones: this.#running?.reaper.status() ?? { waiting: 0, why: [] },
    };
    return nodeStatus(this.#running?.deps, {
      ...facts,
      id: this.#ports.transport.self,
      name: this.#options.cluster.name,
    });
  }

  /** What is in a storage that was set aside, merged into what is here. What was deleted and forgotten since comes back. */
  async importOld(storage: Storage): Promise<Imported> {
    return importOld(this.#ready().repairDeps, storage);
  }

  ring(): RingView {
    const { cluster, agreementAges } = this.#ready().deps;
    return ringView(cluster, agreementAges);
  }

  async explain(bucket: string, name: string): Promise<Explanation> {
    const { deps } = this.#ready();
    return explain(deps, deps.agreementAges, makeKey(bucket, name));
  }

  explainPeer(id: string): PeerExplanation {
    return explainPeer(this.#ready().deps, id as NodeId);
  }

  #ready(): Running {
    if (this.#running === undefined || this.#tasks.stopped) {
      const text = this.#stopped ? "this host is stopping" : `this host is not ready: it waits for ${this.#waitingFor}`;
      throw new StoreError("not-ready", text);
    }
    return this.#running;
  }

  async #run(roster: Roster, origin: "founded" | "returned" | "joined", marks: Marks): Promise<void> {
    const { clock, random, transport, identity, gossip } = this.#ports;
    const { self } = transport;
    const config = this.#config;
    const admission = new Admission(clock, {
      latencyThresholdMs: config.backgroundLatencyThresholdMs,
      windowMs: config.backgroundWindowMs,
      waitMaxMs: config.backgroundWaitMaxMs,
    });
    const telemetry = observed(this.#ports.telemetry, admission);
    const [records, tasks] = [this.#records, this.#tasks];
    const health = new Health({ transport, clock, telemetry }, config);
    const holdings = new Holdings(roster.cluster.partitions, random);
    const ownHoldings = roster.holdings.get(transport.self);
    const onOldCopy = (): void => this.#renew(cluster);
    const clusterDeps = { self, records, holdings, health, clock, identity, marks, tasks, telemetry, onOldCopy };
    const cluster = new Cluster(clusterDeps, roster);
    // Only the own disk tells what is held: what peers remember of this node may be from a disk that is lost.
    if (origin === "returned" && ownHoldings !== undefined) holdings.restore(ownHoldings);
    if (this.#options.recordsMissing) holdings.refillAll();
    const hybridClock = new HybridClock(config);
    const ownTime = new OwnTime(clock);
    const agreements = new Agreements(roster.cluster.partitions);
    tasks.every("notice sleep", tickIntervalMs, () => ownTime.tick());
    const forgetting = { cluster, holdings, ownTime, agreements };
    const replicaDeps = {
      records,
      holdings,
      clock,
      hybridClock,
      random,
      telemetry,
      ownTime,
      forgettableBeforeMs: (partition: PartitionIndex) => forgettableBeforeMs(forgetting, { partition, ...config }),
      owns: (partition: PartitionIndex) => cluster.ring.owners(partition).includes(transport.self),
      isConfirmed: (partition: PartitionIndex) => cluster.isConfirmed(partition),
    };
    const replica = new Replica(replicaDeps, config);
    const consents = new Consents(records, roster.reapMarks);
    await Promise.all([replica.open(), consents.open()]);
    const exchangeDeps = { transport, identity, telemetry, cluster, clock };
    const exchange = new Exchange(exchangeDeps, { timeoutMs: config.requestTimeoutMs });
    const contexts = new Contexts(cluster);
    const deps = {
      cluster,
      exchange,
      contexts,
      replica,
      transport,
      clock,
      deadlines: new Deadlines(clock),
      hybridClock,
      random,
      telemetry,
      tasks,
      config,
    };
    const requests = new Requests(deps);
    cluster.claimOwned(origin === "founded" ? "complete" : "filling");
    await cluster.save();

    exchange.serve(this.#server);
    const stopMembership = keepMembership({ ...deps, ...(gossip && { gossip }) }, config);
    // Only members are told the secrets: a new one has to be known first.
    this.#waitingFor = "the others to take it in as a member";
    await untilToldSecrets(cluster, tasks);
    if (tasks.stopped) return stopMembership(); // by `stop`, or by an exchange that told that the data is an old copy
    serveHosts(deps, this.#server);
    serveClients(deps, this.#server, requests);
    takeShare(deps, { joins: origin === "joined" });
    keepFilled({ ...deps, holdings, admission });
    tasks.every("heal damaged records", healIntervalMs, () => healDamaged(deps));
    const stopHints = deliverHints({ ...deps, admission });
    relieveHints({ ...deps, admission });
    const antiEntropyDeps = { ...deps, ownTime, agreements, holdings, server: this.#server, ...pacedBy(admission) };
    const antiEntropy = new AntiEntropy(antiEntropyDeps, config);
    const repairDeps = {
      ...antiEntropyDeps,
      antiEntropy,
      heal: (located: LocatedKey) => healKey(deps, located, config.requestTimeoutMs),
      damagedFiles: this.#options.damagedFiles ?? (async () => []),
    };
    const stopAntiEntropy = antiEntropy.start();
    const reaper = new Reaper({ ...deps, consents, server: this.#server, admission });
    reaper.start();
    const stopListening = (): void => {
      stopAntiEntropy();
      stopMembership();
      stopHints();
    };
    const agreementAges = new AgreementAges(forgetting);
    this.#running = {
      deps: { ...deps, antiEntropy, agreementAges },
      repairDeps: { ...repairDeps, admission },
      requests,
      feeds: new ChangeFeeds(deps),
      reaper,
      stopListening,
    };
    // Every member is asked; one that has just joined, too, may share its identity with another process that was asked.
    cluster.onChange(() => cluster.doubt(consents.takeUncovered(cluster.roster.reapMarks)));
  }
}
