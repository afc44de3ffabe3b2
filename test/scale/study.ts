/**
 * How a cluster of some size keeps its membership: the real core's membership of every host (see `member-host.ts`), over
 * wires with delay (see `mesh.ts`). Processing takes no simulated time; what it costs is measured in `costs.ts`.
 * Invariant: a run is a function of its options, so two runs give equal figures.
 */
import type { NodeId } from "../../core/identity.ts";
import { Chance } from "../sim/chance.ts";
import { Schedule } from "../sim/schedule.ts";
import { agreedRoster, type ClusterSize, description, identityOf, memberId } from "./cluster-state.ts";
import { Overlay } from "./gossip.ts";
import { MemberHost, type MemberHostDeps } from "./member-host.ts";
import { Mesh } from "./mesh.ts";

export interface StudyOptions extends ClusterSize {
  readonly gossips: boolean;
  /** See `MemberHostDeps`. */
  readonly roundsOnly?: boolean;
}

/** How something came to be known to all. */
export interface Spread {
  /** Until half of the others knew it, and all, ms. */
  readonly medianMs: number;
  readonly allMs: number;
  /** What it cost beyond what an idle cluster sends, per host. */
  readonly bytesPerHost: number;
}

interface Watch {
  readonly isTold: (host: MemberHost) => boolean;
  readonly waiting: Set<MemberHost>;
  readonly startedMs: number;
  readonly atMs: number[];
}

/** Hosts begin their rounds at different moments of this. */
const startMs = 1_000;
/** Until the last of them has told of its start, which nobody hears: they are not connected yet. */
const toldMs = 100;
/** The rounds of hosts that were connected just now have found their pace. */
const settleMs = 1_500;
/** After a change is known to all: exchanges that are still under way. */
const tailMs = 1_000;
/** Far above anything seen: a change that never arrives ends the study. */
const patienceMs = 300_000;

export class Study {
  readonly #schedule = new Schedule();
  readonly #chance: Chance;
  readonly #mesh: Mesh;
  readonly #overlay: Overlay | undefined;
  readonly #roundsOnly: boolean;
  readonly #hosts: MemberHost[] = [];
  readonly #watches = new Set<Watch>();
  #idleBytesPerMs = 0;

  private constructor(options: StudyOptions) {
    this.#chance = new Chance(`scale ${JSON.stringify(options)}`);
    this.#mesh = new Mesh(this.#schedule, this.#chance.fork("mesh"));
    this.#overlay = options.gossips ? new Overlay(this.#mesh) : undefined;
    this.#roundsOnly = options.roundsOnly ?? false;
  }

  /** All hosts run, are connected with each other, and know the same. */
  static async begin(options: StudyOptions): Promise<Study> {
    const study = new Study(options);
    const roster = await agreedRoster(options, study.#chance.fork("roster"));
    for (const id of roster.members.keys()) {
      const delayMs = study.#chance.between(0, startMs);
      study.#schedule.after(delayMs, "start", () => study.#add(MemberHost.member(study.#depsOf(id), id, roster)));
    }
    await study.#schedule.run(startMs + toldMs);
    study.#mesh.connectAll();
    await study.#runFor(settleMs);
    return study;
  }

  /** Bytes that one host sends (as many arrive) in a second in which nothing happens. */
  async rest(ms: number): Promise<number> {
    const before = this.#mesh.bytesSent;
    await this.#runFor(ms);
    this.#idleBytesPerMs = (this.#mesh.bytesSent - before) / ms;
    return (this.#idleBytesPerMs / this.#hosts.length) * 1_000;
  }

  /** A host says something new of itself: new addresses, or the mark of the hour. */
  async change(): Promise<Spread> {
    const [first] = this.#hosts;
    const incarnation = first!.cluster.ownRecord.incarnation + 1;
    const isTold = ({ cluster }: MemberHost): boolean =>
      cluster.roster.members.get(first!.id)!.incarnation >= incarnation;
    const [spread] = await this.#watch([isTold], () =>
      first!.cluster.amend({ http: `http://10.20.30.41:${incarnation}` }),
    );
    return spread!;
  }

  /** A host joins: how its record spreads, and then the tokens that it takes. */
  async join(): Promise<{ readonly record: Spread; readonly tokens: Spread }> {
    const id = memberId(this.#chance);
    const isKnown = ({ cluster }: MemberHost): boolean => cluster.roster.members.has(id);
    const hasTokens = ({ cluster }: MemberHost): boolean => cluster.ring.host(id) !== undefined;
    const seed = this.#chance.pick(this.#hosts).id;
    const [record, tokens] = await this.#watch([isKnown, hasTokens], async () => {
      this.#add(await MemberHost.newcomer(this.#depsOf(id), description(id), seed));
    });
    return { record: record!, tokens: tokens! };
  }

