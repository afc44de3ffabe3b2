/**
 * Two nodes make their rosters equal, in three trips: the asker's digest, against the digests of the asked's groups of
 * members; what the asker has in the groups that differ, against what of that the asked has otherwise; and what the asked
 * then still lacks (PROTOCOL 9). Equal rosters end it after the first.
 * Invariants: what a node says of itself is on its disk before it is said, so a crash cannot make it a stranger to itself;
 * what arrives is admitted (`admit.ts`) before it is merged; an exchange is with one run of each side, for what one run has
 * heard the next may not know.
 */
import type { Infer } from "../bytes/codec.ts";
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import { compareWith, nothingKnown, type RosterSummary, summarize } from "../membership/comparison.ts";
import { differenceTo, owedTo } from "../membership/difference.ts";
import { rosterMessage, type RosterMessage, toldIn } from "../membership/exchange.ts";
import type { MemberRecord } from "../membership/member.ts";
import { emptyRoster, mergeRoster, type Roster, type RosterPart } from "../membership/roster.ts";
import { checkPartitions } from "../placement/partition.ts";
import type { Clock, Identity, Transport } from "../ports.ts";
import type { Consents } from "../replica/consents.ts";
import { call, methods, type RpcServer } from "../rpc/rpc.ts";
import type { View } from "../rpc/common-messages.ts";
import type { Telemetry } from "../telemetry.ts";
import { type Admitted, admit, mayKnowSecrets } from "./admit.ts";
import type { Cluster } from "./cluster.ts";

export interface ExchangeDeps {
  readonly transport: Transport;
  readonly identity: Identity;
  readonly telemetry: Telemetry;
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly consents: Pick<Consents, "tell" | "hear">;
}

type Request = Infer<typeof methods.exchange.request>;
type Response = Infer<typeof methods.exchange.response>;

/** Hexadecimal, of a mark's 32: enough to tell starts of one host apart. */
const viewMarkDigits = 16;

export class Exchange {
  readonly #deps: ExchangeDeps;
  readonly #timeoutMs: number;
  /** The last one that was asked for: it seldom changes. */
  #view: View = { ring: "", life: 0 };
  #viewOf: MemberRecord | undefined;
  readonly #running = new Map<NodeId, Promise<void>>();

  constructor(deps: ExchangeDeps, options: { readonly timeoutMs: number }) {
    this.#deps = deps;
    this.#timeoutMs = options.timeoutMs;
  }

