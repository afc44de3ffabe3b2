/**
 * Gets of an edge (PROTOCOL 6): from R owners that it asks itself, else as a host answers, else, with hosts out of reach,
 * from the copy that is here. What hosts tell becomes the copy.
 */
import type { QuorumSpec } from "../config.ts";
import { equalBytes } from "../bytes/compare.ts";
import { clockDigest } from "../causality/clock.ts";
import { coversAll } from "../causality/version-set.ts";
import { StoreError } from "../errors.ts";
import type { Key, NodeId } from "../identity.ts";
import type { LocatedKey } from "../placement/locate.ts";
import type { Clock } from "../ports.ts";
import { resolveQuorum } from "../quorum/resolve.ts";
import type { WatchedNews } from "../rpc/edge-messages.ts";
import { edgeMethods } from "../rpc/edge-methods.ts";
import type { StoreGetOptions, StoreRead } from "../store-node.ts";
import { readOf } from "./answers.ts";
import type { EdgeConfig } from "./config.ts";
import type { Known, Local } from "./local.ts";
import { type OwnersReadDeps, readFromOwners } from "./owners-read.ts";
import { isUnanswered } from "./refusals.ts";
import { type Told, toldBy, toldWhole } from "./told.ts";

interface ReadsDeps extends OwnersReadDeps {
  readonly local: Local;
  readonly clock: Clock;
}

interface Wanted {
  /** Undefined: as hosts have it, which they have not told yet. */
  readonly r: QuorumSpec | undefined;
  /** `clock.now()` */
  readonly untilMs: number;
}

/** What is known here with what hosts have told: told at once, for the copy may be evicted a moment later. */
interface Found {
  readonly known: Known;
  /** Too few owners answered. */
  readonly degraded: boolean;
  /** As far as it is told. */
  readonly answered: readonly NodeId[];
}

/** A host is waited for a little longer than it was told to take. */
const answerMarginMs = 250;

export class Reads {
  readonly #deps: ReadsDeps;
  readonly #config: EdgeConfig;

  constructor(deps: ReadsDeps, config: EdgeConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** Call when hosts have been tried. */
  async get(key: Key, r: StoreGetOptions["r"], timeoutMs: number): Promise<StoreRead> {
    const { contact, clock } = this.#deps;
    if (r === "local" || !contact.isConnected) return this.local(key, "local");
    // More than there are is no outage, in which the copy here would be the answer.
    if (r !== undefined && contact.readQuorum !== undefined) resolveQuorum(r, contact.replicas, "r");
    try {
      const wanted = { r: r ?? contact.readQuorum, untilMs: clock.now() + timeoutMs };
      const { known, ...facts } = await this.#quorum(contact.locate(key), wanted);
      const read = this.#readOf(key, known, "quorum");
      // That too few find nothing tells nothing of the others: it is what is known here, and no more.
      const isUnknown = facts.degraded && read.siblings.length === 0;
      return isUnknown ? this.#readOf(key, known, "local") : { ...read, ...facts };
    } catch (error: unknown) {
      if (!isUnanswered(error)) throw error;
      const read = await this.local(key, "local");
      // Nothing known here is no answer as long as hosts could give one.
      if (read.context === null && contact.isConnected) throw error;
      return read;
    }
  }

  async local(key: Key, source: StoreRead["source"]): Promise<StoreRead> {
    const { contact, local } = this.#deps;
    return this.#readOf(key, await local.know(contact.locate(key)), source);
  }

  /** Takes in what this host tells, and no other: it has told of a change that others may not know yet. @throws StoreError */
  async refresh(key: Key, host: NodeId): Promise<void> {
    const { contact, clock } = this.#deps;
    const wanted = { r: contact.readQuorum, untilMs: clock.now() + this.#config.requestTimeoutMs };
    await this.#fromHosts(contact.locate(key), [host], wanted);
  }

  /** Takes in what a host tells of what is new to who has the state `base`. False: this node has another one, or too little. */
  async takeNews(key: Key, { base, ...news }: Omit<WatchedNews, "place">): Promise<boolean> {
    const { contact, local } = this.#deps;
    const located = contact.locate(key);
    const asked = await local.copy(located);
    if (!equalBytes(clockDigest(asked.state), base)) return false;
    const told = toldBy(news, key, asked);
    if (told === undefined) return false;
    await local.heard(located, told, false);
    return true;
  }

  async #quorum(located: LocatedKey, { r, untilMs }: Wanted): Promise<Found> {
    const { contact, clock, local } = this.#deps;
    if (r !== undefined) {
      const asked = await local.copy(located);
      // A host is to have most of the time.
      const timeoutMs = (untilMs - clock.now()) / 4;
      const wanted = { r: resolveQuorum(r, contact.replicas, "r"), asked, timeoutMs };
      const told = await readFromOwners(this.#deps, this.#config, located, wanted);
      if (told !== undefined)
        return this.#heard(located, told, { r, untilMs }, { degraded: false, answered: told.answered });
    }
    return this.#fromHosts(located, contact.hostsFor(located), { r, untilMs });
  }

  async #fromHosts(located: LocatedKey, hosts: readonly NodeId[], wanted: Wanted): Promise<Found> {
    const { contact, clock, local } = this.#deps;
    const { key } = located;
    const timeoutMs = Math.floor(wanted.untilMs - clock.now());
    if (timeoutMs < 1) throw new StoreError("quorum-not-met", `no answer in time for ${key}`);
    const asked = await local.copy(located);
    const request = { key, timeoutMs, r: wanted.r?.toString() };
    const ask = (have: Uint8Array | undefined) =>
      contact.ask(hosts, edgeMethods.edgeRead, { ...request, have }, timeoutMs + answerMarginMs);
    const { answer, told } = await toldWhole(ask, key, asked);
    const { degraded, answeredAt } = answer;
    const { ring } = contact;
    const placed = ring !== undefined && ring.fingerprint === answer.ring ? ring.hosts : [];
    const answered = answeredAt.flatMap((place) => placed[place]?.id ?? []);
    return this.#heard(located, told, wanted, { degraded, answered });
  }

  /**
   * A quorum's answer replaces the copy; from fewer it only learns. Where they lack what it has, they have not met it, or all
   * hosts have forgotten it, as deleted or replaced. More of them can tell: without, what fewer than a quorum lack is kept, and
   * what a quorum lacks is gone.
   */
  async #heard(located: LocatedKey, told: Told, { r, untilMs }: Wanted, facts: Omit<Found, "known">): Promise<Found> {
    const { contact, local } = this.#deps;
    const isQuorum = r === "quorum" || r === "all" || Number(r) > contact.replicas / 2;
    let { degraded } = facts;
    if (!degraded && r !== "all" && !coversAll(told.state.vector, told.asked.state.vector)) {
      try {
        const more = { r: isQuorum ? "all" : "quorum", untilMs } as const;
        return await this.#fromHosts(located, contact.hostsFor(located), more);
      } catch (error: unknown) {
        if (!isUnanswered(error)) throw error;
        degraded = !isQuorum;
      }
    }
    return { ...facts, known: await local.heard(located, told, isQuorum && !degraded), degraded };
  }

  #readOf(key: Key, known: Known, source: StoreRead["source"]): StoreRead {
    const { self, contact } = this.#deps;
    return readOf({ edge: self, key }, known, { source, nowMs: contact.wallMs });
  }
}
