/**
 * get (PROTOCOL 6): ask R replicas, merge, answer; then mend whoever was behind.
 * The own copy comes first and others answer "same" to its digest; a slow replica is overtaken by asking the next one.
 */
import { merge, siblings } from "../causality/version-set.ts";
import { decodeVersioned } from "../causality/encoding.ts";
import type { QuorumSpec } from "../config.ts";
import type { Infer } from "../bytes/codec.ts";
import { equalBytes } from "../bytes/compare.ts";
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import type { LocatedKey } from "../placement/locate.ts";
import type { Stop } from "../ports.ts";
import type { PartitionView } from "../quorum/holders.ts";
import { type Lacking, type ReadOutcome, type ReadRole, ReadTally } from "../quorum/read-tally.ts";
import type { Copy } from "../replica/copy.ts";
import { CachedState, neverWritten } from "../replica/state-cache.ts";
import { resolveQuorum } from "../quorum/resolve.ts";
import { call, methods } from "../rpc/rpc.ts";
import { reasonOf } from "../tasks.ts";
import type { CoordinateDeps } from "./deps.ts";
import { type Failure, othersText } from "./others.ts";

export interface ReadRequest {
  readonly r: QuorumSpec;
  readonly timeoutMs: number;
  /** Ask every owner, and wait for all: for healing, where finding nothing is an answer too. */
  readonly all?: boolean;
  /** What was deleted or has expired is found too: for who judges by what a state covers, not by what there is to read. */
  readonly deleted?: boolean;
}

export interface ReadState {
  /** The merge of what was found; not decoded as long as all that answered have the same as this node. */
  readonly held: CachedState;
  readonly degraded: boolean;
  readonly answered: readonly NodeId[];
  /** Enough other copies went into it to mend a damaged one of this node; only where all were asked. */
  readonly healsOwn: boolean;
}

/** The ring may change under a read; after this many tries the answer counts as it is. */
const triesMax = 3;

/**
 * @throws StoreError `quorum-not-met`: fewer than R replies, or nothing found and too few to call it absent
 */
export async function readState(deps: CoordinateDeps, located: LocatedKey, request: ReadRequest): Promise<ReadState> {
  const { cluster, clock } = deps;
  const r = resolveQuorum(request.r, cluster.replicas, "r");
  const startedMs = clock.now();
  const deadlineMs = startedMs + request.timeoutMs;
  for (let tries = 1; ; tries++) {
    const ring = cluster.ring.fingerprint;
    const reading = new Reading(deps, located, { ...request, r, deadlineMs });
    const outcome = await reading.run();
    const isOnOneRing = ring === cluster.ring.fingerprint;
    if (!isOnOneRing && tries < triesMax) continue;
    const { held, replied: answered } = reading;
    const healsOwn = request.all === true && isOnOneRing && reading.heals(cluster.self);
    if (outcome.kind === "met") return { held, degraded: false, answered, healsOwn };
    // A value that is not found may be in hints out of reach, newer than the delete that is found.
    const found = request.deleted === true ? held.state.values : siblings(held.state, clock.wallTime());
    const isAnswer = request.all === true || found.length > 0;
    if (outcome.kind === "degraded" && isAnswer) return { held, degraded: true, answered, healsOwn };
    const got = outcome.kind === "failed" ? outcome.got : answered.length;
    const others = `${reading.others} after ${Math.round(clock.now() - startedMs)} ms`;
    const text =
      outcome.kind === "degraded"
        ? `${got} replicas answered for ${located.key} and none has a value, but too few of them are complete to call it absent${others}`
        : `${r} of ${cluster.replicas} replicas needed for get, ${got} answered${others}`;
    throw new StoreError("quorum-not-met", text, { needed: r, got, from: answered });
  }
}

interface Reply {
  readonly from: NodeId;
  readonly role: ReadRole;
  readonly digest: Uint8Array;
}

