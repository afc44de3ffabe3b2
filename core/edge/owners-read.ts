/**
 * A get that an edge coordinates itself (the paper's client-driven coordination, 6.4): it asks R owners for their own copies
 * and merges them, which saves the trip from a coordinator to the other owners. Owners are counted as at a host
 * (`quorum/read-tally.ts`), the next one is asked when an answer is late, and a tenth of the gets asks all of them.
 *
 * Only where that is all there is to it: R owners are connected, each says that it and all others are complete, on the ring
 * that is known here. Whatever else may be (an owner fills, is away or is none any more; stand-ins hold what is asked for)
 * is a host's to judge, for hosts hear of it first; so "absent" and "degraded" mean here what they mean there.
 * Invariant: what is told is the merge of R owners' copies, and its contexts cover no more than that.
 */
import type { Infer } from "../bytes/codec.ts";
import { equalBytes } from "../bytes/compare.ts";
import { clockDigest } from "../causality/clock.ts";
import { merge, nothing, type Versioned } from "../causality/version-set.ts";
import type { NodeConfig } from "../config.ts";
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import type { LocatedKey } from "../placement/locate.ts";
import { type Random, TransportError } from "../ports.ts";
import { ReadTally } from "../quorum/read-tally.ts";
import { edgeMethods } from "../rpc/edge-methods.ts";
import { reasonOf, type Tasks } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";
import type { Contact } from "./contact.ts";
import type { Copy } from "./copy-row.ts";
import { noEvidence, unite } from "./evidence.ts";
import { type Told, toldBy } from "./told.ts";

export interface OwnersReadDeps {
  readonly self: NodeId;
  readonly contact: Contact;
  readonly random: Random;
  readonly tasks: Tasks;
  readonly telemetry: Telemetry;
}

type Config = Pick<
  NodeConfig,
  "replicaTimeoutMs" | "speculativeDelayMinMs" | "readRepairShare" | "inlineValueBytesMax" | "requestTimeoutMs"
>;

interface Wanted {
  readonly r: number;
  /** The copy that is here. */
  readonly asked: Copy;
  readonly timeoutMs: number;
}

interface Reply {
  readonly digest: Uint8Array;
  /** Undefined: too large to come unasked, and not that of the copy here. */
  readonly state: Versioned | undefined;
  readonly contexts: readonly string[];
}

/** And by whom. */
export interface OwnersTold extends Told {
  readonly answered: readonly NodeId[];
}

/** Undefined: a host has to coordinate. Never rejects. */
export function readFromOwners(
  deps: OwnersReadDeps,
  config: Config,
  located: LocatedKey,
  wanted: Wanted,
): Promise<OwnersTold | undefined> {
  const owners = deps.contact.ownersUp(located);
  if (owners.length < wanted.r) return Promise.resolve(undefined);
  return new OwnersRead(deps, config, located, wanted).run(owners);
}

/** Lives on after the answer until all that were asked have answered; then those that are behind are mended. */
class OwnersRead {
  readonly #deps: OwnersReadDeps;
  readonly #config: Config;
  readonly #located: LocatedKey;
  readonly #wanted: Wanted;
  readonly #have: Uint8Array;
  readonly #ring: string | undefined;
  readonly #tally: ReadTally;
  readonly #replies: Reply[] = [];
  /** Owners that may still be asked, the fastest first. */
  #left: readonly NodeId[] = [];
  #waiting = 0;
  #isSettled = false;
  #settle: (told: OwnersTold | undefined) => void = () => {};

  constructor(deps: OwnersReadDeps, config: Config, located: LocatedKey, wanted: Wanted) {
    this.#deps = deps;
    this.#config = config;
    this.#located = located;
    this.#wanted = wanted;
    this.#have = clockDigest(wanted.asked.state);
    this.#ring = deps.contact.ring?.fingerprint;
    this.#tally = new ReadTally({ owners: deps.contact.ownersOf(located.key), holders: new Map() }, wanted.r);
  }