  /** A machine is gone, and nobody is told: how long until the others send no request there any more. */
  async silence(): Promise<Omit<Spread, "bytesPerHost">> {
    const gone = this.#hosts.pop()!;
    gone.fallSilent();
    this.#overlay?.drop(gone.id);
    const startedMs = this.#schedule.nowMs;
    const unaware = new Set(this.#hosts);
    const atMs: number[] = [];
    while (unaware.size > 0 && this.#schedule.nowMs - startedMs < patienceMs) {
      await this.#runFor(100);
      for (const host of unaware) {
        if (host.cluster.health.isUp(gone.id)) continue;
        unaware.delete(host);
        atMs.push(this.#schedule.nowMs - startedMs);
      }
    }
    return spreadOf({ startedMs: 0, atMs }, this.#hosts.length);
  }

  #depsOf(id: NodeId): MemberHostDeps {
    const gossip = this.#overlay?.of(id);
    const own = { chance: this.#chance.fork(id), identity: identityOf(id), ...(gossip && { gossip }) };
    return { mesh: this.#mesh, roundsOnly: this.#roundsOnly, ...own };
  }

  #add(host: MemberHost): void {
    this.#hosts.push(host);
    host.cluster.onChange(() => this.#look(host));
    this.#look(host);
  }

  #look(host: MemberHost): void {
    for (const { isTold, waiting, startedMs, atMs } of this.#watches) {
      if (waiting.has(host) && isTold(host) && waiting.delete(host)) atMs.push(this.#schedule.nowMs - startedMs);
    }
  }

  /** Each is watched from the beginning; the bytes are those of all of it. */
  async #watch(conditions: readonly Watch["isTold"][], begin: () => Promise<void>): Promise<Spread[]> {
    const startedMs = this.#schedule.nowMs;
    const before = this.#mesh.bytesSent;
    const watches = conditions.map((isTold) => ({ isTold, waiting: new Set(this.#hosts), startedMs, atMs: [] }));
    for (const watch of watches) this.#watches.add(watch);
    const begun = begin();
    const isOver = (): boolean => watches.every(({ waiting }) => waiting.size === 0);
    await this.#schedule.run(startedMs + patienceMs, isOver);
    await this.#runFor(tailMs);
    await begun;
    this.#watches.clear();
    const idleBytes = this.#idleBytesPerMs * (this.#schedule.nowMs - startedMs);
    const bytesPerHost = (this.#mesh.bytesSent - before - idleBytes) / this.#hosts.length;
    return watches.map((watch) => ({ ...spreadOf(watch, watch.waiting.size + watch.atMs.length), bytesPerHost }));
  }

  #runFor(ms: number): Promise<void> {
    return this.#schedule.run(this.#schedule.nowMs + ms);
  }
}

/** @throws Error when some never heard of it */
function spreadOf({ atMs }: Pick<Watch, "startedMs" | "atMs">, hosts: number): Omit<Spread, "bytesPerHost"> {
  if (atMs.length < hosts) throw new Error(`only ${atMs.length} of ${hosts} hosts heard of it in ${patienceMs} ms`);
  return { medianMs: atMs[Math.floor(atMs.length / 2)]!, allMs: atMs.at(-1)! };
}
