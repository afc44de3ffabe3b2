/**
 * get (PROTOCOL 6): ask R replicas, merge, answer; then mend whoever was behind.
 * The own copy comes first and others answer "same" to its digest; a slow replica is overtaken by asking the next one.
 */
import { clockDigest } from "../causality/clock.ts";
import { merge, nothing, type Versioned } from "../causality/version-set.ts";
import { decodeVersioned, encodeVersioned } from "../causality/encoding.ts";
import type { QuorumSpec } from "../config.ts";
import type { Infer } from "../bytes/codec.ts";
import { equalBytes } from "../bytes/compare.ts";
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import type { LocatedKey } from "../placement/locate.ts";
import type { Stop } from "../ports.ts";
import type { PartitionView } from "../quorum/holders.ts";
import { type ReadOutcome, type ReadRole, ReadTally } from "../quorum/read-tally.ts";
import type { Copy } from "../replica/replica.ts";
import { resolveQuorum } from "../quorum/resolve.ts";
import { call, methods } from "../rpc/rpc.ts";
import { reasonOf } from "../tasks.ts";
import type { CoordinateDeps } from "./deps.ts";

export interface ReadRequest {
  readonly r: QuorumSpec;
  readonly timeoutMs: number;
  /** Ask every owner, and wait for all: for healing, where finding nothing is an answer too. */
  readonly all?: boolean;
}

export interface ReadState {
  readonly state: Versioned;
  readonly degraded: boolean;
  /** Enough other copies went into it to mend a damaged one of this node. */
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
  const deadlineMs = clock.now() + request.timeoutMs;
  for (let tries = 1; ; tries++) {
    const ring = cluster.ring.fingerprint;
    const { outcome, state, replied, healsOwn } = await new Reading(deps, located, {
      ...request,
      r,
      deadlineMs,
    }).run();
    if (ring !== cluster.ring.fingerprint && tries < triesMax) continue;
    if (outcome.kind === "met") return { state, degraded: false, healsOwn };
    const isAnswer = state.values.length > 0 || request.all === true;
    if (outcome.kind === "degraded" && isAnswer) return { state, degraded: true, healsOwn };
    const got = outcome.kind === "failed" ? outcome.got : replied.length;
    throw new StoreError("quorum-not-met", unmetText(located, { r, got, outcome, timeoutMs: request.timeoutMs }), {
      needed: r,
      got,
      from: replied,
    });
  }
}

function unmetText(
  located: LocatedKey,
  { r, got, outcome, timeoutMs }: { r: number; got: number; outcome: ReadOutcome; timeoutMs: number },
): string {
  if (outcome.kind === "degraded") {
    return `${got} replicas answered for ${located.key} and none has it, but too few of them are complete to call it absent`;
  }
  return `${r} replicas needed for get, ${got} answered within ${timeoutMs} ms`;
}

interface Reply {
  readonly role: ReadRole;
  readonly digest: Uint8Array;
}

interface Result {
  readonly outcome: ReadOutcome;
  readonly state: Versioned;
  readonly replied: readonly NodeId[];
  readonly healsOwn: boolean;
}

