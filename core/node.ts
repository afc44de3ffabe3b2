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
  RepairOptions,
  RepairProgress,
  RingRequest,
  RingView,
  Watched,
  WatchEvent,
  WriteAnswer,
} from "./api.ts";
import { makeKey } from "./bytes/key.ts";
import { loadRoster } from "./cluster/stored-roster.ts";
import { owesFarewell } from "./cluster/departure.ts";
import { checkSameParameters } from "./cluster/exchange.ts";
import { findCluster, type FindDeps } from "./cluster/find-cluster.ts";
import { Marks } from "./cluster/marks.ts";
import { keepPartitionsAside, untilSetAside } from "./cluster/set-aside.ts";
import {
  checkMayReturn,
  checkRole,
  foundCluster,
  isDeparted,
  joinCluster,
  outdatedOf,
  type OwnDescription,
  returnToCluster,
  type StartMeans,
} from "./cluster/start.ts";
import { nodeDefaults, type NodeConfig } from "./config.ts";
import { explain, explainPeer } from "./coordinate/explain.ts";
import { watch } from "./coordinate/watch.ts";
import { invariant, StoreError } from "./errors.ts";
import type { NodeId } from "./identity.ts";
import { addressesOf, mergeRoster, type Roster } from "./membership/roster.ts";
import type { NodeOptions, NodePorts } from "./node-options.ts";
import type { CancelSignal, Stop } from "./ports.ts";
import { methods, RpcServer } from "./rpc/rpc.ts";
import { type Origin, runNode, type Running } from "./run.ts";
import { isConnected, nodeStatus, ringView } from "./status.ts";
import { RecordStore } from "./storage/record-store.ts";
import { reasonOf, Tasks } from "./tasks.ts";

