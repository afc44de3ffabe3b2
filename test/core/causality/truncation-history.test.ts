/**
 * Three owners that truncate as hard as they may, under delayed messages and clocks that differ, beside a model that
 * forgets nothing: an event is live where no other event that reached the node had seen it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { actorFromRandom } from "../../../core/causality/actor.ts";
import { sameClock } from "../../../core/causality/clock.ts";
import { stampOfMs } from "../../../core/causality/hybrid-clock.ts";
import { truncate } from "../../../core/causality/truncation.ts";
import {
  contextOf,
  type Coverage,
  merge,
  mint,
  nothing,
  nothingSeen,
  touch,
  type VectorEntry,
  type Versioned,
} from "../../../core/causality/version-set.ts";
import type { ActorId } from "../../../core/identity.ts";
import { value } from "./samples.ts";

const OWNERS = 3;
const IN_FLIGHT_MAX_MS = 6;

interface Copy {
  readonly state: Versioned;
  readonly reached: ReadonlySet<string>;
}

interface Owner {
  copy: Copy;
  actor: ActorId;
  readonly clockAheadMs: number;
  /** By owner: own times of full agreement with it. */
  readonly agreedAtMs: number[][];
}

type Delivery = "lost" | number;
const owner = fc.nat(OWNERS - 1);
const delivery: fc.Arbitrary<Delivery> = fc.oneof(fc.constant("lost" as const), fc.nat(IN_FLIGHT_MAX_MS - 1));
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("write" as const),
      at: owner,
      restarted: fc.boolean(),
      context: fc.oneof(fc.constantFrom("none" as const, "full" as const), fc.nat()),
      deliveries: fc.array(delivery, { minLength: OWNERS, maxLength: OWNERS }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("read" as const), at: owner }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("sync" as const), at: owner, with: owner }) },
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

class Owners {
  readonly owners: Owner[];
  forced = 0;
  #nowMs = 100;
  #written = 0;
  readonly #seenBy = new Map<string, ReadonlySet<string>>();
  readonly #reads: { readonly coverage: Coverage; readonly seen: ReadonlySet<string> }[] = [];
  #inFlight: { readonly dueMs: number; readonly to: Owner; readonly copy: Copy }[] = [];

  constructor(clocksAheadMs: readonly number[]) {
    this.owners = clocksAheadMs.map((clockAheadMs) => ({
      copy: { state: nothing, reached: new Set<string>() },
      actor: this.#freshActor(),
      clockAheadMs,
      agreedAtMs: clocksAheadMs.map(() => []),
    }));
  }

  step(step: Step): void {
    this.#nowMs += 1;
    const due = this.#inFlight.filter((message) => message.dueMs <= this.#nowMs);
    this.#inFlight = this.#inFlight.filter((message) => message.dueMs > this.#nowMs);
    for (const { to, copy } of due) this.#arrive(to, copy);
    const at = this.owners[step.at]!;
    if (step.do === "write") this.#write(at, step);
    else if (step.do === "read") this.#reads.push(this.#read(at));
    else this.#sync(step.at, step.with);
  }

  live({ reached }: Copy): string[] {
    return [...reached].filter((name) => ![...reached].some((other) => this.#seenBy.get(other)!.has(name))).toSorted();
  }

  #write(at: Owner, { context, restarted, deliveries }: Extract<Step, { do: "write" }>): void {
    if (restarted) at.actor = this.#freshActor();
    const none = { coverage: nothingSeen, seen: new Set<string>() };
    const recalled = typeof context === "number" ? this.#reads[context % Math.max(this.#reads.length, 1)] : undefined;
    const { coverage, seen } = context === "full" ? this.#read(at) : (recalled ?? none);
    const dot = { actor: at.actor, counter: ++this.#written };
    const event = value(0, 0, 0, { dot, stamp: stampOfMs(this.#nowMs + at.clockAheadMs) });
    this.#seenBy.set(`${dot.actor}:${dot.counter}`, seen);
    const reached = new Set([...at.copy.reached, `${dot.actor}:${dot.counter}`]);
    at.copy = { state: this.#truncated(at, mint(at.copy.state, coverage, event)), reached };
    for (const [i, delay] of deliveries.entries()) {
      const to = this.owners[i]!;
      if (to !== at && delay !== "lost") this.#inFlight.push({ dueMs: this.#nowMs + delay, to, copy: at.copy });
    }
  }

  #read({ copy }: Owner): { coverage: Coverage; seen: ReadonlySet<string> } {
    const seen = [...copy.reached].flatMap((name) => [name, ...this.#seenBy.get(name)!]);
    return { coverage: contextOf(copy.state), seen: new Set(seen) };
  }

  #arrive(to: Owner, copy: Copy): void {
    this.#receive(to, copy);
    to.copy = { ...to.copy, state: this.#truncated(to, to.copy.state) };
  }

  /** Anti-entropy: never truncates; ends in agreement when both sides are equal. */
  #sync(i: number, j: number): void {
    const [one, other] = [this.owners[i]!, this.owners[j]!];
    const before = one.copy;
    this.#receive(one, other.copy);
    this.#receive(other, before);
    assert.ok(sameClock(one.copy.state, other.copy.state));
    one.agreedAtMs[j]!.push(this.#nowMs + one.clockAheadMs);
    other.agreedAtMs[i]!.push(this.#nowMs + other.clockAheadMs);
  }

  #receive(to: Owner, { state, reached }: Copy): void {
    const merged = touch(to.copy.state, merge(to.copy.state, state), this.#nowMs + to.clockAheadMs);
    to.copy = { state: merged, reached: new Set([...to.copy.reached, ...reached]) };
  }

  #truncated(at: Owner, state: Versioned): Versioned {
    const inFlightSinceMs = this.#nowMs + at.clockAheadMs - IN_FLIGHT_MAX_MS;
    const agreed = (entry: VectorEntry) =>
      this.owners.every(
        (other, i) => other === at || at.agreedAtMs[i]!.some((ms) => ms > entry.timeMs && ms < inFlightSinceMs),
      );
    const cut = truncate(state, { entriesMax: 2, ownActor: at.actor, agreed, replaced: [] });
    this.forced += cut.forced;
    return cut.state;
  }

  #freshActor(): ActorId {
    this.#written += 1;
    return actorFromRandom(Uint8Array.of((this.#written * 167) % 256, 0, 0, 0, 0, 0, 0, this.#written % 256));
  }
}

test("what was overwritten or deleted does not come back through truncation, and nothing live is lost by it", () => {
  const clocks = fc.array(fc.nat(20), { minLength: OWNERS, maxLength: OWNERS });
  fc.assert(
    fc.property(clocks, fc.array(step, { minLength: 10, maxLength: 60, size: "max" }), (clocksAheadMs, steps) => {
      const world = new Owners(clocksAheadMs);
      for (const one of steps) {
        world.step(one);
        if (world.forced > 0) return; // exempt from the promise
        for (const { copy } of world.owners) {
          const live = copy.state.values.map(({ dot }) => `${dot.actor}:${dot.counter}`).toSorted();
          assert.deepEqual(live, world.live(copy));
        }
      }
    }),
    { numRuns: 3000 },
  );
});
