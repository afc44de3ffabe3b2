/**
 * An edge's way to hosts: it knows the ring, keeps some hosts connected, and asks an owner where one is connected (the
 * paper's client-driven coordination, 6.4), else any host.
 * Invariant: the ring that is known here is refreshed every `refreshIntervalMs` and when an answer tells of another one;
 * it is kept across restarts, so that a start needs no seed as long as one known host is there.
 */
import { encodeUtf8 } from "lib0/string";
import { DecodeError, type Given } from "../bytes/codec.ts";
import { Health, sweepIntervalMs } from "../cluster/health.ts";
import { fetchPublicMembership } from "../cluster/public-membership.ts";
import { clusterDefaults, type QuorumSpec } from "../config.ts";
import { StoreError } from "../errors.ts";
import type { Key, NodeId } from "../identity.ts";
import { encodeRoster, rosterFrom, RosterMessage } from "../membership/exchange.ts";
import { publicRoster } from "../membership/public-roster.ts";
import { addressesOf, ringMembers, type Roster } from "../membership/roster.ts";
import { type LocatedKey, Locator } from "../placement/locate.ts";
import { Ring } from "../placement/ring.ts";
import { type Clock, type Identity, type Random, type Stop, type Transport, TransportError } from "../ports.ts";
import { call, type Method } from "../rpc/call.ts";
import { edgeMethods } from "../rpc/edge-methods.ts";
import type { RecordStore } from "../storage/record-store.ts";
import { reasonOf, type Tasks } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";
import type { EdgeConfig } from "./config.ts";
import { type Periods, PeriodsRow, usualPeriods } from "./periods.ts";
import { HostTime } from "./host-time.ts";
import { isOfOneHost } from "./refusals.ts";

export interface ContactDeps {
  readonly transport: Transport;
  readonly identity: Identity;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly records: RecordStore;
  readonly tasks: Tasks;
}

/** Rows in `meta`: the public membership as last heard; and the periods of its hosts. */
const rosterRow = encodeUtf8("edge-roster");
const periodsRow = encodeUtf8("edge-periods");

/** Seeds are dialled again after so long while no host is connected. */
const seedPauseMs = 500;
/** Of so many hosts two may have a wrong clock. */
const hostsTimedMax = 5;
/** What is asked at once, many times over: a page hashes no key again while it works with it. */
const locatedKeysMax = 1_024;
/** A longer trip tells less of the time, and writes wait for it: it is taken only where none is shorter. */
const timeTripMsMax = 1_000;

/** The hosts' time as this edge knows it, and its own clock's; whole ms since 1970. */
export interface HostsTime {
  readonly wallMs: number;
  readonly clockMs: number;
  /** Measured since hosts were met. */
  readonly isKnown: boolean;
}

