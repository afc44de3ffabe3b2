/**
 * The transport of a host that nobody can dial: its seeds may be relays, and meeting one of those is to be connected with a
 * host of the cluster that is there. Strangers first: they may be of a ring of the same name that was founded apart, which
 * the two then merge (PROTOCOL 9), while members find each other by what they know of each other.
 *
 * Invariant: as long as it is a host, it is listed at every relay that it is connected with.
 */
import type { Connection, Libp2p } from "@libp2p/interface";
import { peerIdFromString } from "@libp2p/peer-id";
import type { NodeId } from "../identity.ts";
import { type Clock, type Random, type Stop, type Transport, TransportError } from "../ports.ts";
import { askForIntroduction, type Introduction, type Question } from "./introductions.ts";
import type { MeetingPoint } from "./meeting-points.ts";
import { describe } from "./problem.ts";

export interface IntroducedNeeds {
  readonly libp2p: Libp2p;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  /** The seeds: relays, and hosts that can be dialled. */
  readonly points: () => Iterable<MeetingPoint>;
}

/** How often it looks for relays at which it is not listed. */
const listIntervalMs = 1_000;
/** Hosts that lost their relay are back at it by then (`redialMsMax`, and the time of a dial). */
const relaySettlesMs = 10_000;

export class Introduced {
  readonly transport: Transport;
  readonly #needs: IntroducedNeeds;
  readonly #cluster: string;
  #members: ReadonlySet<NodeId> = new Set();
  /** Connections over which it is listed as a host, or that lead to no relay. */
  readonly #listed = new WeakSet<Connection>();
  /** Connections over which it is being listed. */
  readonly #listing = new WeakSet<Connection>();
  #standing: Question["standing"] = "visitor";
  #stopTimer: Stop = () => {};
  #isStopped = false;

  constructor(needs: IntroducedNeeds, cluster: string) {
    this.#needs = needs;
    this.#cluster = cluster;
    const { transport } = needs;
    this.transport = {
      self: transport.self,
      request: (to, body, timeoutMs) => transport.request(to, body, timeoutMs),
      tell: (to, body) => transport.tell(to, body),
      serve: (handler) => transport.serve(handler),
      meet: (address) => this.#meet(address),
      keep: (peers) => {
        this.#members = new Set(peers.keys());
        transport.keep(peers);
      },
      peers: () => transport.peers(),
      onPeerChange: (listener) => transport.onPeerChange(listener),
    };
  }

  /** This node has its place in the cluster: from now on it is listed at the relays. */
  list(): void {
    this.#standing = "host";
    const look = (): void => {
      if (this.#isStopped) return;
      for (const { connection } of this.#points()) {
        if (connection !== undefined && !this.#listed.has(connection)) void this.#listAt(connection);
      }
      this.#stopTimer = this.#needs.clock.after(listIntervalMs, look);
    };
    look();
  }

  /** A relay that does not answer is asked again, once it has had its time. */
  async #listAt(connection: Connection): Promise<void> {
    if (this.#listing.has(connection)) return;
    this.#listing.add(connection);
    await this.#ask(connection).catch(() => undefined);
    this.#listing.delete(connection);
  }

  stop(): void {
    this.#isStopped = true;
    this.#stopTimer();
  }

  /**
   * Whether this node is to found the cluster. Each seed must answer, or one that does not could be a host of it or know one;
   * all must be relays, run for long enough to know who is there, and know of no host. Of those who ask at once that one is
   * the first that came first to one of the relays, the same for all who have the same seeds. Where they have not, two may
   * found it; then their rings merge.
   */
  async isFirst(): Promise<boolean> {
    if (this.#standing === "visitor") this.#standing = "candidate";
    const points = this.#points().toSorted((a, b) => ((a.id ?? "") < (b.id ?? "") ? -1 : 1));
    const asked = points.map(async ({ connection }) => connection && this.#ask(connection).catch(() => undefined));
    const answers = await Promise.all(asked);
    const isAlone = answers.every((answer) => answer?.hosts.length === 0 && answer.upMs >= relaySettlesMs);
    return isAlone && answers[0]?.isFirst === true;
  }

  async #meet(address: string): Promise<NodeId> {
    const { transport } = this.#needs;
    const point = this.#points().find((each) => each.address === address);
    if (point === undefined) return transport.meet(address);
    const { connection, reason = "no answer yet" } = point;
    if (connection === undefined) throw new TransportError("not-sent", `cannot reach ${address}: ${reason}`);
    const answer = await this.#ask(connection);
    // By its id, so that it is met over that connection.
    if (answer === undefined) return transport.meet(addressOf(connection));
    const met = this.#choose(answer.hosts);
    if (met !== undefined) return transport.meet(`${addressOf(connection)}/p2p-circuit/webrtc/p2p/${met}`);
    const text = `the relay ${address} knows of no host of the cluster "${this.#cluster}"`;
    const isNew = answer.upMs < relaySettlesMs;
    throw new TransportError("not-sent", isNew ? `${text}, but it has just started: some may be on their way` : text);
  }

  #choose(hosts: readonly NodeId[]): NodeId | undefined {
    const strangers = hosts.filter((id) => !this.#members.has(id));
    const candidates = strangers.length > 0 ? strangers : hosts;
    return candidates[Math.floor(this.#needs.random.next() * candidates.length)];
  }

  #points(): (MeetingPoint & { readonly connection: Connection | undefined })[] {
    const { libp2p, points } = this.#needs;
    return [...points()].map((point) => {
      const connections = point.id === undefined ? [] : libp2p.getConnections(peerIdFromString(point.id));
      return { ...point, connection: connections.find(({ status }) => status === "open") };
    });
  }

  /** Undefined: who is there introduces nobody. @throws TransportError: it does not answer */
  async #ask(connection: Connection): Promise<Introduction | undefined> {
    const standing = this.#standing;
    try {
      const answer = await askForIntroduction(connection, { cluster: this.#cluster, standing });
      if (standing === "host") this.#listed.add(connection);
      return answer;
    } catch (error: unknown) {
      if (error instanceof Error && error.name === "UnsupportedProtocolError") {
        this.#listed.add(connection);
        return undefined;
      }
      throw new TransportError("not-sent", `${connection.remoteAddr.toString()} introduces nobody: ${describe(error)}`);
    }
  }
}

/** With the id of who is there. */
function addressOf({ remoteAddr, remotePeer }: Connection): string {
  return `${remoteAddr.toString().replace(/\/p2p\/[^/]*$/, "")}/p2p/${remotePeer.toString()}`;
}