/** One round of asking. Lives on after the answer until all that were asked have answered, then repairs, once. */
class Reading {
  readonly #deps: CoordinateDeps;
  readonly #located: LocatedKey;
  readonly #request: ReadRequest & { readonly r: number; readonly deadlineMs: number };
  readonly #view: PartitionView;
  readonly #ring: string;
  readonly #tally: ReadTally;
  /** All owners are asked: to heal, or because this read was drawn to check them. */
  readonly #asksAll: boolean;
  readonly #asked: NodeId[] = [];
  readonly #replies: Reply[] = [];
  readonly #failures: Failure[] = [];
  #waiting = 0;
  #held: CachedState | undefined;
  #outcome: ReadOutcome | undefined;
  #answer: (outcome: ReadOutcome) => void = () => {};
  #repaired = false;
  #stopTimers: Stop = () => {};

  constructor(
    deps: CoordinateDeps,
    located: LocatedKey,
    request: ReadRequest & { readonly r: number; readonly deadlineMs: number },
  ) {
    this.#deps = deps;
    this.#located = located;
    this.#request = request;
    this.#view = deps.cluster.partitionView(located.partition);
    this.#ring = deps.cluster.ring.fingerprint;
    this.#tally = new ReadTally(this.#view, request.r);
    this.#asksAll = request.all === true || deps.random.next() < deps.config.readRepairShare;
  }

  /** The merge of what was found, once `run` has an outcome. */
  get held(): CachedState {
    return this.#held ?? neverWritten;
  }

  get replied(): readonly NodeId[] {
    return this.#tally.replied;
  }

