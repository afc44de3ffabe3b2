/** A simulated cluster: its hosts, what connects them, and the oracle that watches their disks. */
import { nodeDefaults } from "../../core/config.ts";
import type { NodeId } from "../../core/identity.ts";
import { isOnRing } from "../../core/membership/roster.ts";
import type { StoreEvent } from "../../core/telemetry.ts";
import { Arrivals } from "./arrivals.ts";
import { covers, type Dot, type Versioned } from "../../core/causality/version-set.ts";
import { Chance } from "./chance.ts";
import type { DiskImage } from "./disk-image.ts";
import { type HostOptions, SimHost } from "./host.ts";
import { calm, SimNetwork } from "./network.ts";
import { Lapses } from "./lapses.ts";
import { checkMembership } from "./departures.ts";
import { checkForgotten, checkHandedOver, checkRevived, noteHandedOver, noteMarks, sparing } from "./forgetting.ts";
import { Oracle } from "./oracle.ts";
import { watchReapLeads } from "./reap-leads.ts";
import {
  isApplications,
  type Membership,
  membershipChange,
  membershipOn,
  type StoredState,
  statesOn,
  statesTakenBy,
} from "./rows.ts";
import { plainSite, type Scenario } from "./scenario.ts";
import { Schedule } from "./schedule.ts";