export class Contact {
  readonly #deps: ContactDeps;
  readonly #config: EdgeConfig;
  readonly #name: string;
  readonly #seeds: readonly string[];
  readonly #health: Health;
  readonly #listeners = new Set<() => void>();
  #roster: Roster | undefined;
  #ring: Ring | undefined;
  #locator = new Locator(clusterDefaults.partitions, locatedKeysMax);
  #wasConnected = false;
  #refreshing: Promise<void> | undefined;
  #refreshedMs = -Infinity;
  #isStale = false;
  readonly #time: HostTime;
  #measuring: { readonly tripMsMax: number; readonly done: Promise<boolean> } | undefined;
  #periods = usualPeriods;
  #readQuorum: QuorumSpec | undefined;
  #stopListening: Stop = () => {};
  #firstTried: () => void = () => {};
  #hasTried = false;
  /** Resolves when hosts answered, or none could be reached: until then it is not known whether this edge is offline. */
  readonly tried: Promise<void> = new Promise((resolve) => {
    this.#firstTried = () => {
      this.#hasTried = true;
      resolve();
    };
  });

  constructor(
    deps: ContactDeps,
    config: EdgeConfig,
    { name, seeds }: { readonly name: string; readonly seeds: readonly string[] },
  ) {
    this.#deps = deps;
    this.#config = config;
    this.#name = name;
    this.#seeds = seeds;
    this.#health = new Health(deps, config);
    this.#time = new HostTime(deps.clock);
  }

  /** @throws StoreError `bad-request` when the storage is of another cluster */
  async open(): Promise<void> {
    this.#periods = (await this.#stored(periodsRow, (row) => PeriodsRow.decode(row))) ?? usualPeriods;
    const roster = await this.#stored(rosterRow, (row) => rosterFrom(RosterMessage.decode(row)));
    if (roster === undefined) return;
    if (roster.cluster.name !== this.#name) {
      const text = `this storage belongs to an edge of the cluster "${roster.cluster.name}", not of "${this.#name}"`;
      throw new StoreError("bad-request", text);
    }
    this.#take(publicRoster(roster));
  }

  /** A row that is damaged, or of another release, is told, and hosts tell anew what it held. */
  async #stored<T>(key: Uint8Array, decode: (row: Uint8Array) => T): Promise<T | undefined> {
    try {
      const row = await this.#deps.records.get("meta", key);
      return row && decode(row);
    } catch (error: unknown) {
      const isCorrupt = error instanceof DecodeError || (error instanceof StoreError && error.code === "corrupt");
      if (!isCorrupt) throw error;
      this.#deps.telemetry.event({ kind: "corrupt-record", where: `the membership of this edge: ${error.message}` });
      return undefined;
    }
  }

  start(): void {
    const { transport, tasks } = this.#deps;
    this.#stopListening = transport.onPeerChange((id, isConnected) => {
      this.#health.connectionChanged(id, isConnected);
      this.#isStale ||= isConnected;
      this.#tellChange();
      if (isConnected) tasks.run("refresh membership", () => this.#refresh());
    });
    tasks.every("sweep hosts", sweepIntervalMs, () => {
      this.#health.sweep();
      this.#tellChange();
    });
    tasks.every("stay in contact", seedPauseMs, async () => {
      if (!this.isConnected) await this.#meetSeeds();
      await this.#refresh();
      this.#firstTried();
    });
  }

  stop(): void {
    this.#stopListening();
    this.#firstTried();
  }

  /** The ring is known, and one of its hosts answers. */
  get isConnected(): boolean {
    return this.#ring?.hosts.some(({ id }) => this.#health.isUp(id)) ?? false;
  }

  /** `tried` has resolved. */
  get hasTried(): boolean {
    return this.#hasTried;
  }

  /** Called after each change of `isConnected`. */
  onChange(listener: () => void): Stop {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** min(N, hosts), as far as it is known. */
  get replicas(): number {
    return this.#ring === undefined ? clusterDefaults.n : Math.min(this.#ring.n, this.#ring.hosts.length);
  }

  get periods(): Periods {
    return this.#periods;
  }

  /** The time by the hosts' clocks, as far as it is known; whole ms since 1970. */
  get wallMs(): number {
    return Math.max(0, Math.floor(this.#time.wallMs));
  }

  /** The same, and how it was made of the own clock's. */
  get time(): HostsTime {
    const { wallMs } = this;
    return { wallMs, clockMs: Math.max(0, Math.floor(this.#deps.clock.wallTime())), isKnown: this.#time.isKnown };
  }

  /**
   * Measures the hosts' time, unless it is known: by short trips, else by long ones; `anew` even then, and by long ones alone.
   * True also where a host refuses to tell it; false: none has answered, so they are to be asked again.
   */
  async measureTime({ anew = false } = {}): Promise<boolean> {
    if (anew) this.#time.forget();
    else if (this.#time.isKnown || (await this.#measureTime(timeTripMsMax))) return true;
    const tripMsMax = this.#config.requestTimeoutMs;
    // What is under way may end without a round, for it takes short trips alone.
    while (this.#measuring !== undefined && this.#measuring.tripMsMax < tripMsMax) await this.#measuring.done;
    return this.#time.isKnown || this.#measureTime(tripMsMax);
  }

  locate(key: Key): LocatedKey {
    return this.#locator.locate(key);
  }

  ownersOf(key: Key): readonly NodeId[] {
    return this.#ring?.owners(this.locate(key).partition) ?? [];
  }

  /** Owners that are connected and answer, those first that did so fastest lately. */
  ownersUp({ key }: Pick<LocatedKey, "key">): NodeId[] {
    return this.#health.byRoundTrip(this.ownersOf(key).filter((id) => this.#health.isUp(id)));
  }

  /** Hosts to ask about a key: owners, those first that answered fastest lately, then the others. */
  hostsFor(located: Pick<LocatedKey, "key">): NodeId[] {
    const owners = this.ownersUp(located);
    return [...owners, ...this.hosts().filter((id) => !owners.includes(id))];
  }

  /** As it is known here; undefined: none is. */
  get ring(): Ring | undefined {
    return this.#ring;
  }

  /** What R is at hosts where a read does not say it; undefined until one has told. */
  get readQuorum(): QuorumSpec | undefined {
    return this.#readQuorum;
  }

  /** As lately measured; 0 before the first answer. */
  roundTripP95Ms(host: NodeId): number {
    return this.#health.state(host)?.rttP95Ms ?? 0;
  }

  /** Any host, those first that answered fastest lately. */
  hosts(): NodeId[] {
    return this.#health.byRoundTrip(this.#hostsUp());
  }

  /**
   * Asks one host after another, until one answers. For what may be asked twice.
   * @throws StoreError as the last one that answered; `not-ready` when none was reached, with `cause`
   */
  async ask<Request, Response extends { readonly ring?: string }>(
    hosts: readonly NodeId[],
    method: Method<Request, Response>,
    request: Given<Request>,
    timeoutMs: number,
  ): Promise<Response> {
    const { clock } = this.#deps;
    const deadlineMs = clock.now() + timeoutMs;
    let last: unknown;
    for (const host of hosts) {
      const leftMs = deadlineMs - clock.now();
      if (leftMs <= 0) break;
      try {
        return await this.askOne(host, method, request, leftMs);
      } catch (error: unknown) {
        if (!(error instanceof TransportError) && !isOfOneHost(error)) throw error;
        last = error;
      }
    }
    if (last instanceof StoreError) throw last;
    throw new StoreError("not-ready", last === undefined ? "no host is connected" : reasonOf(last), { cause: last });
  }

  /** @throws TransportError, StoreError as the host refused */
  async askOne<Request, Response extends { readonly ring?: string }>(
    host: NodeId,
    method: Method<Request, Response>,
    request: Given<Request>,
    timeoutMs: number,
  ): Promise<Response> {
    const answer = await call(this.#deps.transport, host, method, request, Math.max(1, Math.floor(timeoutMs)));
    if (answer.ring !== undefined && answer.ring !== this.#ring?.fingerprint) {
      this.#isStale = true;
      this.#deps.tasks.run("refresh membership", () => this.#refresh());
    }
    return answer;
  }

  #hostsUp(): NodeId[] {
    return (this.#ring?.hosts ?? []).flatMap(({ id }) => (this.#health.isUp(id) ? [id] : []));
  }

  async #meetSeeds(): Promise<void> {
    for (const address of this.#seeds) {
      try {
        await this.#deps.transport.meet(address);
      } catch (error: unknown) {
        this.#deps.telemetry.event({ kind: "seed-silent", address, reason: reasonOf(error) });
      }
    }
  }

  /** Overlapping calls share one. */
  #refresh(): Promise<void> {
    this.#refreshing ??= this.#refreshNow().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #refreshNow(): Promise<void> {
    const { transport, clock, telemetry } = this.#deps;
    const wasStale = this.#isStale;
    const isDue = wasStale || clock.now() - this.#refreshedMs >= this.#config.refreshIntervalMs;
    // Suspects are probed: only a sign of life clears them.
    const connected = [...transport.peers()].flatMap((peer) => (peer.connected ? [peer.id] : []));
    const asked = isDue ? [...this.hosts(), ...connected] : [...this.#health.suspects];
    // What is heard while a host is asked may be news to it, too.
    this.#isStale = false;
    for (const host of new Set(asked)) {
      try {
        const options = { name: this.#name, known: this.#roster, timeoutMs: this.#config.requestTimeoutMs };
        const told = await fetchPublicMembership(this.#deps, host, options);
        this.#refreshedMs = clock.now();
        this.#readQuorum = told.r;
        await this.#heard(told.roster, told);
        this.#deps.tasks.run("measure the hosts' time", () => this.#measureTime(timeTripMsMax));
        return;
      } catch (error: unknown) {
        if (!(error instanceof TransportError || error instanceof StoreError || error instanceof DecodeError))
          throw error;
        telemetry.event({ kind: "replica-failed", id: host, reason: reasonOf(error) });
      }
    }
    this.#isStale ||= wasStale;
  }

  /** Overlapping calls share one. */
  #measureTime(tripMsMax: number): Promise<boolean> {
    const end = (): void => void (this.#measuring = undefined);
    this.#measuring ??= { tripMsMax, done: this.#askTime(tripMsMax).finally(end) };
    return this.#measuring.done;
  }

  /** Of several hosts: see `host-time.ts`. */
  async #askTime(tripMsMax: number): Promise<boolean> {
    const { transport, telemetry } = this.#deps;
    /** False: whether it tells the time is not known. */
    const ask = async (host: NodeId): Promise<boolean> => {
      const { asked } = this.#time;
      try {
        const { wallMs } = await call(transport, host, edgeMethods.time, {}, tripMsMax);
        return this.#time.note(host, asked, { hostMs: wallMs, tripMsMax });
      } catch (error: unknown) {
        if (!(error instanceof TransportError || error instanceof StoreError)) throw error;
        telemetry.event({ kind: "replica-failed", id: host, reason: reasonOf(error) });
        return error instanceof StoreError && !isOfOneHost(error);
      }
    };
    const asked = await Promise.all(this.hosts().slice(0, hostsTimedMax).map(ask));
    return this.#time.isKnown || asked.includes(true);
  }

  async #heard(roster: Roster, { graceMs, inFlightMs }: Periods): Promise<void> {
    const { records } = this.#deps;
    const isSame = graceMs === this.#periods.graceMs && inFlightMs === this.#periods.inFlightMs;
    const isNews = roster !== this.#roster || !isSame;
    this.#periods = { graceMs, inFlightMs };
    if (roster !== this.#roster) this.#take(roster);
    this.#tellChange();
    if (!isNews) return;
    // What is lost of it in a power cut is heard again.
    const rows = [
      { kind: "put", ns: "meta", key: rosterRow, value: encodeRoster(roster) },
      { kind: "put", ns: "meta", key: periodsRow, value: PeriodsRow.encode(this.#periods) },
    ] as const;
    await records.commit(rows, { durability: "buffered" });
  }

  #take(roster: Roster): void {
    this.#roster = roster;
    const { cluster, assignment } = roster;
    this.#ring = new Ring({ n: cluster.n, members: ringMembers(roster), assignment });
    this.#locator = new Locator(this.#ring.partitions, locatedKeysMax);
    this.#keep(roster);
  }

  /** Of a large ring some: those that are connected stay. */
  #keep(roster: Roster): void {
    const all = [...addressesOf(roster, this.#deps.transport.self)];
    const weight = new Map(all.map(([id]) => [id, Number(this.#health.connected.has(id)) + this.#deps.random.next()]));
    const kept = all.toSorted(([a], [b]) => weight.get(b)! - weight.get(a)!).slice(0, this.#config.hostsMax);
    this.#deps.transport.keep(new Map(kept));
  }

  #tellChange(): void {
    const { isConnected } = this;
    if (isConnected === this.#wasConnected) return;
    this.#wasConnected = isConnected;
    // While it is offline the own clock may be set: what was measured before says nothing then.
    if (!isConnected) this.#time.forget();
    for (const listener of this.#listeners) listener();
  }
}
