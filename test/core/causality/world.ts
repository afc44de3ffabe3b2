/**
 * Random histories of one key, run twice: by version sets, and by a model that knows no vectors. In the model an event
 * remembers the set of events that its writer had seen, a replica is the set of events that reached it, and the live ones
 * are those that no other event here has seen; of lww events the greatest here.
 */
import fc from "fast-check";
import { actorFromRandom, actorOfWriteId } from "../../../core/causality/actor.ts";
import { HybridClock, type Stamp } from "../../../core/causality/hybrid-clock.ts";
import {
  applyWrite,
  contextOf,
  type Coverage,
  type Dot,
  highestStamp,
  isUpdate,
  type LiveValue,
  merge,
  mint,
  nothing,
  nothingSeen,
  touch,
  uniteCoverage,
  type ValueKind,
  type Versioned,
} from "../../../core/causality/version-set.ts";
import { makeKey } from "../../../core/bytes/key.ts";
import type { ActorId } from "../../../core/identity.ts";

const NODES = 4;
const KEY = makeKey("carts", "alice");

export type Step =
  | {
      readonly do: "write";
      node: number;
      context: ContextChoice;
      kind: ValueKind;
      tombstone: boolean;
      ttl: boolean;
      folds: boolean;
    }
  | { readonly do: "writeWithId"; node: number; context: ContextChoice; body: number }
  | { readonly do: "repeat"; node: number; which: number }
  | { readonly do: "edgeWrite"; node: number; context: ContextChoice; kind: ValueKind; lateByMs: number }
  | { readonly do: "read"; node: number }
  | { readonly do: "sync"; node: number; from: number }
  | { readonly do: "lateMessage"; node: number; which: number }
  | { readonly do: "restart"; node: number; wiped: boolean };

type ContextChoice = "full" | "none" | { readonly read: number; readonly and: number };

const node = fc.nat(NODES - 1);
const context: fc.Arbitrary<ContextChoice> = fc.oneof(
  fc.constantFrom("full" as const, "none" as const),
  fc.record({ read: fc.nat(), and: fc.nat() }),
);
const rarelyLww = fc.constantFrom<ValueKind>("opaque", "opaque", "opaque", "opaque", "yjs", "lww");

export function steps(kinds: fc.Arbitrary<ValueKind> = rarelyLww): fc.Arbitrary<Step[]> {
  const write = fc.record({
    do: fc.constant("write" as const),
    node,
    context,
    kind: kinds,
    tombstone: fc.boolean(),
    ttl: fc.boolean(),
    folds: fc.boolean(),
  });
  return fc.array(
    fc.oneof(
      { arbitrary: write, weight: 4 },
      { arbitrary: fc.record({ do: fc.constant("sync" as const), node, from: node }), weight: 4 },
      { arbitrary: fc.record({ do: fc.constant("read" as const), node }), weight: 2 },
      fc.record({ do: fc.constant("writeWithId" as const), node, context, body: fc.nat(3) }),
      fc.record({ do: fc.constant("repeat" as const), node, which: fc.nat() }),
      fc.record({ do: fc.constant("edgeWrite" as const), node, context, kind: kinds, lateByMs: fc.nat(50) }),
      fc.record({ do: fc.constant("lateMessage" as const), node, which: fc.nat() }),
      fc.record({ do: fc.constant("restart" as const), node, wiped: fc.boolean() }),
    ),
    { maxLength: 40, size: "max" },
  );
}

/** The model's event. */
interface Event {
  readonly dot: Dot;
  readonly seen: ReadonlySet<string>;
  readonly lww: boolean;
  readonly stamp: Stamp;
  readonly isUpdate?: boolean;
}

interface Replica {
  state: Versioned;
  /** The model: names of events that reached this node. */
  reached: ReadonlySet<string>;
  actor: ActorId;
  counter: number;
  readonly clock: HybridClock;
}

interface ReadContext {
  readonly coverage: Coverage;
  readonly seen: ReadonlySet<string>;
  readonly lww: boolean;
}

interface NamedWrite {
  readonly dot: Dot;
  readonly context: ReadContext;
}

const nameOf = ({ actor, counter }: Dot): string => `${actor}:${counter}`;
const union = <T>(...sets: ReadonlySet<T>[]): ReadonlySet<T> => new Set(sets.flatMap((set) => [...set]));

