/**
 * Whether the tab that runs the node still does. Messages prove nothing, for a frozen tab answers them; what proves it is
 * that its storage has answered since it was probed. It is only asked while somebody waits for it.
 */
import type { Clock, Stop } from "../../ports.ts";

interface WatchdogDeps {
  readonly clock: Clock;
  /** Since when this tab waits for an owner, `clock.now()`; undefined: it does not. */
  readonly waitingSinceMs: () => number | undefined;
  readonly probe: () => void;
  /** The owner is hung, or there is none. */
  readonly bite: () => void;
}

/** Hidden tabs have timers of one second: then all takes a little longer. */
const tickMs = 250;
/** An owner is probed when it has given no proof for so long, and robbed when it gave none for `patienceMs`. */
const probeAfterMs = 500;
/** An answer that is on its way is waited for so long. */
const answerMs = 400;
const patienceMsMin = 1_000;
const patienceMsMax = 30_000;
/** From taking the storage to running the node. */
const openingMs = 5_000;
/** A tab that has not ticked for so long was asleep itself: what it missed may lie behind this tick. */
const sleptMs = 2_500;

export class Watchdog {
  readonly #deps: WatchdogDeps;
  #provenMs: number;
  #probedMs: number | undefined;
  #tickedMs: number;
  /** Doubles with each theft: on a machine where nothing is fast enough tabs must not rob each other without end. */
  #patienceMs = patienceMsMin;
  #stopTimer: Stop | undefined;

  constructor(deps: WatchdogDeps) {
    this.#deps = deps;
    this.#provenMs = this.#tickedMs = deps.clock.now();
  }

  /** To be called when this tab begins to wait. */
  start(): void {
    if (this.#stopTimer !== undefined) return;
    this.#tickedMs = this.#deps.clock.now();
    this.#schedule();
  }

  /** Its storage has answered. */
  proven(): void {
    this.#patienceMs = patienceMsMin;
    this.#prove(0);
  }

  /** A tab has got the storage, and opens the node. */
  opening(): void {
    this.#prove(openingMs);
  }

  /** Another owner, or none, from now on. */
  changed(): void {
    this.#prove(0);
  }

  stop(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
  }

  #prove(graceMs: number): void {
    this.#provenMs = this.#deps.clock.now() + graceMs;
    this.#probedMs = undefined;
  }

  #schedule(): void {
    this.#stopTimer = this.#deps.clock.after(tickMs, () => this.#tick());
  }

  #tick(): void {
    const { clock, waitingSinceMs, probe, bite } = this.#deps;
    const since = waitingSinceMs();
    if (since === undefined) return this.stop();
    const now = clock.now();
    if (now - this.#tickedMs > sleptMs) this.#prove(0);
    this.#tickedMs = now;
    this.#schedule();
    const silentMs = now - Math.max(since, this.#provenMs);
    if (silentMs < probeAfterMs) return;
    if (this.#probedMs === undefined) {
      this.#probedMs = now;
      probe();
    } else if (silentMs >= this.#patienceMs && now - this.#probedMs >= answerMs) {
      this.#patienceMs = Math.min(patienceMsMax, 2 * this.#patienceMs);
      this.#prove(0);
      bite();
    }
  }
}
