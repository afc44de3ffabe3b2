/**
 * Tells of values that expire while somebody is shown them: nothing is written then, so no change log names them (PROTOCOL 10).
 * Invariant: of each key one time counts, the last that was set; it is told once, up to a grid step late.
 */
import type { Sibling } from "./api.ts";
import type { Key } from "./identity.ts";
import type { Clock, Stop } from "./ports.ts";

/** What expires within one step is told together. */
const gridMs = 100;
/** The wall clock may be set: it is looked at again after so long. */
const lookMsMax = 10_000;

export class Expiries {
  readonly #after: Clock["after"];
  readonly #wallMs: () => number;
  readonly #expired: (keys: readonly Key[]) => void;
  readonly #tickOf = new Map<Key, number>();
  readonly #keysAt = new Map<number, Set<Key>>();
  #stopTimer: Stop = () => {};
  /** For which the timer is set. */
  #nextTick = Infinity;

  constructor(
    deps: { readonly after: Clock["after"]; readonly wallMs: () => number },
    expired: (keys: readonly Key[]) => void,
  ) {
    this.#after = deps.after;
    this.#wallMs = deps.wallMs;
    this.#expired = expired;
  }

  /** What is shown of the key from now on. */
  shown(key: Key, siblings: readonly Sibling[]): void {
    this.#drop(key);
    const atMs = Math.min(...siblings.map(({ expiresAtMs = Infinity }) => expiresAtMs));
    if (atMs === Infinity) return;
    const tick = Math.ceil(atMs / gridMs);
    this.#keysAt.set(tick, (this.#keysAt.get(tick) ?? new Set()).add(key));
    this.#tickOf.set(key, tick);
    if (tick < this.#nextTick) this.#arm(tick);
  }

  stop(): void {
    this.#stopTimer();
    this.#tickOf.clear();
    this.#keysAt.clear();
  }

  #drop(key: Key): void {
    const tick = this.#tickOf.get(key);
    if (tick === undefined) return;
    this.#tickOf.delete(key);
    const keys = this.#keysAt.get(tick)!;
    keys.delete(key);
    if (keys.size === 0) this.#keysAt.delete(tick);
  }

  #arm(tick: number): void {
    this.#stopTimer();
    this.#nextTick = tick;
    const ms = Math.min(lookMsMax, Math.max(0, tick * gridMs - this.#wallMs()));
    this.#stopTimer = this.#after(ms, () => this.#look());
  }

  #look(): void {
    const nowMs = this.#wallMs();
    const due = [...this.#keysAt].filter(([tick]) => tick * gridMs <= nowMs).flatMap(([, keys]) => [...keys]);
    for (const key of due) this.#drop(key);
    let next = Infinity;
    for (const tick of this.#keysAt.keys()) next = Math.min(next, tick);
    this.#nextTick = Infinity;
    if (next < Infinity) this.#arm(next);
    if (due.length > 0) this.#expired(due);
  }
}
