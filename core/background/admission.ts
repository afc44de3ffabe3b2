/**
 * Background work yields to requests: the paper's admission controller (6.5), a feedback loop on the requests' own latency.
 *
 * Each step of background work waits for its turn, and while clients are served, turns come at an interval. The requests
 * that began just after a step are compared with those that did not: where the tail of the former is worse, the interval
 * grows, else it shrinks; so background work gets what costs clients nothing. An absolute threshold alone would let it
 * raise a p99 of 5 ms to 50, and would stop it on a host that is slow for another reason, which helps nobody.
 * What is not known is assumed to hurt: work begins at the longest interval. A host without clients does not wait.
 * Invariants: a turn always comes, in the order asked for, to all but those who wait for it no more; with clients, at most one step begins per interval.
 */
import type { Clock } from "../ports.ts";
import type { Telemetry } from "../telemetry.ts";
import { Latencies } from "./latencies.ts";

export interface AdmissionOptions {
  /** The p99 of requests that background work must not endanger, ms: near it nothing at all may be added. */
  readonly latencyThresholdMs: number;
  /** Requests older than this say nothing about now. The paper looks at 60 s; shorter reacts while it still helps. */
  readonly windowMs: number;
  /** Longest wait between two steps: even a host that is always busy converges. */
  readonly waitMaxMs: number;
}

/** Changes of the interval within one window. */
const adaptationsPerWindow = 20;
/** About what a step takes: a request that begins within it has waited for the step. */
const shadowMs = 4;
/** What may be added to the tail. Below the 1.25 times that clients are promised, as it is noticed late. */
const harmlessShare = 1.15;
const nearShare = 0.75;
/**
 * Compared as near to the tail as the few that began beside a step allow: what clients notice of steps is less the step
 * itself, which few meet, than the collections of garbage and the flushes that come with some of them.
 */
const compared = 0.98;
const samplesMin = 50;
/** Of a comparison of few: quickly away from what may hurt, and nearer to it only when four of five find no harm. */
const slowDown = 1.5;
const speedUp = 0.9;
/** At shorter intervals most requests begin beside a step, and there is nothing to compare with. */
const waitMinMs = 4 * shadowMs;
/** Clients who asked nothing for this long are not waiting. */
const quietMs = 1_000;
/** Steps remembered: those of the longest request that can be told apart, at the shortest interval. */
const stepsKept = 256;

export class Admission {
  readonly #clock: Clock;
  readonly #options: AdmissionOptions;
  readonly #beside = new Latencies();
  readonly #alone = new Latencies();
  /** When the last steps began; a ring buffer. */
  readonly #steps = new Float64Array(stepsKept).fill(-Infinity);
  #stepCount = 0;
  readonly #waiting: { readonly grant: (isTurn: boolean) => void; readonly deadlineMs: number }[] = [];
  #donePart = 0;
  #intervalMs: number;
  #adaptedMs: number;
  #requestMs = -Infinity;

  constructor(clock: Clock, options: AdmissionOptions) {
    this.#clock = clock;
    this.#options = options;
    this.#intervalMs = options.waitMaxMs;
    this.#adaptedMs = clock.now();
  }