  /** What became of those that did not reply. */
  get others(): string {
    const { health } = this.#deps.cluster;
    const away = this.#view.owners.filter((owner) => !this.#asked.includes(owner) && !health.isUp(owner));
    return othersText(this.#failures, { away, silent: this.#waiting });
  }

  async run(): Promise<ReadOutcome> {
    const { cluster, replica } = this.#deps;
    const own = replica.readInMemory(this.#located) ?? (await this.#readHere());
    if (own !== undefined && own.role !== "none") this.#take(cluster.self, own.role, own.held.digest, own.held);
    this.#askMore();
    this.#proceed();
    if (this.#outcome !== undefined) return this.#outcome;
    this.#startTimers();
    return new Promise((resolve) => {
      this.#answer = resolve;
    });
  }

  #ownerFilling(): boolean {
    return this.#view.owners.some((owner) => this.#view.holders.get(owner) === "filling");
  }

  async #readHere(): Promise<Copy | undefined> {
    const { cluster, replica, telemetry } = this.#deps;
    try {
      return await replica.read(this.#located);
    } catch (error: unknown) {
      // A disk that cannot be read is one replica fewer, not a failed request.
      this.#failures.push({ node: cluster.self, error });
      telemetry.event({ kind: "replica-failed", id: cluster.self, reason: reasonOf(error) });
      return undefined;
    }
  }

  /**
   * As few more as can suffice without those that have not answered yet, if they are what they are known to be; all of them
   * for a share of the reads, so that rarely read replicas are mended too. Owners that are filling come last: a host
   * that has just joined would else be asked for everything at once. False: there is nobody left to ask, or no need to.
   */
  #askMore(): boolean {
    const { r } = this.#request;
    const before = this.#asked.length;
    const lacking = (): Lacking => this.#tally.lacking(this.#asked.slice(before));
    const isEnough = ({ owners, complete }: Lacking): boolean => !this.#asksAll && owners <= 0 && complete <= 0;
    let now = lacking();
    if (isEnough(now)) return false;
    while (!isEnough(now)) {
      const holder = this.#nextHolder(now);
      if (holder === undefined) break;
      this.#send(holder);
      now = lacking();
    }
    const count = (): number => this.#replies.length + this.#asked.length - before;
    while (this.#asksAll || this.#asked.length === before || count() < r) {
      const standIn = this.#nextStandIn();
      if (standIn === undefined) break;
      this.#send(standIn);
    }
    return this.#asked.length > before;
  }

  /** Goes as far as what is known allows: waits, asks one more, answers, repairs. Called after every change. */
  #proceed(): void {
    while (this.#outcome === undefined) {
      const outcome = this.#tally.outcome();
      if (outcome.kind === "pending") return;
      if (outcome.kind !== "met" && this.#askMore()) continue;
      if (this.#request.all === true && this.#waiting > 0) return;
      this.#finish(outcome);
    }
    if (this.#waiting === 0) this.#repair();
  }

  #startTimers(): void {
    const { clock, config, cluster, deadlines } = this.#deps;
    const first = this.#view.owners.find((owner) => owner !== cluster.self);
    const p95 = first === undefined ? 0 : (cluster.health.state(first)?.rttP95Ms ?? 0);
    const stopSpeculation = clock.after(Math.max(p95, config.speculativeDelayMinMs), () => this.#speculate());
    const stopDeadline = deadlines.add(this.#request.deadlineMs, () => this.#expire());
    this.#stopTimers = () => {
      stopSpeculation();
      stopDeadline();
    };
  }

  #send(node: NodeId): void {
    this.#asked.push(node);
    this.#tally.ask(node);
    this.#waiting += 1;
    this.#deps.tasks.run("read", () => this.#ask(node));
  }

  #mayAsk(node: NodeId): boolean {
    const { self, health } = this.#deps.cluster;
    return node !== self && health.isUp(node) && !this.#asked.includes(node);
  }

  /** The complete owners, those first that answer fastest; then whoever is lacking: other owners, or other holders. */
  #nextHolder(lacking: Lacking): NodeId | undefined {
    const { health } = this.#deps.cluster;
    const { owners, holders } = this.#view;
    const mayAsk = (node: NodeId): boolean => this.#mayAsk(node);
    const complete = health.fastest(owners, (owner) => holders.get(owner) !== "filling" && mayAsk(owner));
    if (complete !== undefined) return complete;
    const owner = health.fastest(owners, mayAsk);
    if (!this.#ownerFilling() && lacking.complete <= 0) return owner;
    const other = [...holders.keys()].find((node) => !owners.includes(node) && mayAsk(node));
    return lacking.owners > 0 ? (owner ?? other) : (other ?? owner);
  }

  #nextStandIn(): NodeId | undefined {
    const { ring, self, health } = this.#deps.cluster;
    const { owners } = this.#view;
    if (!owners.some((node) => node !== self && !health.isUp(node))) return undefined;
    return ring.walk(this.#located.partition).find((node) => !owners.includes(node) && this.#mayAsk(node));
  }

  async #ask(node: NodeId): Promise<void> {
    try {
      const inlineBytesMax = this.#held === undefined ? undefined : this.#deps.config.inlineValueBytesMax;
      let response = await this.#copyAt(node, inlineBytesMax);
      // Too large to come unasked, and not what the others have: now it is needed.
      if (response.state === undefined && !this.#knows(response.digest)) response = await this.#copyAt(node, undefined);
      const { role, digest, state } = response;
      const held = state === undefined ? undefined : new CachedState(decodeVersioned(state), state, digest);
      this.#take(node, role === "none" ? "hint" : role, digest, held);
    } catch (error: unknown) {
      this.#deps.telemetry.event({ kind: "replica-failed", id: node, reason: reasonOf(error) });
      this.#tally.fail(node);
      this.#failures.push({ node, error });
    }
    this.#waiting -= 1;
    this.#proceed();
  }

  #copyAt(node: NodeId, inlineBytesMax: number | undefined): Promise<Infer<typeof methods.fetch.response>> {
    const { exchange, transport, config } = this.#deps;
    const request = {
      view: exchange.view(),
      key: this.#located.key,
      ...(this.#held === undefined ? {} : { have: this.#held.digest }),
      ...(inlineBytesMax === undefined ? {} : { inlineBytesMax }),
    };
    return call(transport, node, methods.fetch, request, config.replicaTimeoutMs);
  }

  #knows(digest: Uint8Array): boolean {
    if (this.#held !== undefined && equalBytes(this.#held.digest, digest)) return true;
    return this.#replies.some((reply) => equalBytes(reply.digest, digest));
  }

  /** `held`: undefined where somebody else's copy has the same digest. */
  #take(from: NodeId, role: ReadRole, digest: Uint8Array, held: CachedState | undefined): void {
    this.#replies.push({ from, role, digest });
    this.#tally.reply(from, role);
    if (held !== undefined) this.#held = this.#held === undefined ? held : merged(this.#held, held);
  }

