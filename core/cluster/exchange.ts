/**
 * Two nodes make their rosters equal: digest first, then a summary, then only what differs (PROTOCOL 9).
 * Invariant: what a node says of itself is on its disk before it is said, so a crash cannot make it a stranger to itself.
 */
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import {
  lackingIn,
  rosterFrom,
  rosterMessage,
  rosterPartOf,
  type RosterMessage,
  type RosterSummary,
  summarize,
} from "../membership/exchange.ts";
import type { Roster, RosterPart } from "../membership/roster.ts";
import type { Clock, Transport } from "../ports.ts";
import { call, methods, type RpcServer } from "../rpc/rpc.ts";
import type { View } from "../rpc/messages.ts";
import type { Cluster } from "./cluster.ts";

export interface ExchangeDeps {
  readonly transport: Transport;
  readonly cluster: Cluster;
  readonly clock: Clock;
}

const nothingKnown: RosterSummary = {
  members: [],
  assignment: new Uint8Array(16),
  secrets: new Uint8Array(16),
  changes: new Uint8Array(16),
};

export class Exchange {
  readonly #deps: ExchangeDeps;
  readonly #timeoutMs: number;
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
    return { ring: ring.fingerprint, life: ownRecord.life };
  }

  /**
   * Views meet before data counts: call it with the view of each data message.
   * @throws StoreError `not-member` when the sender is not on the ring, also after merging.
   */
  async meet(from: NodeId, view: View): Promise<void> {
    const { cluster } = this.#deps;
    const agrees = (): boolean =>
      view.ring === cluster.ring.fingerprint && view.life === cluster.roster.members.get(from)?.life;
    if (!agrees()) await this.with(from);
    if (!cluster.isMember(from)) {
      throw new StoreError("not-member", `${from} is no member of the cluster ${cluster.roster.cluster.name}`);
    }
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

  async #ask(peer: NodeId): Promise<void> {
    const { cluster, transport, clock } = this.#deps;
    cluster.noteHints();
    await cluster.save();
    const askedMs = clock.now();
    const name = cluster.roster.cluster.name;
    const digest = cluster.digest;
    const first = await call(transport, peer, methods.exchange, { cluster: name, digest }, this.#timeoutMs);
    if (!first.same && first.summary !== undefined) {
      const part = rosterMessage(cluster.roster, lackingIn(first.summary, cluster.roster));
      const request = { cluster: name, digest, summary: summarize(cluster.roster), part };
      const second = await call(transport, peer, methods.exchange, request, this.#timeoutMs);
      if (second.part) this.#merge(second.part);
    }
    cluster.exchangedWith(peer, askedMs);
  }

  async #answer(
    from: NodeId,
    request: ReturnType<typeof methods.exchange.request.decode>,
  ): Promise<ReturnType<typeof methods.exchange.response.decode>> {
    const { cluster } = this.#deps;
    const { name } = cluster.roster.cluster;
    if (request.cluster !== name) {
      throw new StoreError("bad-request", `this host belongs to the cluster "${name}", not to "${request.cluster}"`);
    }
    // Taken before merging: what loses against the asker's records is still news to the asker (an unknown mark, say).
    const before = cluster.roster;
    if (request.part) this.#merge(request.part);
    cluster.noteHints();
    await cluster.save();
    const same = sameBytes(request.digest, cluster.digest);
    if (request.summary) {
      const part = mergeParts(lackingIn(request.summary, before), lackingIn(request.summary, cluster.roster));
      // The asker merges this answer, so from here on both have seen each other's roster.
      cluster.exchangedWith(from);
      return { same, part: rosterMessage(cluster.roster, part) };
    }
    if (same) cluster.exchangedWith(from);
    return same ? { same } : { same, summary: summarize(cluster.roster) };
  }

  #merge(incoming: RosterMessage): void {
    const { cluster } = this.#deps.cluster.roster;
    checkSameParameters(cluster, incoming.cluster);
    this.#deps.cluster.merge(rosterPartOf(incoming));
  }
}

/** Of a record that was replaced just now the replaced one travels: the other is what the asker sent. */
function mergeParts(before: RosterPart, after: RosterPart): RosterPart {
  return { ...after, members: new Map([...(after.members ?? []), ...(before.members ?? [])]) };
}

/** The whole roster of a peer, for a node that has none yet. */
export async function fetchRoster(
  transport: Transport,
  peer: NodeId,
  clusterName: string,
  timeoutMs: number,
): Promise<Roster> {
  const request = { cluster: clusterName, digest: new Uint8Array(16), summary: nothingKnown };
  const answer = await call(transport, peer, methods.exchange, request, timeoutMs);
  if (!answer.part) throw new StoreError("not-ready", `${peer} has no roster to give yet`);
  return rosterFrom(answer.part);
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
