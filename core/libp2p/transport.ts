/**
 * The Transport port over libp2p: one long-lived framed stream per peer, for the requests of both directions.
 *
 * A stream per request would cost 20 to 100 times as much (280-2,500 us per side); frames of one turn share one write.
 * Peers are authenticated by the connection's handshake: `from` and `to` are `connection.remotePeer`.
 */
import type { Connection, Libp2p, Stream } from "@libp2p/interface";
import { peerIdFromString } from "@libp2p/peer-id";
import { multiaddr } from "@multiformats/multiaddr";
import type { NodeId } from "../identity.ts";
import {
  toldBytesMax,
  TransportError,
  type Clock,
  type PeerState,
  type RequestHandler,
  type Stop,
  type Transport,
} from "../ports.ts";
import { requestProtocol } from "../rpc/frames.ts";
import { Deadlines } from "../deadlines.ts";
import { endOfTurn } from "./end-of-turn.ts";
import { Inbox } from "./inbox.ts";
import { defaultTransportLimits, type TransportLimits } from "./limits.ts";
import { Link } from "./link.ts";
import { Peer } from "./peer.ts";
import { describe, type OnProblem } from "./problem.ts";
import { Reconnect } from "./reconnect.ts";
import { isRelayedAddress, isWebRtc } from "./route.ts";
import { openWindowByHalves } from "./window.ts";

/** A request to itself that wants no answer. */
const toldMs = 1_000;

export interface Libp2pTransport extends Transport {
  /** Takes streams from now on, also on connections that exist. */
  start(): Promise<void>;
  /** Refuses new requests, lets running handlers answer for a grace, closes the streams. libp2p itself stays up. */
  stop(): Promise<void>;
  /** The machine woke, the network is back, the page is visible again: redials now, and probes what looks connected. */
  wake(): void;
}

export interface Libp2pTransportNeeds {
  readonly libp2p: Libp2p;
  readonly clock: Clock;
  readonly onProblem?: OnProblem;
}

export function libp2pTransport(needs: Libp2pTransportNeeds, limits: Partial<TransportLimits> = {}): Libp2pTransport {
  return new TransportOverLibp2p(needs, { ...defaultTransportLimits, ...limits });
}

/** Streams of one connection and direction: one in use, one that it replaces, and room for an impatient peer. */
const streamsMax = 4;
/** Keeps libp2p's pruning of surplus connections away from the peers of the store. */
const peerTag = { everwrite: { value: 100 } };

class TransportOverLibp2p implements Libp2pTransport {
  readonly self: NodeId;
  readonly #libp2p: Libp2p;
  readonly #clock: Clock;
  readonly #limits: TransportLimits;
  readonly #onProblem: OnProblem;
  readonly #deadlines: Deadlines;
  readonly #reconnect: Reconnect<NodeId>;
  readonly #peers = new Map<NodeId, Peer>();
  readonly #opening = new Map<Connection, Promise<void>>();
  readonly #listeners = new Set<(id: NodeId, connected: boolean) => void>();
  #handler: RequestHandler | undefined;
  #state: "new" | "running" | "stopping" | "stopped" = "new";
  #stopTicks: Stop | undefined;

