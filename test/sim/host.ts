/**
 * One host of a simulated cluster: a machine with a disk and a clock, and the processes that run on it one after another.
 */
import { Calls } from "./calls.ts";
import type { NodeConfig } from "../../core/config.ts";
import type { NodeId } from "../../core/identity.ts";
import { EverwriteNode } from "../../core/node.ts";
import { MemoryStorage } from "../../core/storage/memory-storage.ts";
import type { NodeOptions } from "../../core/node-options.ts";
import type { StoreEvent } from "../../core/telemetry.ts";
import { testIdentity } from "../support/test-identity.ts";
import type { Chance } from "./chance.ts";
import { type DiskListener, SimDisk } from "./disk.ts";
import { SimGossip } from "./gossip.ts";
import type { SimNetwork } from "./network.ts";
import { type MachineClock, Process, wallTime } from "./process.ts";
import type { Schedule } from "./schedule.ts";
import type { Site } from "./scenario.ts";
import { SimTransport } from "./transport.ts";

/** What all hosts share. */
export interface HostDeps {
  readonly schedule: Schedule;
  readonly network: SimNetwork;
  readonly cluster: NodeOptions["cluster"];
  readonly config: Partial<NodeConfig>;
  /** Whether membership is gossiped. */
  readonly gossips: boolean;
  /** The host found out that its disk is an old copy: call what takes the data away. */
  readonly onSetAside: (host: SimHost, wipe: () => void) => void;
  /** It was told to leave, and is done. */
  readonly onLeft: (host: SimHost) => void;
  readonly onEvent: (host: SimHost, event: StoreEvent) => void;
}

/** How a host is started. */
export interface HostOptions {
  readonly name: string;
  /** Of another host, for a copy of it. */
  readonly id?: NodeId;
  /** False: it takes no tokens before somebody commits its join. */
  readonly mayJoin?: boolean;
  /** It began a ring of its own. */
  readonly foundsApart?: boolean;
  /** It is a browser host under this lease. */
  readonly leaseMs?: number | undefined;
  readonly site: Site;
}

/** One run of the program. */
interface Life {
  readonly process: Process;
  readonly transport: SimTransport;
  readonly node: EverwriteNode;
  /** Of the schedule. */
  readyMs: number | undefined;
}

/** A supervisor starts a program that ended again after this. */
const restartMs = 500;

export class SimHost {
  readonly name: string;
  readonly id: NodeId;
  readonly mayJoin: boolean;
  readonly foundsApart: boolean;
  readonly leaseMs: number | undefined;
  readonly site: Site;
  readonly disk: SimDisk;
  readonly machine: MachineClock = { skewMs: 0 };
  readonly #deps: HostDeps;
  readonly #chance: Chance;
  #life: Life | undefined;
  starts = 0;
  /** When it found out last that its data is to be set aside. */
  foundOldMs = -Infinity;
  /** An older copy of its disk was put back. */
  hasOldCopy = false;
  /** Switched off for good. */
  gone = false;
  /** Requests of clients that this process has not answered. */
  readonly #calls = new Calls();

  constructor(
    { name, id = name as NodeId, mayJoin = true, foundsApart = false, leaseMs, site }: HostOptions,
    deps: HostDeps,
    chance: Chance,
    listener: DiskListener,
  ) {
    this.name = name;
    this.id = id;
    this.mayJoin = mayJoin;
    this.foundsApart = foundsApart;
    this.leaseMs = leaseMs;
    this.site = site;
    this.#deps = deps;
    this.#chance = chance;
    this.disk = new SimDisk(chance.fork("disk"), listener);
  }

  get running(): boolean {
    return this.#life !== undefined;
  }

  /** Requests may be sent to it; a stopped process does not answer them before it goes on. */
  get ready(): boolean {
    return this.#life?.readyMs !== undefined;
  }