  run(owners: readonly NodeId[]): Promise<OwnersTold | undefined> {
    const { contact, random, tasks } = this.#deps;
    const { speculativeDelayMinMs, readRepairShare } = this.#config;
    return new Promise((resolve) => {
      const lateMs = Math.max(contact.roundTripP95Ms(owners[0]!), speculativeDelayMinMs);
      const stopTimer = tasks.after(lateMs, () => this.#askNext());
      const forget = tasks.onStop(() => this.#settle(undefined));
      this.#settle = (told) => {
        if (this.#isSettled) return;
        this.#isSettled = true;
        stopTimer();
        forget();
        resolve(told);
      };
      if (tasks.stopped) this.#settle(undefined); // and it will tell nobody
      this.#left = owners;
      const count = random.next() < readRepairShare ? owners.length : this.#wanted.r;
      while (this.#waiting < count && !this.#isSettled) this.#askNext();
    });
  }

  #askNext(): void {
    const [owner, ...left] = this.#left;
    if (owner === undefined || this.#isSettled) return;
    // The fastest sends its copy whatever its size, the others where a second trip would cost more.
    const inlineBytesMax = this.#waiting === 0 ? undefined : this.#config.inlineValueBytesMax;
    this.#left = left;
    this.#waiting += 1;
    this.#tally.ask(owner);
    this.#deps.tasks.run("read from owners", () => this.#ask(owner, inlineBytesMax));
  }

  async #ask(owner: NodeId, inlineBytesMax: number | undefined): Promise<void> {
    const { contact, telemetry } = this.#deps;
    const { key } = this.#located;
    const request = { key, have: this.#have, inlineBytesMax };
    const timeoutMs = Math.min(this.#config.replicaTimeoutMs, this.#wanted.timeoutMs);
    try {
      this.#take(owner, await contact.askOne(owner, edgeMethods.edgeFetch, request, timeoutMs));
    } catch (error: unknown) {
      if (!(error instanceof TransportError || error instanceof StoreError)) {
        this.#settle(undefined);
        throw error;
      }
      telemetry.event({ kind: "replica-failed", id: owner, reason: reasonOf(error) });
      this.#tally.fail(owner);
      this.#askNext();
      this.#proceed();
    }
    this.#waiting -= 1;
    if (this.#waiting === 0) this.#mend();
  }

  /** @throws StoreError `internal`: it is unreadable */
  #take(owner: NodeId, answer: Infer<typeof edgeMethods.edgeFetch.response>): void {
    const { counts, digest, ring } = answer;
    // Told whole, or not at all.
    const { state, contexts } = toldBy({ ...answer, omitted: [] }, this.#located.key, this.#wanted.asked)!;
    const isKnown = contexts.length === 0 || answer.state !== undefined || equalBytes(digest, this.#have);
    this.#replies.push({ digest, contexts, state: isKnown ? state : undefined });
    if (!counts || ring !== this.#ring || ring !== this.#deps.contact.ring?.fingerprint) return this.#settle(undefined);
    this.#tally.reply(owner, "complete");
    this.#proceed();
  }

  #proceed(): void {
    const { kind } = this.#tally.outcome();
    if (kind !== "pending") this.#settle(kind === "met" ? this.#merged() : undefined);
  }

  /** Undefined: a copy is missing that differs from all that came. */
  #merged(): OwnersTold | undefined {
    const isHere = ({ digest }: Reply): boolean =>
      this.#replies.some(({ state, digest: other }) => state !== undefined && equalBytes(other, digest));
    if (!this.#replies.every(isHere)) return undefined;
    const state = this.#replies.reduce((all, each) => merge(all, each.state ?? nothing), nothing);
    const parts = this.#replies.map(({ contexts }) => ({ ...noEvidence, contexts }));
    const { contexts } = unite({ edge: this.#deps.self, key: this.#located.key }, parts);
    return { asked: this.#wanted.asked, state, contexts, answered: this.#tally.replied };
  }

  /** Read repair is the hosts', which alone may hand copies on: one is asked to read all owners. */
  #mend(): void {
    const { contact, tasks } = this.#deps;
    const [first, ...others] = this.#replies;
    if (first === undefined || others.every(({ digest }) => equalBytes(digest, first.digest))) return;
    const { requestTimeoutMs: timeoutMs } = this.#config;
    const request = { key: this.#located.key, r: "all", have: first.digest, timeoutMs };
    tasks.run("read repair", () =>
      contact.ask(contact.hostsFor(this.#located), edgeMethods.edgeRead, request, timeoutMs),
    );
  }
}
