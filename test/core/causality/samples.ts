/** Short ways to write down version sets in tests. */
import { actorFromRandom } from "../../../core/causality/actor.ts";
import { stampOfMs } from "../../../core/causality/hybrid-clock.ts";
import type { Dot, LiveValue, Versioned } from "../../../core/causality/version-set.ts";
import type { ActorId } from "../../../core/identity.ts";

/** The n-th actor; actors sort by number. */
export const actor = (n: number): ActorId => actorFromRandom(Uint8Array.of(0, 0, 0, 0, 0, 0, n >> 8, n & 255));

export const dot = (n: number, counter: number): Dot => ({ actor: actor(n), counter });

/** An opaque value of some actor's counter-th event, written at `atMs`; `rest` overrides. */
export function value(n: number, counter: number, atMs: number, rest: Partial<LiveValue> = {}): LiveValue {
  return {
    dot: dot(n, counter),
    stamp: stampOfMs(atMs),
    kind: "opaque",
    tombstone: false,
    contentType: "text/plain",
    body: Uint8Array.of(n, counter),
    ...rest,
  };
}

/** Vector and live dots as `"1:5 2:3 | 1:5"`, with the numbers of actors. */
export function show(state: Versioned): string {
  const name = (one: Dot) => `${Number.parseInt(one.actor, 16)}:${one.counter}`;
  return `${state.vector.map(name).join(" ")} | ${state.values.map((live) => name(live.dot)).join(" ")}`;
}
