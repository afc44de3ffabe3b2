/**
 * Decides when the other end of a link is gone although its connection looks open.
 *
 * Invariant: it counts its own ticks, not the clock, so a process that slept or stuttered does not blame its peers.
 */

/** What the link should do at a tick. */
export type Verdict = "nothing" | "ping" | "silent" | "not-reading";

export interface SilenceLimits {
  /** One tick, ms. */
  readonly pingMs: number;
  /** While an answer is due, a peer that was not heard for this long is pinged, ms; absent: at each tick. */
  readonly duePingMs?: number;
  /** What `silent` needs, and what `not-reading` does, ms. */
  readonly silentMs: number;
  readonly notReadingMs: number;
  /** An idle link is pinged this often, ms, so that a dead one is found before a request needs it. */
  readonly idlePingMs: number;
  /** What `silent` needs after `probe`, ms. */
  readonly probeMs: number;
}

export class Silence {
  readonly #ticksMax: number;
  readonly #blockedTicksMax: number;
  readonly #dueTicks: number;
  readonly #idleTicks: number;
  readonly #probeTicks: number;
  /** How many ticks the peer has for its next sign of life. */
  #patience: number;
  #pinged = false;
  /** Ticks since anything came; since then while an answer was due; since the stream took bytes while some waited. */
  #quiet = 0;
  #waiting = 0;
  #blocked = 0;

  constructor({ pingMs, duePingMs = pingMs, silentMs, idlePingMs, probeMs, notReadingMs }: SilenceLimits) {
    this.#ticksMax = silentMs / pingMs;
    this.#blockedTicksMax = notReadingMs / pingMs;
    this.#dueTicks = duePingMs / pingMs;
    this.#idleTicks = idlePingMs / pingMs;
    this.#probeTicks = Math.min(probeMs / pingMs, this.#ticksMax);
    this.#patience = this.#ticksMax;
  }

  heard(): void {
    this.#quiet = 0;
    this.#waiting = 0;
    this.#patience = this.#ticksMax;
  }

  /** The connection may have died unnoticed (the machine slept, the network changed): ask now, and give up sooner. */
  probe(): void {
    this.#pinged = false;
    this.#waiting = 0;
    this.#quiet = this.#idleTicks;
    this.#patience = this.#probeTicks;
  }

  pong(): void {
    this.#pinged = false;
  }

  drained(): void {
    this.#blocked = 0;
  }

  /** Call every `pingMs`. `paused`: we do not read, so we cannot hear. */
  tick({ answerDue, blocked, paused }: { answerDue: boolean; blocked: boolean; paused: boolean }): Verdict {
    this.#blocked = blocked ? this.#blocked + 1 : 0;
    if (this.#blocked > this.#blockedTicksMax) return "not-reading";
    // What waits to be written may hold up our own ping.
    if (paused || blocked) return "nothing";
    this.#quiet += 1;
    this.#waiting = answerDue || this.#pinged ? this.#waiting + 1 : 0;
    if (this.#waiting > this.#patience) return "silent";
    if (this.#pinged || this.#quiet < (answerDue ? this.#dueTicks : this.#idleTicks)) return "nothing";
    this.#pinged = true;
    return "ping";
  }
}