/** One round of asking. Lives on after the answer until all that were asked have answered, then repairs, once. */
class Reading {
  readonly #deps: CoordinateDeps;
  readonly #located: LocatedKey;
  readonly #request: ReadRequest & { readonly r: number; readonly deadlineMs: number };
  readonly #view: PartitionView;
  readonly #tally: ReadTally;
  readonly #candidates: NodeId[];
  /** All owners are asked: to heal, or because this read was drawn to check them. */
  readonly #asksAll: boolean;
  readonly #replies = new Map<NodeId, Reply>();
  #waiting = 0;
  #state: Versioned = nothing;
  #digest: Uint8Array | undefined;
  #answer: (result: Result) => void = () => {};
  #answered = false;
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
    this.#tally = new ReadTally(this.#view, request.r);
    this.#candidates = this.#candidatesInOrder();
    this.#asksAll = request.all === true || deps.random.next() < deps.config.readRepairShare;
  }

  async run(): Promise<Result> {
    const done = new Promise<Result>((resolve) => {
      this.#answer = resolve;
    });
    await this.#readHere();
    this.#askAtOnce();
    this.#proceed();
    if (!this.#answered) this.#startTimers();
    return done;
  }

  /** Own copy first, then the owners that answer fastest, then other complete holders, then stand-ins. */
  #candidatesInOrder(): NodeId[] {
    const { ring, self, health } = this.#deps.cluster;
    const { owners } = this.#view;
    const isOther = (node: NodeId): boolean => node !== self && health.isUp(node);
    const ownersUp = health.byRoundTrip(owners.filter(isOther));
    const former = this.#ownerFilling()
      ? [...this.#view.holders.keys()].filter((node) => isOther(node) && !owners.includes(node))
      : [];
    const missing = owners.length - ownersUp.length - (owners.includes(self) ? 1 : 0);
    if (missing === 0) return [...ownersUp, ...former];
    const standIns = ring.walk(this.#located.partition).slice(owners.length);
    return [...ownersUp, ...former, ...standIns.filter((node) => isOther(node) && !former.includes(node))];
  }

  #ownerFilling(): boolean {
    return this.#view.owners.some((owner) => this.#view.holders.get(owner) === "filling");
  }

  async #readHere(): Promise<void> {
    const { cluster, replica } = this.#deps;
    let copy: Copy;
    try {
      copy = await replica.read(this.#located);
    } catch (error: unknown) {
      // A disk that cannot be read is one replica fewer, not a failed request.
      this.#deps.telemetry.event({ kind: "replica-failed", id: cluster.self, reason: reasonOf(error) });
      return;
    }
    if (copy.role === "none") return;
    this.#take(cluster.self, copy.role, { state: copy.held.state, digest: copy.held.digest });
  }

  /** As few as can suffice; all of them for a share of the reads, so that rarely read replicas are mended too. */
  #askAtOnce(): void {
    const isWide = this.#asksAll || this.#ownerFilling();
    const count = isWide ? this.#candidates.length : this.#request.r - this.#replies.size;
    for (let i = 0; i < count; i++) this.#askNext();
  }

  /** Goes as far as what is known allows: waits, asks one more, answers, repairs. Called after every change. */
  #proceed(): void {
    while (!this.#answered) {
      const outcome = this.#tally.outcome();
      if (outcome.kind === "pending") return;
      if (outcome.kind !== "met" && this.#askNext()) continue;
      if (this.#request.all === true && this.#waiting > 0) return;
      this.#finish(outcome);
    }
    if (this.#waiting === 0) this.#repair();
  }

  #startTimers(): void {
    const { clock, config, cluster } = this.#deps;
    const [first] = this.#view.owners.filter((owner) => owner !== cluster.self);
    const p95 = first === undefined ? 0 : (cluster.health.state(first)?.rttP95Ms ?? 0);
    const stops = [
      clock.after(Math.max(p95, config.speculativeDelayMinMs), () => this.#speculate()),
      clock.after(Math.max(0, this.#request.deadlineMs - clock.now()), () => this.#expire()),
    ];
    this.#stopTimers = () => stops.forEach((stop) => stop());
  }

  #askNext(): boolean {
    const node = this.#candidates.shift();
    if (node === undefined) return false;
    this.#tally.ask(node);
    this.#waiting += 1;
    this.#deps.tasks.run("read", () => this.#ask(node));
    return true;
  }

  async #ask(node: NodeId): Promise<void> {
    try {
      const inlineBytesMax = this.#digest === undefined ? undefined : this.#deps.config.inlineValueBytesMax;
      let response = await this.#copyAt(node, inlineBytesMax);
      // Too large to come unasked, and not what the others have: now it is needed.
      if (response.state === undefined && !this.#knows(response.digest)) response = await this.#copyAt(node, undefined);
      const state = response.state === undefined ? undefined : decodeVersioned(response.state);
      this.#take(node, response.role === "none" ? "hint" : response.role, { state, digest: response.digest });
    } catch (error: unknown) {
      this.#deps.telemetry.event({ kind: "replica-failed", id: node, reason: reasonOf(error) });
      this.#tally.fail(node);
    }
    this.#waiting -= 1;
    this.#proceed();
  }

  #copyAt(node: NodeId, inlineBytesMax: number | undefined): Promise<Infer<typeof methods.fetch.response>> {
    const { exchange, transport, config } = this.#deps;
    const request = {
      view: exchange.view(),
      key: this.#located.key,
      ...(this.#digest === undefined ? {} : { have: this.#digest }),
      ...(inlineBytesMax === undefined ? {} : { inlineBytesMax }),
    };
    return call(transport, node, methods.fetch, request, config.replicaTimeoutMs);
  }

  #knows(digest: Uint8Array): boolean {
    if (this.#digest !== undefined && equalBytes(this.#digest, digest)) return true;
    return [...this.#replies.values()].some((reply) => equalBytes(reply.digest, digest));
  }

  #take(from: NodeId, role: ReadRole, { state, digest }: { state: Versioned | undefined; digest: Uint8Array }): void {
    this.#replies.set(from, { role, digest });
    this.#tally.reply(from, role);
    if (state === undefined) return;
    const merged = merge(this.#state, state);
    if (merged === this.#state && this.#digest !== undefined) return;
    this.#state = merged;
    this.#digest = merged === state ? digest : clockDigest(merged);
  }

  #speculate(): void {
    if (this.#answered || !this.#askNext()) return;
    this.#deps.telemetry.event({ kind: "speculative-read" });
  }

  #expire(): void {
    if (this.#answered) return;
    const { replied } = this.#tally;
    const { r } = this.#request;
    this.#finish(replied.length >= r ? { kind: "degraded" } : { kind: "failed", needed: r, got: replied.length });
  }

  #finish(outcome: ReadOutcome): void {
    this.#answered = true;
    this.#stopTimers();
    const healsOwn = this.#heals(this.#deps.cluster.self);
    this.#answer({ outcome, state: this.#state, replied: this.#tally.replied, healsOwn });
  }

  /** The merged state goes to every holder that answered with less (read repair, paper 5). */
  #repair(): void {
    if (this.#repaired || this.#digest === undefined) return;
    this.#repaired = true;
    // Read too long ago (a process may sleep): what was forgotten since must not come back.
    const { clock, config } = this.#deps;
    if (clock.now() > this.#request.deadlineMs + config.inFlightMsMax / 2) return;
    const target = this.#digest;
    const behind = [...this.#replies].filter(([, { role, digest }]) => role !== "hint" && !equalBytes(digest, target));
    if (behind.length === 0) return;
    this.#deps.telemetry.event({ kind: "read-repair", replicas: behind.length });
    const state = encodeVersioned(this.#state);
    for (const [node] of behind) {
      const heals = this.#heals(node);
      this.#deps.tasks.run("read repair", () => this.#mend(node, state, heals));
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
  #heals(node: NodeId): boolean {
    const others = this.#view.owners.filter((owner) => owner !== node);
    const complete = [...this.#replies].filter(([from, { role }]) => role === "complete" && from !== node).length;
    const isEveryoneHeard = others.length > 0 && others.every((owner) => this.#replies.has(owner));
    return isEveryoneHeard || complete >= Math.max(1, this.#view.owners.length - 1);
  }
}
