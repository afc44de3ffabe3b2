/** A simulated cluster: its hosts, what connects them, and the oracle that watches their disks. */
import { nodeDefaults } from "../../core/config.ts";
import type { StoreEvent } from "../../core/telemetry.ts";
import { Arrivals } from "./arrivals.ts";
import { Chance } from "./chance.ts";
import type { DiskImage } from "./disk-image.ts";
import { SimHost } from "./host.ts";
import { calm, SimNetwork } from "./network.ts";
import { standInsCountTwice } from "./not-yet.ts";
import { Oracle } from "./oracle.ts";
import type { Scenario } from "./scenario.ts";
import { Schedule } from "./schedule.ts";

export class World {
  readonly scenario: Scenario;
  readonly schedule: Schedule;
  readonly chance: Chance;
  readonly network: SimNetwork;
  readonly oracle: Oracle;
  readonly arrivals: Arrivals;
  readonly hosts: SimHost[] = [];
  /** Older copies of disks, for the fault that restores one. */
  readonly backups = new Map<SimHost, { readonly image: DiskImage; readonly starts: number }>();
  /** How often each fault really happened. */
  readonly faults = new Map<string, number>();
  /** Damaged somewhere: today such a key may stay unreadable, when nobody who is asked has a whole copy. */
  readonly damagedKeys = new Set<string>();
  /** How long it took from the healing to equal owners. */
  healMs = 0;
  /** After healing nothing may be started that goes wrong. */
  healed = false;

  constructor(scenario: Scenario, { echo = false }: { readonly echo?: boolean } = {}) {
    this.scenario = scenario;
    this.schedule = new Schedule({ echo });
    this.chance = new Chance(`world ${scenario.seed}`);
    this.network = new SimNetwork(this.schedule, this.chance.fork("network"), {
      silentMs: scenario.silentMs,
      redialMsMax: scenario.redialMsMax,
      mood: { delayMs: scenario.delayMs, spikeMs: 1_000, ...calm },
    });
    const options = {
      partitions: scenario.partitions,
      durability: scenario.config.durability ?? "synced",
      clockEntriesMax: scenario.config.clockEntriesMax ?? nodeDefaults.clockEntriesMax,
      standInsCountTwice,
    };
    this.oracle = new Oracle(options, () => this.hosts);
    this.arrivals = new Arrivals(this.oracle, () => this.hosts);
    for (let i = 0; i < scenario.hosts; i++) this.addHost();
  }

  addHost(): SimHost {
    const name = `h${this.hosts.length + 1}`;
    const { scenario, schedule, network } = this;
    const deps = {
      schedule,
      network,
      cluster: { name: "sim", partitions: scenario.partitions, n: scenario.n },
      config: scenario.config,
      onSetAside: (host: SimHost, wipe: () => void) => {
        this.oracle.losing(host, schedule.nowMs, wipe);
        this.arrivals.arrives(host, schedule.nowMs);
      },
      onEvent: (host: SimHost, event: StoreEvent) => this.#told(host, event),
    };
    const chance = this.chance.fork(name);
    const host = new SimHost(name, deps, chance, { written: (operations) => this.oracle.stored(name, operations) });
    host.machine.skewMs = chance.between(-scenario.skewMs, scenario.skewMs);
    this.hosts.push(host);
    return host;
  }

  /** The first start of the first host founds the cluster. */
  start(host: SimHost, founds = false): void {
    const seeds = founds ? [] : this.hosts.filter((other) => other !== host).map(({ name }) => `sim:${name}`);
    host.start(seeds);
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.schedule.after(ms, "driver", resolve);
    });
  }

  #told(host: SimHost, event: StoreEvent): void {
    const { kind } = event;
    if (kind === "clock-truncated") this.oracle.truncated = true;
    // What a node says of its own bugs.
    if (kind === "task-failed" && /\n\s+at /.test(event.reason) && !/StorageError/.test(event.reason)) {
      this.oracle.broken("nothing fails unexpectedly", `${host.name}, ${event.task}: ${event.reason}`);
    }
    if (kind === "request") return;
    this.schedule.log(`${host.name} ${textOf(event)}`);
  }
}

function textOf({ kind, ...rest }: StoreEvent): string {
  return `${kind} ${Object.values(rest).join(" ").split("\n")[0]}`;
}