  /** A request of a client, or this node's share in one that another coordinates, took this long, and ends now. */
  observe(ms: number): void {
    const now = this.#clock.now();
    this.#adapt(now);
    this.#requestMs = now;
    const isBeside = this.#beganBeside(now - ms);
    if (isBeside !== undefined) (isBeside ? this.#beside : this.#alone).add(ms);
  }

  /** The present interval between steps, ms. */
  get waitMs(): number {
    return this.#clock.now() - this.#requestMs > quietMs ? 0 : this.#intervalMs;
  }

  /** True when the next step of background work may begin; false: it could not by `deadlineMs`, and took no turn. */
  async turn(deadlineMs = Infinity): Promise<boolean> {
    this.#adapt(this.#clock.now());
    if (this.#waiting.length === 0 && this.#untilNextMs() <= 0) {
      this.#begin();
      return true;
    }
    const granted = new Promise<boolean>((grant) => this.#waiting.push({ grant, deadlineMs }));
    if (this.#waiting.length === 1) this.#wait();
    return granted;
  }

  /**
   * For work of which a piece is only a share of a step, 0..1, and was just done: resolves when the next may begin. Small
   * pieces go together as one step, so that a thousand little partitions do not wait a thousand times.
   */
  async done(share: number): Promise<void> {
    this.#donePart += share;
    if (this.#donePart < 1) return;
    this.#donePart = 0;
    await this.turn();
  }

  #wait(): void {
    this.#clock.after(Math.max(0, this.#untilNextMs()), () => {
      this.#refuseLate();
      const next = this.#waiting.shift();
      if (next !== undefined) {
        this.#begin();
        next.grant(true);
      }
      if (this.#waiting.length > 0) this.#wait();
    });
  }

  /** Those in front whose time has passed: if they took turns, many askers at once would all be answered too late. */
  #refuseLate(): void {
    const now = this.#clock.now();
    const inTime = this.#waiting.findIndex(({ deadlineMs }) => deadlineMs >= now);
    const late = this.#waiting.splice(0, inTime < 0 ? this.#waiting.length : inTime);
    for (const { grant } of late) grant(false);
  }

  #begin(): void {
    this.#steps[this.#stepCount % stepsKept] = this.#clock.now();
    this.#stepCount += 1;
  }

  #untilNextMs(): number {
    return this.#lastStepMs + this.waitMs - this.#clock.now();
  }

  get #lastStepMs(): number {
    return this.#stepCount === 0 ? -Infinity : this.#steps[(this.#stepCount - 1) % stepsKept]!;
  }

  /**
   * Whether a step had begun shortly before `atMs`; undefined: too long ago to tell. By the beginning alone: long requests
   * overlap more steps than short ones, and would make innocent steps look guilty.
   */
  #beganBeside(atMs: number): boolean | undefined {
    for (let back = 1; back <= Math.min(stepsKept, this.#stepCount); back++) {
      const stepMs = this.#steps[(this.#stepCount - back) % stepsKept]!;
      if (stepMs <= atMs) return atMs - stepMs < shadowMs;
    }
    return this.#stepCount > stepsKept ? undefined : false;
  }

  #adapt(now: number): void {
    const { windowMs, waitMaxMs } = this.#options;
    const periods = Math.floor((now - this.#adaptedMs) / (windowMs / adaptationsPerWindow));
    if (periods === 0) return;
    this.#adaptedMs = now;
    const change = this.#isHarmless() ? speedUp : slowDown;
    this.#intervalMs = Math.max(waitMinMs, Math.min(waitMaxMs, this.#intervalMs * change));
    const left = Math.exp((-2 * periods) / adaptationsPerWindow);
    this.#beside.fade(left);
    this.#alone.fade(left);
  }

  /** Known to be: steps have been taken beside requests, and these were no slower than the others. */
  #isHarmless(): boolean {
    const [beside, alone] = [this.#beside, this.#alone];
    if (beside.count < samplesMin || alone.count < samplesMin) return false;
    const isNear = beside.quantile(0.99) >= nearShare * this.#options.latencyThresholdMs;
    return beside.quantile(compared) <= alone.quantile(compared) * (isNear ? 1 : harmlessShare);
  }
}

/** What background work that is not told of the admission itself needs of it. */
export interface Pace {
  /** Awaited before each step but a digest, so that requests go first (PROTOCOL 13). False: no turn by `deadlineMs`. */
  readonly throttle: (deadlineMs?: number) => Promise<boolean>;
  /** Whether clients are served now, so that steps are to be short. */
  readonly servesClients: () => boolean;
}

export function pacedBy(admission: Admission): Pace {
  return { throttle: (deadlineMs) => admission.turn(deadlineMs), servesClients: () => admission.waitMs > 0 };
}

/** Telemetry that tells the admission how long clients wait: background work yields to that. */
export function observed(telemetry: Telemetry, admission: Admission): Telemetry {
  return {
    event(event) {
      if (event.kind === "request") admission.observe(event.ms);
      telemetry.event(event);
    },
  };
}
