/**
 * One edge of a simulated cluster: a device with a disk and a clock, and the processes that run on it one after another.
 * Its disk is its own: what hosts must keep, the oracle judges by the disks of hosts.
 */
import { Calls } from "../calls.ts";
import type { EdgeConfig } from "../../../core/edge/config.ts";
import { EdgeNode } from "../../../core/edge/edge-node.ts";
import type { NodeId } from "../../../core/identity.ts";
import type { StoreEvent } from "../../../core/telemetry.ts";
import { testIdentity } from "../../support/test-identity.ts";
import type { Chance } from "../chance.ts";
import { SimDisk } from "../disk.ts";
import { type MachineClock, Process } from "../process.ts";
import { SimTransport } from "../transport.ts";
import type { World } from "../world.ts";

interface Life {
  readonly process: Process;
  readonly transport: SimTransport;
  readonly node: EdgeNode;
}

export class SimEdge {
  readonly id: NodeId;
  readonly disk: SimDisk;
  readonly machine: MachineClock;
  /** Dots of the values that it has told were discarded. */
  readonly conflicts = new Set<string>();
  readonly #world: World;
  readonly #chance: Chance;
  readonly #config: Partial<EdgeConfig>;
  readonly #calls = new Calls();
  #life: Life | undefined;
  /** Processes that have lost the storage to another one. */
  readonly #olds = new Set<Life>();
  #lives = 0;

  /** `config`: in place of what each life draws. */
  constructor(world: World, name: string, config: Partial<EdgeConfig> = {}) {
    this.id = name as NodeId;
    this.#world = world;
    this.#config = config;
    this.#chance = world.chance.fork(`edge ${name}`);
    this.machine = { skewMs: this.#chance.between(-1, 1) * world.scenario.skewMs };
    this.disk = new SimDisk(this.#chance.fork("disk"), {
      written: (operations) => {
        // Where edges are what the run is about: applications on top of them evict, too.
        if (world.scenario.edges === 0) return;
        for (const { kind, ns } of operations)
          if (kind === "delete" && ns === "objects") world.happened("edge eviction");
      },
      doubted: () => () => {},
      clearing: (clear) => clear(),
    });
  }

  get node(): EdgeNode | undefined {
    return this.#life?.node;
  }

  get process(): Process | undefined {
    return this.#life?.process;
  }

  get transport(): SimTransport | undefined {
    return this.#life?.transport;
  }

  /** No-op while a process runs. */
  start(): void {
    if (this.#life !== undefined) return;
    const { schedule, network, scenario, hosts } = this.#world;
    this.#lives += 1;
    const chance = this.#chance.fork(`life ${this.#lives}`);
    const process = new Process(this.id, schedule, this.machine, chance.between(0, 1e6));
    const transport = new SimTransport(this.id, network, process);
    const ports = {
      clock: process.clock,
      random: chance,
      storage: this.disk.open(process),
      transport,
      identity: testIdentity(this.id),
      telemetry: { event: (event: StoreEvent) => this.#told(event) },
    };
    const config = {
      requestTimeoutMs: Math.min(1_000, scenario.config.requestTimeoutMs ?? 1_000),
      copyBytesMax: chance.pick([500, 2_000, 1_000_000]),
      cacheBytesMax: chance.pick([0, 100_000]),
      refreshIntervalMs: chance.pick([1_000, 10_000]),
      retryMaxMs: 3_000,
      ...this.#config,
    };
    const seeds = hosts.map(({ id }) => `sim:${id}`);
    const node = new EdgeNode(ports, { cluster: "sim", seeds, config });
    const life = { process, transport, node };
    this.#life = life;
    schedule.log(`${this.id} starts`);
    node.start().catch((error: unknown) => {
      schedule.log(`${this.id} cannot start: ${String(error)}`);
      if (this.#life !== life) return;
      this.kill("stops");
      schedule.after(500, `${this.id} restarts`, () => this.start());
    });
  }

  /** Between two steps; what it wrote stays. */
  kill(verb = "is killed"): void {
    const life = this.#life;
    if (life === undefined) return;
    this.#world.schedule.log(`${this.id} ${verb}`);
    this.#life = undefined;
    this.disk.onNextBatch = undefined;
    life.process.kill();
    life.transport.died(false);
    this.#calls.abandon();
  }

  /**
   * A new process takes the storage over. The one that had it goes on without, for so long: frozen at first, or as if
   * nothing had happened.
   */
  openAgain(forMs: number, isFrozen: boolean): void {
    const old = this.#life;
    if (old === undefined) return;
    this.#world.schedule.log(`${this.id} is opened in another tab`);
    this.#life = undefined;
    this.#calls.abandon();
    this.#olds.add(old);
    if (isFrozen) {
      old.process.pause();
      this.#world.schedule.after(forMs / 2, `${this.id} thaws`, () => old.process.resume());
    }
    this.#world.schedule.after(forMs, `${this.id} closes a tab`, () => this.#close(old));
    this.start();
  }

  #close(old: Life): void {
    if (!this.#olds.delete(old)) return;
    old.process.kill();
    old.transport.died(false);
  }

  /** One process, and it runs. */
  calm(): void {
    for (const old of this.#olds) this.#close(old);
    if (this.process !== undefined) this.process.onStep = undefined;
    this.process?.resume();
    this.start();
  }

  /** An application's call of this process. `died` when the process ends before it answers. */
  async call<T>(work: (node: EdgeNode) => Promise<T>): Promise<T | "died"> {
    const node = this.#life?.node;
    return node === undefined ? "died" : this.#calls.run(() => work(node));
  }

  #told(event: StoreEvent): void {
    if (event.kind === "conflict") this.conflicts.add(event.discardedDot);
    // What a node says of its own bugs: expected failures have no stack.
    if ("reason" in event && /\n\s+at /.test(event.reason) && !/StorageError/.test(event.reason)) {
      this.#world.oracle.broken("nothing fails unexpectedly", `${this.id}, ${event.kind}: ${event.reason}`);
    }
    this.#world.schedule.log(`${this.id} ${event.kind} ${"reason" in event ? event.reason : ""}`);
  }
}