export class World {
  readonly replicas: Replica[];
  /** Every state that ever was, with what the model says had reached it: late messages, and samples for the laws. */
  readonly snapshots: { readonly state: Versioned; readonly reached: ReadonlySet<string> }[] = [];
  readonly #events = new Map<string, Event>();
  readonly #reads: ReadContext[] = [{ coverage: nothingSeen, seen: new Set(), lww: false }];
  readonly #named: NamedWrite[] = [];
  #nowMs = 1_000;
  #actors = 0;

  constructor() {
    this.replicas = Array.from({ length: NODES }, () => ({
      state: nothing,
      reached: new Set<string>(),
      actor: this.#freshActor(),
      counter: 0,
      clock: new HybridClock({ clockDriftMaxMs: 1_000 }),
    }));
  }

  step(step: Step): void {
    this.#nowMs += 7;
    const replica = this.replicas[step.node]!;
    this.#act(replica, step);
    this.snapshots.push({ state: replica.state, reached: replica.reached });
  }

  /** What the model says are the live dots of a replica, sorted. */
  liveInModel(replica: Replica): string[] {
    return this.#liveEvents(replica.reached).map((event) => nameOf(event.dot));
  }

  liveInState(replica: Replica): string[] {
    return replica.state.values.map((value) => nameOf(value.dot)).toSorted();
  }

