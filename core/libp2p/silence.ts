/**
 * Decides when the other end of a link is gone although its connection looks open.
 *
 * Invariant: it counts its own ticks, not the clock, so a process that slept or stuttered does not blame its peers.
 */

/** What the link should do at a tick. */
export type Verdict = "nothing" | "ping" | "silent" | "not-reading";

/** An idle link is pinged every so many ticks, so that a dead one is found before a request needs it. */
const idleTicksMax = 60;

export class Silence {
  readonly #ticksMax: number;
  #pinged = false;
  /** Ticks since anything came; since then while an answer was due; since the stream took bytes while some waited. */
  #quiet = 0;
  #waiting = 0;
  #blocked = 0;

  constructor({ pingMs, silentMs }: { pingMs: number; silentMs: number }) {
    this.#ticksMax = silentMs / pingMs;
  }

  heard(): void {
    this.#quiet = 0;
    this.#waiting = 0;
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
    if (this.#blocked > this.#ticksMax) return "not-reading";
    if (paused) return "nothing";
    this.#quiet += 1;
    this.#waiting = answerDue || this.#pinged ? this.#waiting + 1 : 0;
    if (this.#waiting > this.#ticksMax) return "silent";
    if (this.#pinged || (!answerDue && this.#quiet < idleTicksMax)) return "nothing";
    this.#pinged = true;
    return "ping";
  }
}