export class World {
  readonly scenario: Scenario;
  readonly schedule: Schedule;
  readonly chance: Chance;
  readonly network: SimNetwork;
  readonly oracle: Oracle;
  /** By host: the ring that it left last, and the roster of that time. */
  readonly ringsBefore = new Map<NodeId, Membership & { readonly atMs: number }>();
  readonly arrivals: Arrivals;
  readonly #lapses: Lapses;
  /** Who has filled something since its membership was last written. */
  readonly #filled = new Set<NodeId>();
  /** Hosts of whose disks there was ever a second copy. */
  readonly copiedHosts = new Set<NodeId>();
  readonly hosts: SimHost[] = [];
  /** Running copies of hosts, under the same identity. */
  readonly twins: SimHost[] = [];
  /** Left, or lost for good: switched off, and never started again. */
  readonly departed: SimHost[] = [];
  /** Those of them that nobody has removed from the ring yet. */
  readonly lost = new Set<NodeId>();
  /** What was on disks just before some of it was lost, by whose disk and when. */
  readonly lostCopies: { readonly id: NodeId; readonly atMs: number; readonly states: readonly StoredState[] }[] = [];
  /** What was on the older copies of disks that hosts got which had left: they have handed it over (seed 408280). */
  readonly handedOver = new Map<NodeId, readonly StoredState[]>();
  /** Older copies of disks, for the fault that restores one. */
  readonly backups = new Map<SimHost, DiskImage>();
  /** How often each fault really happened. */
  readonly faults = new Map<string, number>();
  /** What operators asked hosts for that is still under way: a paused one carries it out later (seed 2006925). */
  asks = 0;
  /** When the disk of a host had the forgetting mark of a partition raised. */
  readonly markedMs = new Map<string, number>();
  /** Damaged somewhere: today such a key may stay unreadable, when nobody who is asked has a whole copy. */
  readonly damagedKeys = new Set<string>();
  /** Keys that hosts have forgotten, and how many of these while there were faults. */
  readonly reaped = { keys: 0, underFaults: 0 };
  /** Accepted writes of edges that were found at hosts. */
  delivered = 0;
  /** Acknowledged updates of documents that were looked for in the end. */
  updates = 0;
  /** Entries of clocks that went with everyone's agreement. */
  entriesCut = 0;
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
    };
    this.oracle = new Oracle(options, () => [...this.hosts, ...this.twins]);
    this.arrivals = new Arrivals(this.oracle, () => this.hosts);
    this.#lapses = new Lapses(this);
    this.network.taps.add(this.#lapses);
    this.network.taps.add(watchReapLeads(this));
    for (let i = 0; i < scenario.hosts; i++) this.addHost();
  }

  addHost(how: Omit<HostOptions, "name" | "id" | "site"> = {}): SimHost {
    const index = this.hosts.length + this.departed.length;
    const name = `h${index + 1}`;
    const leaseMs = this.scenario.browsers.includes(index) ? this.scenario.leaseMs : undefined;
    const site = this.scenario.sites?.[index] ?? plainSite;
    const host = this.#makeHost({ ...how, name, leaseMs, site }, this.chance.fork(name));
    host.machine.skewMs = this.chance.fork(host.name).between(-this.scenario.skewMs, this.scenario.skewMs);
    this.hosts.push(host);
    return host;
  }

  /** Its machine is gone. */
  depart(host: SimHost): void {
    host.kill("is switched off");
    host.gone = true;
    this.hosts.splice(this.hosts.indexOf(host), 1);
    this.departed.push(host);
  }

  #left(host: SimHost): void {
    const old = this.handedOver.get(host.id) ?? [];
    const isOld = ({ key, hintFor, state }: StoredState): boolean =>
      old.some((each) => each.key === key && each.hintFor === hintFor && coversAll(each.state, state));
    const kept = statesOn(host.disk.view).find((each) => !isOld(each));
    if (kept !== undefined) this.oracle.broken("who leaves keeps nothing", `${host.name} has left with ${kept.key}`);
    this.depart(host);
  }

  /** A second process of this identity, on a copy of its disk, until `endTwin`. */
  addTwin(original: SimHost): SimHost {
    // Each draws its own: two of the same chance would mint the same dots.
    const chance = this.chance.fork(`${original.name}' at ${this.schedule.nowMs}`);
    const { id, leaseMs, site } = original;
    const twin = this.#makeHost({ name: `${original.name}'`, id, leaseMs, site }, chance);
    twin.disk.restore(original.disk.synced);
    this.twins.push(twin);
    this.copiedHosts.add(id);
    this.arrivals.copied(original);
    this.start(twin);
    return twin;
  }

  endTwin(twin: SimHost): void {
    if (twin.gone) return;
    twin.kill("is switched off, and its disk thrown away");
    twin.gone = true;
    this.losesCopies(twin);
    this.oracle.losing(twin, this.schedule.nowMs, () => twin.disk.wipe());
    this.twins.splice(this.twins.indexOf(twin), 1);
  }

  #makeHost(options: HostOptions, chance: Chance): SimHost {
    const { scenario, schedule, network } = this;
    const deps = {
      schedule,
      network,
      cluster: { name: "sim", partitions: scenario.partitions, n: scenario.n },
      config: scenario.config,
      gossips: scenario.gossips,
      onSetAside: (host: SimHost, wipe: () => void) => {
        this.#checkSetAside(host);
        // Others may have been told before that it has them.
        this.losesCopies(host);
        this.oracle.losing(host, schedule.nowMs, wipe, { mayCost: this.#mayBeOld(host) });
        this.arrivals.arrives(host, schedule.nowMs);
      },
      onLeft: (host: SimHost) => this.#left(host),
      onEvent: (host: SimHost, event: StoreEvent) => this.#told(host, event),
    };
    const { name } = options;
    const host: SimHost = new SimHost(options, deps, chance, {
      written: (operations, revived, before) => {
        this.oracle.stored(name, operations, revived);
        const change = membershipChange(operations, before);
        if (change !== undefined) {
          noteMarks(this, host, change);
          checkMembership(this, host, { ...change, hasFilled: this.#filled.delete(host.id) });
        }
        for (const taken of statesTakenBy(operations, before, host.disk.view)) {
          if (isApplications(taken.key)) continue;
          if (revived && taken.hintFor !== undefined) checkRevived(this.oracle, taken);
          const owners = taken.ring?.owners(this.oracle.locate(taken.key).partition) ?? [];
          if (taken.hintFor !== undefined) sparing(this, host.id, taken, owners)();
          else if (owners.includes(host.id)) checkForgotten(this.oracle, name, taken, host.wallTime());
          else {
            checkHandedOver(this, host, taken, owners);
            noteHandedOver(this, host, taken);
          }
        }
      },
      // A hint that goes with it is judged by what the owners have now, not when it comes back (seed 1003180).
      doubted: (operation, before) => {
        const [taken] = statesTakenBy([operation], [before], host.disk.view);
        if (taken?.hintFor === undefined || isApplications(taken.key)) return () => {};
        return sparing(this, host.id, taken, taken.ring?.owners(this.oracle.locate(taken.key).partition) ?? []);
      },
      // Hosts clear what they have set aside.
      clearing: (clear) => this.oracle.losing(host, schedule.nowMs, clear),
    });
    return host;
  }

  /** Who returns on a disk that does all that it is asked for, and that is no copy, sets partitions aside one by one. */
  #checkSetAside({ id, name, disk }: SimHost): void {
    const { full, writeErrors, readErrors } = disk.mood;
    const status = membershipOn(disk.view)?.roster.members.get(id)?.status;
    if (status === undefined || isOnRing(status)) return;
    if (this.copiedHosts.has(id) || full || writeErrors > 0 || readErrors > 0 || disk.damaged) return;
    this.oracle.broken("only an old copy is set aside as a whole", name);
  }

  /**
   * Whether what is on this host's disk, or was copied to it, may be older than what others have forgotten since. Who was a
   * member all the time was asked each time: it has no reason to set aside what it alone has.
   */
  #mayBeOld(host: SimHost): boolean {
    const own = membershipOn(host.disk.view)?.roster.members.get(host.id);
    const wasThere = own !== undefined && own.life === 1 && isOnRing(own.status);
    return !wasThere || this.copiedHosts.has(host.id) || !this.arrivals.isWhole(host);
  }

  /** Call before a fault takes copies from this host's disk. */
  losesCopies({ id, disk }: SimHost): void {
    this.lostCopies.push({ id, atMs: this.schedule.nowMs, states: statesOn(disk.view) });
  }

  /** Call before a host's disk is replaced by an older copy. */
  losesToCopy(host: SimHost, copy: DiskImage): void {
    this.losesCopies(host);
    host.hasOldCopy = true;
    const status = membershipOn(host.disk.view)?.roster.members.get(host.id)?.status;
    if (status === "left") this.handedOver.set(host.id, statesOn(copy));
  }

  /** The first start of the first host founds the cluster. */
  start(host: SimHost, founds = false): void {
    const seeds = founds ? [] : this.hosts.filter(({ id }) => id !== host.id).map(({ id }) => `sim:${id}`);
    host.start(seeds);
  }

  /** A fault was carried out. */
  happened(kind: string): void {
    this.faults.set(kind, (this.faults.get(kind) ?? 0) + 1);
  }

  get graceMs(): number {
    return this.scenario.config.graceMs ?? nodeDefaults.graceMs;
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.schedule.after(ms, "driver", resolve);
    });
  }

  /** What it has by now misses what the others take from here on. */
  #lapsed(by: SimHost, id: string): void {
    this.happened("lapse");
    this.#lapses.ended(by, id);
    this.lost.delete(id as NodeId);
    const host = this.hosts.find((each) => each.id === id);
    if (host !== undefined) this.arrivals.arrives(host, this.schedule.nowMs);
  }

  #told(host: SimHost, event: StoreEvent): void {
    const { kind } = event;
    if (kind === "clock-truncated") {
      if (event.forced > 0) this.oracle.history(event.key).truncated = true;
      else for (const entry of event.dropped) this.oracle.history(event.key).forget(entry as Dot);
      this.entriesCut += event.dropped.length - event.forced;
    }
    if (kind === "old-data" && event.reason.includes("set aside")) host.foundOldMs = this.schedule.nowMs;
    if (kind === "filled") this.#filled.add(host.id);
    if (kind === "ring-planned" && event.change === "lapse") this.#lapsed(host, event.host);
    if (kind === "ring-changed") {
      const before = membershipOn(host.disk.view);
      if (before !== undefined) this.ringsBefore.set(host.id, { ...before, atMs: this.schedule.nowMs });
    }
    if (kind === "reaped") {
      this.reaped.keys += event.keys;
      if (!this.healed) this.reaped.underFaults += event.keys;
    }
    // What a node says of its own bugs: expected failures have no stack.
    if ("reason" in event && /\n\s+at /.test(event.reason) && !/StorageError/.test(event.reason)) {
      this.oracle.broken("nothing fails unexpectedly", `${host.name}, ${kind}: ${event.reason}`);
    }
    if (kind === "request") return;
    this.schedule.log(`${host.name} ${textOf(event)}`);
  }
}

function coversAll({ vector }: Versioned, other: Versioned): boolean {
  return other.vector.every((entry) => covers(vector, entry));
}

function textOf({ kind, ...rest }: StoreEvent): string {
  return `${kind} ${Object.values(rest).join(" ").split("\n")[0]}`;
}