  serve(server: RpcServer): void {
    server.on(methods.exchange, (from, request) => this.#answer(from, request));
  }

  /** Afterwards both sides have merged each other's roster. Calls for one peer that overlap share one exchange. */
  with(peer: NodeId): Promise<void> {
    let running = this.#running.get(peer);
    if (running === undefined) {
      running = this.#ask(peer).finally(() => {
        this.#running.delete(peer);
      });
      this.#running.set(peer, running);
    }
    return running;
  }

  /** Where this node stands, for data messages. */
  view(): View {
    const { ring, ownRecord } = this.#deps.cluster;
    const { fingerprint } = ring;
    if (this.#view.ring !== fingerprint || this.#viewOf !== ownRecord) {
      this.#view = { ring: fingerprint, life: ownRecord.life, mark: ownRecord.mark.slice(0, viewMarkDigits) };
      this.#viewOf = ownRecord;
    }
    return this.#view;
  }

  /** Whether `meet` would do nothing, as it most often would. */
  hasMet(from: NodeId, view: View): boolean {
    // Once since either has started in any case: what one knows of the other may tell that its data is an old copy, which
    // can promise nothing, and of which nothing is taken (PROTOCOL 9, *Restored old copy*).
    const { cluster } = this.#deps;
    const met = cluster.lastExchange(from)?.mark;
    const isSameStart = view.mark !== undefined && met?.startsWith(view.mark) === true;
    return isSameStart && this.#agrees(from, view) && cluster.isMember(from);
  }

  /**
   * Views meet before data counts: call it with the view of each data message.
   * @throws StoreError `not-member` when the sender is not on the ring, also after merging; `not-ready` when the run that
   *   sent it is over: who knows whether its data was an old copy
   */
  async meet(from: NodeId, view: View): Promise<void> {
    const { cluster } = this.#deps;
    if (!this.hasMet(from, view)) {
      await this.with(from);
      // One that was under way may have been with the run before.
      if (!this.#hasMetRun(from, view)) await this.with(from);
    }
    if (!cluster.isMember(from)) {
      throw new StoreError("not-member", `${from} is no member of the cluster ${cluster.roster.cluster.name}`);
    }
    if (!this.#hasMetRun(from, view)) throw new StoreError("not-ready", `${from} has begun anew since it sent this`);
  }

  #hasMetRun(from: NodeId, { mark }: View): boolean {
    return mark === undefined || this.#deps.cluster.lastExchange(from)?.mark.startsWith(mark) === true;
  }

  /**
   * The same for what is only true of one ring.
   * @throws StoreError `not-ready` when the sender sees another one than this node, also after merging: it has to ask anew
   */
  async meetOnOneRing(from: NodeId, view: View): Promise<void> {
    await this.meet(from, view);
    const { fingerprint } = this.#deps.cluster.ring;
    if (view.ring !== fingerprint) {
      throw new StoreError("not-ready", `the rings differ: ${view.ring} there, ${fingerprint} here`);
    }
  }

  #agrees(from: NodeId, view: View): boolean {
    const { ring, roster } = this.#deps.cluster;
    return view.ring === ring.fingerprint && view.life === roster.members.get(from)?.life;
  }

  /**
   * Merges what `from` sent, by exchange or gossip, as far as it may. False: some of it was refused.
   * @throws StoreError `bad-request` for another cluster's roster
   * @throws DecodeError
   */
  async take(from: NodeId, incoming: RosterMessage, via: "exchange" | "gossip"): Promise<boolean> {
    const { cluster, consents, identity, telemetry } = this.#deps;
    checkSameParameters(cluster.roster.cluster, incoming.cluster);
    const { part, refused } = await admit(identity, cluster.roster, from, toldIn(incoming));
    for (const { about, reason } of refused) telemetry.event({ kind: "bad-record", from, about, reason });
    // Of a member, which may tell secrets.
    if (part.secrets !== undefined && incoming.consents !== undefined) consents.hear(incoming.consents);
    cluster.merge(part, via);
    return refused.length === 0;
  }

  async #ask(peer: NodeId): Promise<void> {
    const { cluster, transport, clock } = this.#deps;
    cluster.noteHints();
    await cluster.save();
    const askedMs = clock.now();
    const first = await call(transport, peer, methods.exchange, this.#stand(), this.#timeoutMs);
    const { view } =
      first.same || first.summary === undefined ? first : await this.#compare(peer, first, first.summary);
    cluster.exchangedWith(peer, { askedMs, view });
  }

  /** What each trip says. */
  #stand(): Pick<Request, "cluster" | "digest" | "view"> {
    const { roster, digest } = this.#deps.cluster;
    return { cluster: roster.cluster.name, digest, view: this.view() };
  }

  /** The last answer. */
  async #compare(peer: NodeId, { view }: Response, summary: RosterSummary): Promise<Response> {
    const { cluster, transport } = this.#deps;
    const run = view?.mark === undefined ? {} : { run: view.mark };
    const asked = { ...this.#stand(), ...run, compare: compareWith(summary, cluster.roster) };
    const second = await call(transport, peer, methods.exchange, asked, this.#timeoutMs);
    if (second.part === undefined) return second;
    const difference = { part: toldIn(second.part).records, lacking: second.lacking.map((id) => id as NodeId) };
    await this.take(peer, second.part, "exchange");
    await cluster.save();
    const part = this.#told(peer, owedTo(summary.sections, difference, cluster.roster));
    // Also when nothing is owed: the asked hears that both have seen each other's roster.
    return call(transport, peer, methods.exchange, { ...this.#stand(), ...run, part }, this.#timeoutMs);
  }

  async #answer(from: NodeId, request: Request): Promise<Response> {
    const { cluster } = this.#deps;
    checkClusterName(cluster, request.cluster);
    if (request.run !== undefined && request.run !== this.view().mark)
      throw new StoreError("not-ready", "the asked host has begun anew since");
    if (request.part) {
      await this.take(from, request.part, "exchange");
      cluster.exchangedWith(from, request);
    }
    cluster.noteHints();
    await cluster.save();
    const view = this.view();
    if (request.compare) {
      const { part, lacking } = differenceTo(request.compare, cluster.roster);
      return { same: false, part: this.#told(from, part), lacking, view };
    }
    const same = sameBytes(request.digest, cluster.digest);
    if (same) cluster.exchangedWith(from, request);
    return same ? { same, lacking: [], view } : { same, summary: summarize(cluster.roster), lacking: [], view };
  }

  #told(peer: NodeId, { secrets, ...part }: RosterPart): RosterMessage {
    const { cluster, consents } = this.#deps;
    const { roster } = cluster;
    if (secrets === undefined || !mayKnowSecrets(roster, peer)) return rosterMessage(roster, part);
    return { ...rosterMessage(roster, { ...part, secrets }), consents: consents.tell(roster) };
  }
}

/** The whole roster of a peer but for the secrets, for a node that has none yet. */
export async function fetchRoster(
  { transport, identity }: Pick<ExchangeDeps, "transport" | "identity">,
  peer: NodeId,
  clusterName: string,
  timeoutMs: number,
): Promise<Roster> {
  const request = { cluster: clusterName, digest: new Uint8Array(16), compare: nothingKnown };
  const answer = await call(transport, peer, methods.exchange, request, timeoutMs);
  if (!answer.part) throw new StoreError("not-ready", `${peer} has no roster to give yet`);
  checkPartitions(answer.part.cluster.partitions);
  const empty = emptyRoster(answer.part.cluster);
  const { part }: Admitted = await admit(identity, empty, peer, toldIn(answer.part));
  if (part.assignment === undefined) throw new StoreError("not-ready", `${peer} is itself no member of the cluster`);
  return mergeRoster(empty, part);
}

/** @throws StoreError `bad-request`: another cluster is asked */
export function checkClusterName({ roster }: Pick<Cluster, "roster">, asked: string): void {
  const { name } = roster.cluster;
  if (asked === name) return;
  throw new StoreError("bad-request", `the asked host belongs to the cluster "${name}", not "${asked}"`);
}

/** @throws StoreError `bad-request` naming the parameter that differs. */
export function checkSameParameters(
  ours: Roster["cluster"],
  theirs: { readonly name?: string; readonly partitions?: number; readonly n?: number; readonly admission?: string },
): void {
  for (const parameter of ["name", "partitions", "n", "admission"] as const) {
    const wanted = theirs[parameter];
    if (wanted !== undefined && wanted !== ours[parameter]) {
      throw new StoreError(
        "bad-request",
        `${parameter} is fixed for the cluster "${ours.name}" at ${ours[parameter]}, not ${wanted}`,
      );
    }
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