  /** 0: it is not. */
  get readyForMs(): number {
    const readyMs = this.#life?.readyMs;
    return readyMs === undefined ? 0 : this.#deps.schedule.nowMs - readyMs;
  }

  get node(): EverwriteNode | undefined {
    return this.#life?.node;
  }

  get process(): Process | undefined {
    return this.#life?.process;
  }

  get transport(): SimTransport | undefined {
    return this.#life?.transport;
  }

  wallTime(): number {
    return wallTime(this.#deps.schedule, this.machine);
  }

  /** No-op while a process runs. */
  start(seeds: readonly string[]): void {
    if (this.#life !== undefined || this.gone) return;
    const { schedule, network, cluster, config, gossips, onEvent, onLeft } = this.#deps;
    this.starts += 1;
    const chance = this.#chance.fork(`life ${this.starts}`);
    const process = new Process(this.name, schedule, this.machine, chance.between(0, 1e6));
    const transport = new SimTransport(this.id, network, process);
    const telemetry = { event: (event: StoreEvent) => onEvent(this, event) };
    const ports = {
      clock: process.clock,
      random: chance,
      storage: this.disk.open(process),
      setAside: async () => {
        this.#setAside();
        return { storage: this.disk.open(process), as: `${this.name}.old` };
      },
      openAside: async () => ({ storage: new MemoryStorage(), as: `${this.name}.old` }),
      transport,
      identity: testIdentity(this.id),
      ...(gossips ? { gossip: new SimGossip(this.id, network, process) } : {}),
      telemetry,
    };
    const node = new EverwriteNode(ports, { cluster, seeds, config, mayJoin: this.mayJoin });
    const life: Life = { process, transport, node, readyMs: undefined };
    this.#life = life;
    schedule.log(`${this.name} starts`);
    void node.left.then(() => {
      if (this.#life === life) onLeft(this);
    });
    const kind =
      this.leaseMs === undefined ? { kind: "host" as const } : { kind: "browser-host" as const, leaseMs: this.leaseMs };
    const own = { ...this.site, addresses: [`sim:${this.id}`], http: "" };
    node.start({ ...own, ...kind }).then(
      () => {
        life.readyMs = schedule.nowMs;
        schedule.log(`${this.name} is ready`);
      },
      (error: unknown) => {
        schedule.log(`${this.name} cannot start: ${String(error)}`);
        if (this.#life !== life) return;
        this.kill("stops");
        schedule.after(restartMs, `${this.name} restarts`, () => this.start(seeds));
      },
    );
  }

  /** The process is gone between two steps; what it wrote stays. */
  kill(verb = "is killed", silently = false): void {
    const life = this.#life;
    if (life === undefined) return;
    this.#deps.schedule.log(`${this.name} ${verb}`);
    this.#life = undefined;
    this.disk.onNextBatch = undefined;
    life.process.kill();
    life.transport.died(silently);
    this.#calls.abandon();
  }

  /** Its disk works again, it runs if it was stopped, and nothing waits to kill it. */
  calm(): void {
    Object.assign(this.disk.mood, { full: false, writeErrors: 0, readErrors: 0, slowness: 1 });
    this.disk.onNextBatch = undefined;
    if (this.transport !== undefined) this.transport.onNextRequest = undefined;
    if (this.process === undefined) return;
    this.process.onStep = undefined;
    this.process.resume();
  }

  /** The machine loses power: so do its peers the sign that it is gone, and the disk what it had not synced. */
  powerCut(): void {
    this.kill("loses power", true);
    this.disk.powerCut();
  }

  #setAside(): void {
    this.#deps.schedule.log(`${this.name} sets its data aside`);
    this.#deps.onSetAside(this, () => this.disk.wipe());
  }

  /** A client's call of this process. `died` when the process ends before it answers. */
  async call<T>(work: (node: EverwriteNode) => Promise<T>): Promise<T | "died"> {
    const node = this.#life?.node;
    return node === undefined ? "died" : this.#calls.run(() => work(node));
  }
}
