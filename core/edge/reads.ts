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
  /** Undefined: as hosts have it. */
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
      const { known, ...facts } = await this.#quorum(contact.locate(key), { r, untilMs: clock.now() + timeoutMs });
      const read = { ...this.#readOf(key, known, "quorum"), ...facts };
      // That too few find nothing tells nothing of the others: it is what is known here, and no more.
      return facts.degraded && read.siblings.length === 0 ? this.#readOf(key, known, "local") : read;
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
    const wanted = { r: undefined, untilMs: clock.now() + this.#config.requestTimeoutMs };
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
    const spec = r ?? contact.readQuorum;
    let isBehind = false;
    if (spec !== undefined) {
      const asked = await local.copy(located);
      // A host is to have most of the time.
      const timeoutMs = (untilMs - clock.now()) / 4;
      const wanted = { r: resolveQuorum(spec, contact.replicas, "r"), asked, timeoutMs };
      const told = await readFromOwners(this.#deps, this.#config, located, wanted);
      const known = told && (await this.#heard(located, told, spec));
      if (known) return { known, degraded: false, answered: told.answered };
      isBehind = told !== undefined;
    }
    return this.#fromHosts(located, contact.hostsFor(located), { r: isBehind ? "quorum" : r, untilMs });
  }

  async #fromHosts(located: LocatedKey, hosts: readonly NodeId[], { r, untilMs }: Wanted): Promise<Found> {
    const { contact, clock, local } = this.#deps;
    const timeoutMs = Math.floor(untilMs - clock.now());
    if (timeoutMs < 1) throw new StoreError("quorum-not-met", `no owner of ${located.key} has answered in time`);
    const asked = await local.copy(located);
    const { key } = located;
    const request = { key, timeoutMs, ...(r === undefined ? {} : { r: String(r) }) };
    const ask = (have: { readonly have?: Uint8Array }) =>
      contact.ask(hosts, edgeMethods.edgeRead, { ...request, ...have }, timeoutMs + answerMarginMs);
    const { answer, told } = await toldWhole(ask, key, asked);
    const { degraded, answeredAt } = answer;
    const { ring } = contact;
    const placed = ring !== undefined && ring.fingerprint === answer.ring ? ring.hosts : [];
    const facts = { degraded, answered: answeredAt.flatMap((place) => placed[place]?.id ?? []) };
    if (degraded) return { known: await local.heard(located, told, false), ...facts };
    const known = await this.#heard(located, told, r ?? contact.readQuorum ?? "quorum");
    return known ? { known, ...facts } : this.#fromHosts(located, hosts, { r: "quorum", untilMs });
  }

  /**
   * From fewer than a quorum the copy only learns. Undefined: they lack what it has. Have they not met it, or have all hosts
   * forgotten it, as deleted or replaced? Merged it would be back. A quorum can tell.
   */
  async #heard(located: LocatedKey, told: Told, r: QuorumSpec): Promise<Known | undefined> {
    const isQuorum = r === "quorum" || r === "all";
    if (!isQuorum && !coversAll(told.state.vector, told.asked.state.vector)) return undefined;
    return this.#deps.local.heard(located, told, isQuorum);
  }

  #readOf(key: Key, known: Known, source: StoreRead["source"]): StoreRead {
    const { self, contact } = this.#deps;
    return readOf({ edge: self, key }, known, { source, nowMs: contact.wallMs });
  }
}
