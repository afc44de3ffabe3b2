/**
 * get (PROTOCOL 6): ask R replicas, merge, answer; then mend whoever was behind.
 * The own copy comes first and others answer "same" to its digest; a slow replica is overtaken by asking the next one.
 */
import { clockDigest } from "../causality/clock.ts";
import { merge, nothing, type Versioned } from "../causality/version-set.ts";
import { decodeVersioned, encodeVersioned } from "../causality/encoding.ts";
import type { QuorumSpec } from "../config.ts";
import { equalBytes } from "../bytes/compare.ts";
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import type { LocatedKey } from "../placement/locate.ts";
import type { PartitionView } from "../quorum/holders.ts";
import { type ReadOutcome, type ReadRole, ReadTally } from "../quorum/read-tally.ts";
import { resolveQuorum } from "../quorum/resolve.ts";
import { call, methods } from "../rpc/rpc.ts";
import { reasonOf } from "../tasks.ts";
import type { CoordinateDeps } from "./deps.ts";

export interface ReadRequest {
  readonly r: QuorumSpec;
  readonly timeoutMs: number;
  /** Ask every owner, and wait for all: for healing. */
  readonly all?: boolean;
}

export interface ReadState {
  readonly state: Versioned;
  readonly degraded: boolean;
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
    const { outcome, state, replied } = await new Reading(deps, located, { ...request, r, deadlineMs }).run();
    if (ring !== cluster.ring.fingerprint && tries < triesMax) continue;
    if (outcome.kind === "met") return { state, degraded: false };
    if (outcome.kind === "degraded" && state.values.length > 0) return { state, degraded: true };
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
}

/** One round of asking. Lives on after the answer until all that were asked have answered, then repairs. */
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
  #settle: (result: Result) => void = () => {};
  #settled = false;
  #stopTimers: () => void = () => {};

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
      this.#settle = resolve;
    });
    await this.#readHere();
    this.#checkOutcome();
    if (!this.#settled || this.#asksAll) this.#askFirst();
    return done;
  }

  /** Own copy first, then the owners that answer fastest, then other complete holders, then stand-ins. */
  #candidatesInOrder(): NodeId[] {
    const { cluster } = this.#deps;
    const { ring, self, health } = cluster;
    const isOther = (node: NodeId): boolean => node !== self && health.isUp(node);
    const owners = health.byRoundTrip(this.#view.owners.filter(isOther));
    const former = this.#ownerFilling()
      ? [...this.#view.holders.keys()].filter((node) => isOther(node) && !this.#view.owners.includes(node))
      : [];
    const missing = this.#view.owners.length - owners.length - (this.#view.owners.includes(self) ? 1 : 0);
    if (missing === 0) return [...owners, ...former];
    const walk = ring.walk(this.#located.partition).slice(this.#view.owners.length);
    const standIns = walk.filter((node) => isOther(node) && !former.includes(node));
    return [...owners, ...former, ...standIns];
  }

  #ownerFilling(): boolean {
    return this.#view.owners.some((owner) => this.#view.holders.get(owner) === "filling");
  }

  async #readHere(): Promise<void> {
    const { cluster, replica } = this.#deps;
    const copy = await replica.read(this.#located);
    if (copy.role === "none") return;
    this.#tally.ask(cluster.self);
    this.#take(cluster.self, copy.role, { state: copy.held.state, digest: copy.held.digest });
  }

  /** As few as can suffice; all of them for a share of the reads, so that rarely read replicas are mended too. */
  #askFirst(): void {
    const { clock, config, cluster } = this.#deps;
    const missing =
      this.#asksAll || this.#ownerFilling() ? this.#candidates.length : this.#request.r - this.#replies.size;
    for (let i = 0; i < Math.max(missing, 1); i++) this.#askNext();
    this.#checkOutcome();
    if (this.#settled) return;
    const [slowest] = this.#view.owners.filter((owner) => owner !== cluster.self);
    const p95 = slowest === undefined ? 0 : (cluster.health.state(slowest)?.rttP95Ms ?? 0);
    const stopSpeculation = clock.after(Math.max(p95, config.speculativeDelayMinMs), () => this.#speculate());
    const stopDeadline = clock.after(Math.max(0, this.#request.deadlineMs - clock.now()), () => this.#expire());
    this.#stopTimers = () => {
      stopSpeculation();
      stopDeadline();
    };
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
      const isNew = (): boolean => !this.#knows(response.digest);
      if (response.state === undefined && isNew()) response = await this.#copyAt(node, undefined);
      const state = response.state === undefined ? undefined : decodeVersioned(response.state);
      const role = response.role === "none" ? "hint" : response.role;
      this.#waiting -= 1;
      this.#take(node, role, { state, digest: response.digest });
    } catch (error: unknown) {
      this.#deps.telemetry.event({ kind: "replica-failed", id: node, reason: reasonOf(error) });
      this.#waiting -= 1;
      this.#tally.fail(node);
      if (!this.#settled) this.#askNext();
    }
    this.#checkOutcome();
    if (this.#waiting === 0) this.#repair();
  }

  #copyAt(node: NodeId, inlineBytesMax: number | undefined): Promise<ReturnType<typeof methods.fetch.response.decode>> {
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

  #checkOutcome(): void {
    let outcome = this.#tally.outcome();
    while (!this.#settled && outcome.kind !== "pending" && outcome.kind !== "met" && this.#askNext()) {
      outcome = this.#tally.outcome();
    }
    if (this.#settled || outcome.kind === "pending") return;
    if (this.#request.all === true && this.#waiting > 0) return;
    this.#finish(outcome);
  }

  #speculate(): void {
    if (this.#settled || !this.#askNext()) return;
    this.#deps.telemetry.event({ kind: "speculative-read" });
  }

  #expire(): void {
    if (this.#settled) return;
    const { replied } = this.#tally;
    const enough = replied.length >= this.#request.r;
    this.#finish(enough ? { kind: "degraded" } : { kind: "failed", needed: this.#request.r, got: replied.length });
  }

  #finish(outcome: ReadOutcome): void {
    this.#settled = true;
    this.#stopTimers();
    this.#settle({ outcome, state: this.#state, replied: this.#tally.replied });
    if (this.#waiting === 0) this.#repair();
  }

  /** After the answer: the merged state goes to every holder that answered with less (read repair, paper 5). */
  #repair(): void {
    if (!this.#settled || this.#digest === undefined) return;
    const target = this.#digest;
    const behind = [...this.#replies].filter(([, { role, digest }]) => role !== "hint" && !equalBytes(digest, target));
    this.#replies.clear();
    if (behind.length === 0) return;
    const { deps, located } = { deps: this.#deps, located: this.#located };
    deps.telemetry.event({ kind: "read-repair", replicas: behind.length });
    const state = encodeVersioned(this.#state);
    const heals = this.#tally.outcome().kind === "met";
    for (const [node] of behind) {
      deps.tasks.run("read repair", () =>
        node === deps.cluster.self
          ? deps.replica.apply(located, state, { heals })
          : call(
              deps.transport,
              node,
              methods.replicate,
              { view: deps.exchange.view(), key: located.key, state, heals },
              deps.config.replicaTimeoutMs,
            ),
      );
    }
  }
}