  #speculate(): void {
    if (this.#outcome !== undefined || !this.#askMore()) return;
    this.#deps.telemetry.event({ kind: "speculative-read" });
  }

  #expire(): void {
    if (this.#outcome !== undefined) return;
    const { replied } = this.#tally;
    const { r } = this.#request;
    this.#finish(replied.length >= r ? { kind: "degraded" } : { kind: "failed", needed: r, got: replied.length });
  }

  #finish(outcome: ReadOutcome): void {
    this.#outcome = outcome;
    this.#stopTimers();
    this.#answer(outcome);
  }

  /** The merged state goes to every holder that answered with less (read repair, paper 5). */
  #repair(): void {
    if (this.#repaired || this.#held === undefined) return;
    this.#repaired = true;
    // What was forgotten since must not come back: read too long ago (a process may sleep), or of one that was a member then.
    const { clock, cluster, config } = this.#deps;
    if (clock.now() > this.#request.deadlineMs + config.inFlightMsMax / 2) return;
    if (this.#ring !== cluster.ring.fingerprint) return;
    const target = this.#held.digest;
    const behind = this.#replies.filter(({ role, digest }) => role !== "hint" && !equalBytes(digest, target));
    if (behind.length === 0) return;
    this.#deps.telemetry.event({ kind: "read-repair", replicas: behind.length });
    const state = this.#held.toBytes();
    for (const { from } of behind) {
      const heals = this.heals(from);
      this.#deps.tasks.run("read repair", () => this.#mend(from, state, heals));
    }
  }

  async #mend(node: NodeId, state: Uint8Array, heals: boolean): Promise<void> {
    const { cluster, replica, transport, exchange, config } = this.#deps;
    if (node === cluster.self) {
      await replica.apply(this.#located, state, { heals });
      return;
    }
    const request = { view: exchange.view(), key: this.#located.key, state, heals };
    await call(transport, node, methods.replicate, request, config.replicaTimeoutMs);
  }

  /**
   * Whether the merged state makes a damaged record of this node whole again: with the complete copies of all other
   * owners, for fewer may have missed what only the damaged record had together with one that did not answer. Where all
   * other owners have answered and some are damaged or filling themselves, nobody has more, and waiting would be for ever.
   */
  heals(node: NodeId): boolean {
    const others = this.#view.owners.filter((owner) => owner !== node);
    const complete = this.#replies.filter(({ from, role }) => role === "complete" && from !== node).length;
    const hasReplied = (owner: NodeId): boolean => this.#replies.some(({ from }) => from === owner);
    const isEveryoneHeard = others.length > 0 && others.every(hasReplied);
    return isEveryoneHeard || complete >= Math.max(1, this.#view.owners.length - 1);
  }
}

/** One of the two itself where the other adds nothing. */
function merged(a: CachedState, b: CachedState): CachedState {
  const [ours, theirs] = [a.state, b.state];
  const state = merge(ours, theirs);
  if (state === ours) return a;
  return state === theirs ? b : new CachedState(state, undefined);
}
