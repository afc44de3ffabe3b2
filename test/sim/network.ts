/**
 * The wires: how long a message takes, whether it arrives, how often, and who can reach whom.
 * Requests and answers take their own times, so they overtake each other. What arrives is what was sent, or
 * nothing that could be taken for a message.
 */
import type { NodeId } from "../../core/identity.ts";
import { spoiledAnswer, spoiledRequest } from "./bad-frames.ts";
import type { Chance } from "./chance.ts";
import type { SimGossip } from "./gossip.ts";
import type { Schedule } from "./schedule.ts";
import type { SimTransport } from "./transport.ts";

/** How the wires behave now; changed by faults. */
export interface NetworkMood {
  /** One way, ms. */
  delayMs: readonly [number, number];
  /** Share of messages that take up to `spikeMs` instead. */
  spikes: number;
  spikeMs: number;
  loss: number;
  duplicates: number;
  /** Share of messages in whose place something unreadable arrives. */
  badFrames: number;
}

export const calm = { spikes: 0, loss: 0, duplicates: 0, badFrames: 0 } as const;

/** Hears what hosts ask and answer each other, before the wires have their way with it; and what answers they get. */
export interface Tap {
  asked?(from: NodeId, to: NodeId, body: Uint8Array): void;
  answered?(from: NodeId, to: NodeId, method: number, body: Uint8Array): void;
  heard?(by: NodeId, method: number, body: Uint8Array): void;
}

/** One way from one host to another. */
interface Wire {
  /** How many faults cut it. */
  cuts: number;
  /** What its events are called in the log, by what they carry. */
  readonly labels: Map<string, string>;
}

/** What counts as silence of a connection, ms: after this its ends find out that it is gone. */
export interface NetworkOptions {
  readonly silentMs: number;
  readonly redialMsMax: number;
}

export class SimNetwork {
  readonly schedule: Schedule;
  readonly options: NetworkOptions;
  readonly mood: NetworkMood;
  readonly chance: Chance;
  /** Two of one name, while somebody runs a copy of a host. */
  readonly #nodes = new Map<NodeId, readonly SimTransport[]>();
  /** By sender, then by receiver. */
  readonly #wires = new Map<NodeId, Map<NodeId, Wire>>();
  readonly taps = new Set<Tap>();
  /** Who takes part in gossip; those of processes that ended hear nothing. */
  readonly listeners = new Set<SimGossip>();
  /** Hears of each request to another host as it leaves. */
  onRequest: ((body: Uint8Array) => void) | undefined;
  messages = 0;
  /** When the last message that is on its way arrives. */
  lastArrivalMs = 0;

  constructor(schedule: Schedule, chance: Chance, options: NetworkOptions & { readonly mood: NetworkMood }) {
    this.schedule = schedule;
    this.chance = chance;
    this.options = options;
    this.mood = options.mood;
  }

  attach(node: SimTransport): void {
    this.#nodes.set(node.self, [...this.#alive(node.self), node]);
  }

  /** Who listens under this name now. */
  at(id: NodeId): SimTransport | undefined {
    const nodes = this.#alive(id);
    return nodes.length > 1 ? this.chance.pick(nodes) : nodes[0];
  }

  #alive(id: NodeId): readonly SimTransport[] {
    return (this.#nodes.get(id) ?? []).filter(({ process }) => process.alive);
  }

  isCut(from: NodeId, to: NodeId): boolean {
    return this.#wire(from, to).cuts > 0;
  }

  reaches(from: NodeId, to: NodeId): boolean {
    return !this.isCut(from, to) && !this.isCut(to, from);
  }

  /** Nothing passes that way until as many heals; a connection is found dead after the time of silence. */
  cut(from: NodeId, to: NodeId): void {
    this.#wire(from, to).cuts += 1;
    this.schedule.after(this.options.silentMs, `${from}>${to} silent`, () => {
      if (this.isCut(from, to)) for (const node of this.#alive(to)) node.breakLink(from, "silent");
    });
  }

  /** Returns how all of them heal, once. */
  cutPairs(pairs: readonly (readonly [NodeId, NodeId])[], bothWays: boolean): () => void {
    const directed = bothWays ? pairs.flatMap(([a, b]) => [[a, b] as const, [b, a] as const]) : [...pairs];
    for (const [from, to] of directed) this.cut(from, to);
    return () => {
      for (const [from, to] of directed.splice(0)) this.heal(from, to);
    };
  }

  heal(from: NodeId, to: NodeId): void {
    const wire = this.#wire(from, to);
    wire.cuts = Math.max(0, wire.cuts - 1);
  }

  healAll(): void {
    for (const wires of this.#wires.values()) for (const wire of wires.values()) wire.cuts = 0;
    Object.assign(this.mood, calm);
  }

  /** Runs `arrive` once, never or twice, each time when its delay is over; a cut then stops it too. */
  carry(from: NodeId, to: NodeId, label: string, mayRepeat: boolean, arrive: () => void): void {
    this.messages += 1;
    const { loss, duplicates } = this.mood;
    if (from !== to && this.chance.is(loss)) return;
    this.#carryOnce(from, to, label, arrive);
    if (mayRepeat && this.chance.is(duplicates)) this.#carryOnce(from, to, label, arrive);
  }

  delayMs(): number {
    const { delayMs, spikes, spikeMs } = this.mood;
    if (this.chance.is(spikes)) return this.chance.logarithmic(delayMs[1], Math.max(spikeMs, delayMs[1]));
    return this.chance.between(...delayMs);
  }

  /** `answers`: the method that it answers; undefined: it is a request. */
  maybeSpoiled(from: NodeId, to: NodeId, body: Uint8Array, answers: number | undefined): Uint8Array {
    if (from === to || !this.chance.is(this.mood.badFrames)) return body;
    return answers === undefined ? spoiledRequest(this.chance, body) : spoiledAnswer(this.chance, answers, body);
  }

  #carryOnce(from: NodeId, to: NodeId, label: string, arrive: () => void): void {
    const delayMs = from === to ? 0 : this.delayMs();
    const wire = this.#wire(from, to);
    if (wire.cuts > 0) return;
    this.lastArrivalMs = Math.max(this.lastArrivalMs, this.schedule.nowMs + delayMs);
    let labelled = wire.labels.get(label);
    if (labelled === undefined) wire.labels.set(label, (labelled = `${from}>${to} ${label}`));
    this.schedule.after(delayMs, labelled, () => {
      if (wire.cuts === 0) arrive();
    });
  }

  #wire(from: NodeId, to: NodeId): Wire {
    let wires = this.#wires.get(from);
    if (wires === undefined) this.#wires.set(from, (wires = new Map()));
    let wire = wires.get(to);
    if (wire === undefined) wires.set(to, (wire = { cuts: 0, labels: new Map() }));
    return wire;
  }
}