  #act(replica: Replica, step: Step): void {
    switch (step.do) {
      case "write":
        return this.#write(replica, step);
      case "writeWithId":
        return this.#writeWithId(replica, step);
      case "repeat":
        return this.#repeat(replica, step.which);
      case "edgeWrite":
        return this.#edgeWrite(replica, step);
      case "read":
        this.#reads.push(this.#read(replica));
        return;
      case "sync": {
        const { state, reached } = this.replicas[step.from]!;
        return this.#receive(replica, state, reached);
      }
      case "lateMessage": {
        const late = this.snapshots[step.which % Math.max(this.snapshots.length, 1)];
        if (late !== undefined) this.#receive(replica, late.state, late.reached);
        return;
      }
      case "restart":
        replica.actor = this.#freshActor();
        replica.counter = 0;
        if (step.wiped) Object.assign(replica, { state: nothing, reached: new Set() });
    }
  }

  #write(replica: Replica, step: Extract<Step, { do: "write" }>): void {
    const context = this.#contextOf(replica, step.context);
    // The counter counts events on all keys, so it may skip some on this one.
    replica.counter += 1 + (this.#nowMs % 3);
    const dot = { actor: replica.actor, counter: replica.counter };
    const value = this.#value(dot, this.#tick(replica, context), step.kind);
    const event = { ...value, tombstone: step.tombstone, ...(step.ttl ? { expiresAtMs: this.#nowMs + 20 } : {}) };
    const lww = step.kind === "lww" || context.lww || this.#hasLww(replica);
    if (lww || !isUpdate(event)) {
      replica.state = mint(replica.state, context.coverage, event);
      return this.#reach(replica, { dot, seen: context.seen, lww, stamp: value.stamp });
    }
    const folds = step.folds ? replica.state.values.filter(isUpdate).map((update) => update.dot) : [];
    const seen = this.#seenByUpdate(replica, context, folds);
    replica.state = mint(replica.state, context.coverage, event, folds);
    this.#reach(replica, { dot, seen, lww, stamp: value.stamp, isUpdate: true });
  }

  /** An update drops what it folds, and of what it has seen what is no update; it claims nothing that its node does not hold. */
  #seenByUpdate(replica: Replica, context: ReadContext, folds: readonly Dot[]): ReadonlySet<string> {
    const held = [...context.seen].filter((name) => replica.reached.has(name) && !this.#events.get(name)!.isUpdate);
    return union(new Set(held), new Set(folds.map(nameOf)));
  }

  #writeWithId(replica: Replica, step: Extract<Step, { do: "writeWithId" }>): void {
    const context = this.#contextOf(replica, step.context);
    if (context.lww || this.#hasLww(replica)) return; // lww ignores write ids
    const dot = { actor: actorOfWriteId(KEY, this.#nowMs.toString(16).padStart(16, "0")), counter: 1 };
    const named = { dot, context };
    this.#named.push(named);
    this.#mintNamed(replica, named, step.body);
  }

  #repeat(replica: Replica, which: number): void {
    const named = this.#named[which % Math.max(this.#named.length, 1)];
    if (named !== undefined && !this.#hasLww(replica)) this.#mintNamed(replica, named, 1);
  }

  #mintNamed(replica: Replica, { dot, context }: NamedWrite, body: number): void {
    const value = this.#value(dot, this.#tick(replica, context), "opaque");
    // Rounded, so that repeats meet in stamp and differ in content.
    const event = { ...value, stamp: value.stamp - (value.stamp % 65_536), body: Uint8Array.of(body) };
    replica.state = mint(replica.state, context.coverage, event);
    this.#reach(replica, { dot, seen: context.seen, lww: false, stamp: event.stamp });
  }

  #edgeWrite(replica: Replica, step: Extract<Step, { do: "edgeWrite" }>): void {
    const context = this.#contextOf(replica, step.context === "full" ? "none" : step.context);
    const dot = { actor: this.#freshActor(), counter: 1 };
    // Its clock may be slow, so that its stamp does not exceed what it has seen.
    const stamp = (this.#nowMs - step.lateByMs) * 1024;
    const lww = step.kind === "lww" || context.lww;
    const event = this.#value(dot, stamp, lww ? "lww" : step.kind);
    const seen = isUpdate(event) ? this.#seenByUpdate(replica, context, []) : context.seen;
    replica.state = applyWrite(replica.state, context.coverage, event, this.#nowMs);
    this.#reach(replica, { dot, seen, lww, stamp, isUpdate: isUpdate(event) });
  }

  #receive(replica: Replica, state: Versioned, reached: ReadonlySet<string>): void {
    replica.state = touch(replica.state, merge(replica.state, state), this.#nowMs);
    replica.reached = union(replica.reached, reached);
  }

  #reach(replica: Replica, event: Event): void {
    const name = nameOf(event.dot);
    if (!this.#events.has(name)) this.#events.set(name, event);
    replica.reached = union(replica.reached, new Set([name]));
  }

  #contextOf(replica: Replica, choice: ContextChoice): ReadContext {
    if (choice === "none") return this.#reads[0]!;
    if (choice === "full") return this.#read(replica);
    const one = this.#reads[choice.read % this.#reads.length]!;
    const other = this.#reads[choice.and % this.#reads.length]!;
    return {
      coverage: uniteCoverage(one.coverage, other.coverage),
      seen: union(one.seen, other.seen),
      lww: one.lww || other.lww,
    };
  }

  #read(replica: Replica): ReadContext {
    const seen = union(replica.reached, ...[...replica.reached].map((name) => this.#events.get(name)!.seen));
    return { coverage: contextOf(replica.state), seen, lww: this.#hasLww(replica) };
  }

  #liveEvents(reached: ReadonlySet<string>): Event[] {
    const events = [...reached].map((name) => this.#events.get(name)!);
    const unseen = events.filter((event) => !event.lww && !events.some((other) => other.seen.has(nameOf(event.dot))));
    const greatest = events
      .filter((event) => event.lww)
      .toSorted((a, b) => a.stamp - b.stamp || (nameOf(a.dot) < nameOf(b.dot) ? -1 : 1))
      .slice(-1);
    return [...unseen, ...greatest].toSorted((a, b) => (nameOf(a.dot) < nameOf(b.dot) ? -1 : 1));
  }

  #hasLww(replica: Replica): boolean {
    return this.#liveEvents(replica.reached).some((event) => event.lww);
  }

  #tick(replica: Replica, context: ReadContext): Stamp {
    return replica.clock.tick(this.#nowMs, context.coverage.stamp, highestStamp(replica.state));
  }

  #value(dot: Dot, stamp: Stamp, kind: ValueKind): LiveValue {
    return { dot, stamp, kind, tombstone: false, contentType: "text/plain", body: Uint8Array.of(dot.counter) };
  }

  #freshActor(): ActorId {
    this.#actors += 1;
    // Scattered, so that the order of actors says nothing about their age.
    return actorFromRandom(Uint8Array.of((this.#actors * 167) % 256, 0, 0, 0, 0, 0, 0, this.#actors % 256));
  }
}