  constructor({ libp2p, clock, onProblem }: Libp2pTransportNeeds, limits: TransportLimits) {
    this.self = nodeIdOf(libp2p);
    this.#libp2p = libp2p;
    this.#clock = clock;
    this.#limits = limits;
    this.#onProblem = onProblem ?? (() => undefined);
    this.#deadlines = new Deadlines(clock);
    this.#reconnect = new Reconnect({
      self: this.self,
      clock,
      limits,
      onUnreachable: (peer, message) => this.#onProblem({ kind: "unreachable", peer, message }),
      isConnected: (id) => this.#peers.get(id)?.isDirect ?? false,
      hasDetour: (id) => this.#peers.get(id)?.current !== undefined,
      connect: (id, addresses) => this.#connect(id, addresses),
    });
  }

  // -- Requests -----------------------------------------------------------------------------------------------------

  request(to: NodeId, body: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    if (this.#state !== "running") return refused("this node is not running");
    if (to === this.self) return this.#requestSelf(body, timeoutMs);
    const link = this.#peers.get(to)?.current;
    return link === undefined ? refused(`not connected to ${to}`) : link.request(body, timeoutMs);
  }

  tell(to: NodeId, body: Uint8Array): void {
    if (body.length > toldBytesMax) throw new RangeError(`${body.length} bytes are more than is told at once`);
    if (this.#state !== "running") return;
    if (to === this.self) void this.#requestSelf(body, toldMs).catch(() => undefined);
    else this.#peers.get(to)?.current?.tell(body);
  }

  #requestSelf(body: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const handler = this.#handler;
    if (handler === undefined) return refused("this node serves no requests now");
    const deadlineMs = this.#clock.now() + timeoutMs;
    return new Promise((resolve, reject) => {
      const expire = (): void => reject(new TransportError("lost", `no answer from this node in ${timeoutMs} ms`));
      const stopDeadline = this.#deadlines.add(deadlineMs, expire);
      const fail = (error: unknown): void => {
        reject(
          new TransportError("lost", `this node failed the request: ${describe(error)}`, {
            cause: error,
          }),
        );
      };
      void (async () => handler(this.self, body, deadlineMs))().then(resolve, fail).finally(stopDeadline);
    });
  }

  serve(handler: RequestHandler): Stop {
    this.#handler = handler;
    return () => {
      if (this.#handler === handler) this.#handler = undefined;
    };
  }

  // -- Peers --------------------------------------------------------------------------------------------------------

  async meet(address: string): Promise<NodeId> {
    const signal = AbortSignal.timeout(this.#limits.dialTimeoutMs);
    try {
      const connection = await this.#libp2p.dial(multiaddr(address), { signal });
      const id = nodeIdOf(connection);
      if (id === this.self) return id;
      await this.#open(connection);
      return id;
    } catch (error) {
      throw new TransportError("not-sent", `cannot reach ${address}: ${describe(error)}`, {
        cause: error,
      });
    }
  }

  keep(peers: ReadonlyMap<NodeId, readonly string[]>): void {
    if (this.#state === "running" || this.#state === "new") this.#reconnect.keep(peers);
  }

  wake(): void {
    for (const peer of this.#peers.values()) for (const link of peer.links) link.probe();
    this.#reconnect.wake();
  }

  *peers(): Iterable<PeerState> {
    for (const peer of this.#peers.values()) yield peer.state();
  }

  onPeerChange(listener: (id: NodeId, connected: boolean) => void): Stop {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #connect(id: NodeId, addresses: readonly string[]): Promise<void> {
    const signal = AbortSignal.timeout(this.#limits.dialTimeoutMs);
    const peerId = peerIdFromString(id);
    const suffix = `/p2p/${id}`;
    const all = addresses.map((a) => multiaddr(a.endsWith(suffix) ? a : a + suffix));
    const hasDetour = this.#peers.get(id)?.current !== undefined;
    const wanted = hasDetour ? all.filter((address) => !isRelayedAddress(address)) : all;
    if (hasDetour && wanted.length === 0) return;
    // Without an address libp2p may still know one, or a connection of the other's making.
    const target = wanted.length === 0 ? peerId : wanted;
    const connection = await this.#libp2p.dial(target, { signal });
    await this.#libp2p.peerStore.merge(peerId, { tags: peerTag });
    await this.#open(connection);
  }

  // -- Links --------------------------------------------------------------------------------------------------------

  /** Whoever dialled opens the stream; the other waits for it. */
  #open(connection: Connection): Promise<void> {
    if (this.#peers.get(nodeIdOf(connection))?.links.some((link) => link.connection === connection && !link.retired))
      return Promise.resolve();
    let opening = this.#opening.get(connection);
    if (opening === undefined) {
      opening = this.#openStream(connection).finally(() => this.#opening.delete(connection));
      this.#opening.set(connection, opening);
    }
    return opening;
  }

  async #openStream(connection: Connection): Promise<void> {
    const stream = await connection.newStream(requestProtocol, {
      signal: AbortSignal.timeout(this.#limits.dialTimeoutMs),
      maxOutboundStreams: streamsMax,
      runOnLimitedConnection: true,
    });
    this.#adopt(stream, connection, this.self);
  }

  #adopt(stream: Stream, connection: Connection, opener: NodeId): void {
    if (this.#state !== "running") return stream.abort(new Error("this node is not running"));
    openWindowByHalves(stream);
    const peer = this.#peerOf(nodeIdOf(connection));
    const before = peer.current !== undefined;
    const link = new Link({
      stream,
      connection,
      peer: peer.id,
      clock: this.#clock,
      deadlines: this.#deadlines,
      limits: this.#limits,
      inbox: peer.inbox,
      onProblem: this.#onProblem,
      onHeard: () => void (peer.lastHeardMs = this.#clock.now()),
      onRoundTrip: (ms) => peer.roundTrips.add(ms),
      onClosed: (closed) => this.#closed(peer, closed),
    });
    peer.add(link, opener);
    this.#reconnect.changed(peer.id, peer.isDirect);
    if (!before) this.#tell(peer.id, true);
  }

  #peerOf(id: NodeId): Peer {
    let peer = this.#peers.get(id);
    if (peer === undefined) {
      const handler = (): RequestHandler | undefined => (this.#state === "running" ? this.#handler : undefined);
      peer = new Peer(
        id,
        new Inbox(id, {
          clock: this.#clock,
          limits: this.#limits,
          handler,
          onProblem: this.#onProblem,
        }),
      );
      this.#peers.set(id, peer);
    }
    return peer;
  }

  #closed(peer: Peer, link: Link): void {
    const wasCurrent = peer.current === link;
    peer.remove(link);
    if (link.broke && isWebRtc(link.connection)) this.#abortWebRtc(peer);
    this.#reconnect.changed(peer.id, peer.isDirect);
    if (!wasCurrent || peer.current !== undefined) return;
    this.#tell(peer.id, false);
    this.#reopen(peer);
  }

  /**
   * The stream that ended had replaced another, which the peer may still use: one that broke off before the peer had taken
   * it up. Who cannot dial the peer, an edge above all, would never reach it again.
   */
  #reopen({ links }: Peer): void {
    const left = links.find(({ connection }) => connection.status === "open");
    if (left !== undefined && this.#state === "running") this.#open(left.connection).catch(() => undefined);
  }

  /**
   * A peer in a browser that is gone, or that closes its stream on the way out, leaves WebRTC connections that look open
   * for 14 s, and that the next dial would be given.
   */
  #abortWebRtc(peer: Peer): void {
    const inUse = new Set(peer.links.map(({ connection }) => connection));
    for (const connection of this.#libp2p.getConnections(peerIdFromString(peer.id))) {
      if (isWebRtc(connection) && !inUse.has(connection)) connection.abort(new Error("its stream of requests ended"));
    }
  }

  #tell(id: NodeId, connected: boolean): void {
    for (const listener of this.#listeners) listener(id, connected);
  }

  // -- Life ---------------------------------------------------------------------------------------------------------

  readonly #onConnection = ({ detail: connection }: CustomEvent<Connection>): void => {
    if (connection.direction !== "outbound") return;
    // Not at once: libp2p aborts a second connection to an address right after this, and its stream would have replaced
    // the one in use. Relays and other bystanders do not speak the protocol; for a kept or met peer the reason is told
    // where it is awaited.
    endOfTurn(() => {
      if (connection.status === "open") this.#open(connection).catch(() => undefined);
    });
  };

  async start(): Promise<void> {
    if (this.#state !== "new") throw new Error(`a transport starts once; this one is ${this.#state}`);
    this.#state = "running";
    const onStream = (stream: Stream, connection: Connection): void =>
      this.#adopt(stream, connection, nodeIdOf(connection));
    await this.#libp2p.handle(requestProtocol, onStream, {
      maxInboundStreams: streamsMax,
      maxOutboundStreams: streamsMax,
      runOnLimitedConnection: true,
    });
    this.#libp2p.addEventListener("connection:open", this.#onConnection);
    for (const connection of this.#libp2p.getConnections())
      this.#onConnection(new CustomEvent("", { detail: connection }));
    this.#tickLater();
  }

  async stop(): Promise<void> {
    if (this.#state !== "running") return;
    this.#state = "stopping";
    this.#reconnect.stop();
    this.#libp2p.removeEventListener("connection:open", this.#onConnection);
    await this.#libp2p.unhandle(requestProtocol);
    await this.#handlersDone();
    this.#state = "stopped";
    this.#stopTicks?.();
    for (const peer of this.#peers.values()) for (const link of peer.links) link.close("this node stops");
    this.#peers.clear();
    this.#deadlines.stop();
  }

  /** Resolves when every answer that was owed is written, or when the grace is over. */
  #handlersDone(): Promise<void> {
    const settled = (): boolean =>
      [...this.#peers.values()].every(({ inbox, links }) => inbox.idle && links.every((l) => l.settled));
    return new Promise((resolve) => {
      const untilMs = this.#clock.now() + this.#limits.graceMs;
      const look = (): void => {
        if (settled() || this.#clock.now() >= untilMs) resolve();
        else this.#clock.after(10, look);
      };
      look();
    });
  }

  #tickLater(): void {
    this.#stopTicks = this.#clock.after(this.#limits.pingMs, () => {
      for (const peer of this.#peers.values()) {
        for (const link of peer.links) link.tick();
        // Strangers that came and went are forgotten.
        if (peer.links.length === 0 && peer.inbox.idle && !this.#reconnect.keeps(peer.id)) this.#peers.delete(peer.id);
      }
      if (this.#state !== "stopped") this.#tickLater();
    });
  }
}

function refused(reason: string): Promise<never> {
  return Promise.reject(new TransportError("not-sent", reason));
}

/** The one place that mints a NodeId: from an identity that libp2p has authenticated, or its own. */
function nodeIdOf(owner: Libp2p | Connection): NodeId {
  return ("remotePeer" in owner ? owner.remotePeer : owner.peerId).toString() as NodeId;
}