/** A disk that failed while the node started on it gets this long. */
const startAnewPauseMs = 1_000;
/** Replicas that are still being told of a write get this long. */
const stopGraceMs = 2_000;

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
  /** How often it began anew while it ran: of two ways at once the later one counts. */
  #beginnings = 0;
  #stopped = false;
  #own: OwnDescription | undefined;
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
    this.#records = new RecordStore(ports.storage, { clock: ports.clock });
    this.#tasks = new Tasks(ports);
    this.#server = new RpcServer(ports.telemetry);
    this.#startedMs = ports.clock.now();
    this.#setAside = [...(options.setAside ?? [])];
  }

  /**
   * Founds, returns to or joins the cluster; resolves when requests are answered. With seeds that do not answer it goes
   * on trying, and `status` says what for, until `stop`.
   * One that left or was removed comes back as a new member if it has seeds, and offers what it holds; but one that has
   * left and could not tell it any more tells it first, and then `left` resolves.
   * One that is removed while it waits to be taken in has started too, and refuses requests as `not-member`.
   * @throws StoreError `bad-request` when the data or the seeds belong to a cluster with other parameters, or the
   *   description is of no member (an edge, a lease that its kind does not have),
   *   `not-member` when this node left or was removed and has no seeds
   */
  async start(description: Omit<OwnDescription, "id">): Promise<void> {
    const { clock, transport, telemetry } = this.#ports;
    checkRole(description);
    const own = (this.#own = { ...description, id: transport.self });
    const wanted = this.#options.cluster;
    const means = await this.#startMeans();
    const stored = await loadRoster(this.#records);
    const restart = stored && { clock, methods: [methods.read, methods.write], members: stored.members };
    this.#stopServing = this.#server.listen(transport, restart);
    const { seeds, mayFound, isFirst } = this.#options;
    if (stored !== undefined) {
      const isOver = isDeparted(own.id, stored) && !(await owesFarewell(own.id, stored, this.#records));
      if (isOver) await this.#comeBack(stored, means);
      else {
        const held = stored.holdings.get(own.id);
        await this.#run(await returnToCluster(own, stored, wanted, means), { kind: "returned", held }, means.marks);
      }
    } else {
      const isAlone = seeds.length === 0 && mayFound !== false;
      const roster = isAlone ? undefined : await this.#findCluster({ isFirst });
      if (roster === undefined) {
        await this.#run(await foundCluster(own, wanted, means), { kind: "founded" }, means.marks);
        telemetry.event({ kind: "cluster-created", cluster: wanted.name });
      } else await this.#run(await joinCluster(own, roster, wanted, means), { kind: "joined" }, means.marks);
    }
    await this.#renewing;
    telemetry.event({ kind: "ready", id: transport.self });
  }

  async #startMeans(): Promise<StartMeans> {
    const marks = await Marks.load({ records: this.#records, random: this.#ports.random });
    return { ...this.#ports, marks };
  }

  /** What is stored here is an old copy: the node goes on as one whose disk was lost, with the membership that it has heard. */
  #renew(roster: Roster): void {
    if (this.#stopped) return;
    this.#waitingFor = "its old data to be set aside";
    this.#server.clear();
    this.#renewing = this.#startAnew(roster).catch((error: unknown) => {
      this.#ports.telemetry.event({ kind: "task-failed", task: "set old data aside", reason: reasonOf(error) });
    });
  }

  async #startAnew(roster: Roster): Promise<void> {
    const beginning = ++this.#beginnings;
    await this.#letGo();
    const aside = await untilSetAside({
      ...this.#ports,
      pauseMs: startAnewPauseMs,
      isStopped: () => this.#stopped,
      waitFor: (what) => void (this.#waitingFor = what),
    });
    if (aside === undefined) return;
    this.#setAside.push(aside.as);
    this.#records = new RecordStore(aside.storage, { clock: this.#ports.clock });
    await this.#untilRunning(beginning, "start on an empty storage", async (means) => {
      const joined = await joinCluster(this.#own!, roster, this.#options.cluster, means);
      await this.#run(joined, { kind: "joined" }, means.marks);
    });
  }

  /** Its lease lapsed while it was away: it goes on as if it had been started again. */
  #returnFromLapse(roster: () => Roster): void {
    if (this.#stopped) return;
    this.#waitingFor = "a new place in the cluster: it was silent for longer than its lease";
    this.#server.clear();
    const beginning = ++this.#beginnings;
    const attempt = (means: StartMeans): Promise<void> => this.#comeBack(roster(), means);
    this.#renewing = this.#letGo().then(() => this.#untilRunning(beginning, "return after a lapse", attempt));
  }

  /** Tries until this node runs, is stopped, or begins anew in another way. Nothing was said to anybody by a try that failed. */
  async #untilRunning(beginning: number, task: string, attempt: (means: StartMeans) => Promise<void>): Promise<void> {
    const { clock, telemetry } = this.#ports;
    const isWanted = (): boolean => !this.#stopped && beginning === this.#beginnings;
    while (isWanted() && this.#running === undefined) {
      this.#tasks = new Tasks(this.#ports);
      try {
        await attempt(await this.#startMeans());
      } catch (error: unknown) {
        if (!isWanted()) return;
        telemetry.event({ kind: "task-failed", task, reason: reasonOf(error) });
        await this.#letGo();
        await new Promise<void>((resolve) => clock.after(startAnewPauseMs, resolve));
      }
    }
    if (beginning === this.#beginnings) this.#renewing = undefined;
  }

  /** One that left, was removed or lapsed, with what it had then: the owners are offered it, but for what is outdated. */
  async #comeBack(stored: Roster, means: StartMeans): Promise<void> {
    const own = this.#own!;
    checkMayReturn(own.id, stored, this.#options.seeds);
    // Who lapsed needs no seeds: it is sent away by nobody, and asks those who were members with it.
    const isLapsed = stored.members.get(own.id)?.status === "lapsed";
    if (isLapsed) this.#ports.transport.keep(addressesOf(stored, own.id));
    // Members that lapsed together could let each other in, and what was forgotten without them would be back there.
    const { members } = stored;
    const isDoor = (peer: NodeId, told: Roster): boolean => !isDeparted(peer, mergeRoster(told, { members }));
    const known = await this.#findCluster(isLapsed ? { isDoor } : {});
    invariant(known !== undefined, "who was a member founds no second cluster");
    checkSameParameters(stored.cluster, known.cluster);
    const outdated = await outdatedOf(own.id, { stored, known }, { ...means, records: this.#records });
    if (outdated.isWhole || outdated.partitions.length > 0) {
      const reason = outdated.isWhole
        ? "its place ended, and it ran without what is held here: that is set aside"
        : `its place ended, and something was forgotten since in partitions ${outdated.partitions.join(", ")}: what it held there is set aside`;
      this.#ports.telemetry.event({ kind: "old-data", reason });
      const deps = { ...this.#ports, records: this.#records, partitions: stored.cluster.partitions };
      const kept = outdated.isWhole ? undefined : await keepPartitionsAside(deps, outdated);
      if (kept === undefined) return this.#startAnew(known);
      this.#setAside.push(...kept);
    }
    const roster = await joinCluster(own, mergeRoster(known, stored), this.#options.cluster, means, {
      keepsData: true,
    });
    await this.#run(roster, { kind: "joined", held: outdated.held }, means.marks);
  }

  async #findCluster(how: Pick<FindDeps, "isFirst" | "isDoor"> = {}): Promise<Roster | undefined> {
    const { transport, identity, telemetry } = this.#ports;
    const waitFor = (what: string): void => {
      this.#waitingFor = what;
      telemetry.event({ kind: "waiting", for: what });
    };
    const deps = { transport, identity, tasks: this.#tasks, config: this.#config, waitFor, ...how };
    return findCluster(deps, this.#options.seeds, this.#options.cluster.name);
  }

  /** It is reached at these addresses from now on, and tells the others. */
  async moveTo(addresses: readonly string[]): Promise<void> {
    if (this.#own !== undefined) this.#own = { ...this.#own, addresses };
    await this.#running?.deps.cluster.amend({ addresses });
  }

  /** Answers what is under way, then lets go of everything. The ports stay open: whoever made them closes them. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const running = this.#running;
    // From now on a write that was minted here would be sent to nobody.
    running?.requests.close(new StoreError("not-ready", "this host is stopping: ask another one"));
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
    release(running);
  }

  async get(bucket: string, name: string, options?: GetOptions): Promise<ReadAnswer> {
    return this.#ask((requests) => requests.get(makeKey(bucket, name), options));
  }

  async getLocal(bucket: string, name: string): Promise<LocalAnswer> {
    return this.#ask((requests) => requests.getLocal(makeKey(bucket, name)));
  }

  async put(bucket: string, name: string, body: Uint8Array, options: PutOptions = {}): Promise<WriteAnswer> {
    return this.#ask((requests) => requests.write(makeKey(bucket, name), body, options));
  }

  async delete(bucket: string, name: string, options: DeleteOptions = {}): Promise<WriteAnswer> {
    return this.#ask((requests) => requests.write(makeKey(bucket, name), undefined, options));
  }

  async list(bucket: string, options?: ListOptions): Promise<ListAnswer> {
    return this.#ask((requests) => requests.list(bucket, options));
  }

  repair(options: RepairOptions): AsyncIterable<RepairProgress> {
    const { repair } = this.#options;
    if (repair === undefined) throw new StoreError("bad-request", "no operator repairs this node: ask a Node host");
    return repair(this.#ready().repairDeps, options);
  }

  watch(bucket: string, what: Watched, signal: CancelSignal): AsyncIterable<WatchEvent> {
    const { deps, requests, feeds } = this.#ready();
    return watch({ ...deps, requests, feeds }, bucket, what, signal);
  }

  join(...asked: Parameters<Running["channels"]["join"]>): ReturnType<Running["channels"]["join"]> {
    return this.#ready().channels.join(...asked);
  }

  async status(): Promise<NodeStatus> {
    const usage = await this.#records.usage().catch((error: unknown) => {
      if (!(error instanceof StoreError)) throw error;
      // Between the storage that is set aside and the new one there is none.
      return this.#renewing === undefined ? undefined : { bytes: 0 };
    });
    return nodeStatus(this.#running?.deps, {
      id: this.#ports.transport.self,
      name: this.#options.cluster.name,
      config: this.#config,
      usage,
      setAside: this.#setAside,
      uptimeMs: this.#ports.clock.now() - this.#startedMs,
      waitingFor: this.#waitingFor,
      tombstones: this.#running?.reaper.status() ?? { waiting: 0, why: [] },
      transfers: this.#running?.transfers.view() ?? {},
    });
  }

  /** See `isConnected`. */
  get connected(): boolean {
    return this.#running !== undefined && isConnected(this.#running.deps.cluster);
  }

  /** What comes in and goes out as a whole: exports, and what was set aside. */
  get portable(): Running["portable"] {
    return this.#ready().portable;
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

  async plan(request: RingRequest): Promise<PlanView> {
    return this.#ready().commands.plan(request);
  }

  async changeRing(request: RingRequest, options?: { readonly ring?: string }): Promise<PlanView> {
    return this.#ready().commands.change(request, options);
  }

  /** An answer for data that is set aside by then would promise a copy that is gone. */
  async #ask<T>(work: (requests: Running["requests"]) => Promise<T>): Promise<T> {
    const running = this.#ready();
    const answer = await work(running.requests);
    if (this.#running === running || this.#stopped) return answer;
    const text = "this host began anew meanwhile (its data was an old copy, or its lease lapsed); a write may survive";
    throw new StoreError("outcome-unknown", text);
  }

  #ready(): Running {
    if (this.#running === undefined || this.#tasks.stopped) {
      const text = this.#stopped ? "this host is stopping" : `this host is not ready: it waits for ${this.#waitingFor}`;
      throw new StoreError("not-ready", text);
    }
    return this.#running;
  }

  async #run(roster: Roster, origin: Origin, marks: Marks): Promise<void> {
    const runDeps = {
      ports: this.#ports,
      options: this.#options,
      config: this.#config,
      records: this.#records,
      tasks: this.#tasks,
      server: this.#server,
      marks,
      waitFor: (what: string) => {
        this.#waitingFor = what;
      },
      onOldCopy: (current: Roster) => this.#renew(current),
      onLeft: this.#hasLeft,
      onLapsed: (current: () => Roster) => this.#returnFromLapse(current),
    };
    const running = await runNode(runDeps, roster, origin);
    // By `stop`, or because an exchange told that the data here is an old copy.
    if (runDeps.tasks.stopped) return release(running);
    this.#running = running;
  }
}

function release(running: Running | undefined): void {
  running?.stopListening();
  running?.deps.deadlines.stop();
}
