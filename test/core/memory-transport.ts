/**
 * An in-memory network of Transports: delay, loss and cuts by command, order and chance only by the given clock and
 * random, so that a run can be repeated exactly. It passes the same suite as the real one.
 */
import type { NodeId } from "../../core/identity.ts";
import {
  TransportError,
  type Clock,
  type PeerState,
  type Random,
  type RequestHandler,
  type Stop,
  type Transport,
} from "../../core/ports.ts";

export interface MemoryNetworkOptions {
  readonly clock: Clock;
  readonly random: Pick<Random, "next">;
  /** One way, ms: between these two. */
  readonly delayMs?: readonly [number, number];
  /** Share of requests and answers that vanish. */
  readonly loss?: number;
  /** Bytes of unanswered requests to one peer. */
  readonly outboundBytesMax?: number;
  readonly redialMs?: number;
}

/** How many bytes a request costs beside its body. */
const requestBytes = 256;

export class MemoryNetwork {
  readonly clock: Clock;
  readonly outboundBytesMax: number;
  readonly redialMs: number;
  delayMs: readonly [number, number];
  loss: number;
  readonly #random: Pick<Random, "next">;
  readonly #nodes = new Map<NodeId, MemoryTransport>();
  readonly #cuts = new Set<string>();

  constructor(options: MemoryNetworkOptions) {
    this.clock = options.clock;
    this.#random = options.random;
    this.delayMs = options.delayMs ?? [0, 0];
    this.loss = options.loss ?? 0;
    this.outboundBytesMax = options.outboundBytesMax ?? 64 * 1024 * 1024;
    this.redialMs = options.redialMs ?? 20;
  }

  /** A node that others can dial as `memory:<name>`; a second one of the same name is the first one restarted. */
  node(name: string): MemoryTransport {
    const id = name as NodeId;
    this.#nodes.get(id)?.die();
    const node = new MemoryTransport(id, this);
    this.#nodes.set(id, node);
    return node;
  }

  /** Breaks what connects two nodes and lets nothing through until `heal`. */
  cut(a: NodeId, b: NodeId): void {
    this.#cuts.add(pairOf(a, b));
    this.#nodes.get(a)?.disconnect(b, "cut");
    this.#nodes.get(b)?.disconnect(a, "cut");
  }

  heal(a: NodeId, b: NodeId): void {
    this.#cuts.delete(pairOf(a, b));
  }

  reachable(from: NodeId, to: NodeId): MemoryTransport | undefined {
    const node = this.#nodes.get(to);
    return node === undefined || !node.alive || this.#cuts.has(pairOf(from, to)) ? undefined : node;
  }

  /** Runs `arrive` after the delay of one way, unless chance loses it. */
  carry(arrive: () => void): void {
    const [min, max] = this.delayMs;
    const ms = min + this.#random.next() * (max - min);
    if (this.#random.next() >= this.loss) this.clock.after(ms, arrive);
  }
}

interface Waiting {
  readonly sentMs: number;
  readonly bytes: number;
  settle(error: TransportError): void;
}

class Peer {
  connected = false;
  /** Changes with each connection: what was sent over an old one does not arrive over a new one. */
  connection = 0;
  lastHeardMs: number | undefined;
  rttMs: number | undefined;
  readonly waiting = new Set<Waiting>();

  get waitingBytes(): number {
    let bytes = 0;
    for (const waiting of this.waiting) bytes += waiting.bytes;
    return bytes;
  }
}

export class MemoryTransport implements Transport {
  readonly self: NodeId;
  readonly #network: MemoryNetwork;
  readonly #peers = new Map<NodeId, Peer>();
  /** Requests to itself. */
  readonly #own = new Peer();
  readonly #listeners = new Set<(id: NodeId, connected: boolean) => void>();
  #kept: ReadonlySet<NodeId> = new Set();
  #handler: RequestHandler | undefined;
  #stopRedial: Stop | undefined;
  alive = true;

  constructor(self: NodeId, network: MemoryNetwork) {
    this.self = self;
    this.#network = network;
  }

  get address(): string {
    return `memory:${this.self}`;
  }

  // -- Transport ----------------------------------------------------------------------------------------------------

  async request(to: NodeId, body: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    if (!this.alive) throw new TransportError("not-sent", "this node is not running");
    const deadlineMs = this.#network.clock.now() + timeoutMs;
    if (to === this.self) return this.#exchange(this.#own, this, body, deadlineMs);
    const peer = this.#peers.get(to);
    const node = this.#network.reachable(this.self, to);
    if (peer?.connected !== true || node === undefined) throw new TransportError("not-sent", `not connected to ${to}`);
    if (peer.waitingBytes + body.length > this.#network.outboundBytesMax)
      throw new TransportError("not-sent", "overloaded");
    return this.#exchange(peer, node, body, deadlineMs);
  }

  tell(to: NodeId, body: Uint8Array): void {
    this.request(to, body, 1_000).catch(() => undefined);
  }

  serve(handler: RequestHandler): Stop {
    this.#handler = handler;
    return () => {
      if (this.#handler === handler) this.#handler = undefined;
    };
  }

  async meet(address: string): Promise<NodeId> {
    const id = address.replace(/^memory:/, "") as NodeId;
    if (id === this.self) return id;
    const node = this.#network.reachable(this.self, id);
    if (node === undefined) throw new TransportError("not-sent", `cannot reach ${address}`);
    this.#connect(node);
    return id;
  }

  keep(peers: ReadonlyMap<NodeId, readonly string[]>): void {
    this.#kept = new Set([...peers.keys()].filter((id) => id !== this.self));
    this.#redial();
  }

  *peers(): Iterable<PeerState> {
    for (const [id, peer] of this.#peers) {
      const [oldest] = peer.waiting;
      yield {
        id,
        connected: peer.connected,
        ...(peer.lastHeardMs === undefined ? {} : { lastHeardMs: peer.lastHeardMs }),
        ...(oldest === undefined ? {} : { waitingSinceMs: oldest.sentMs }),
        ...(peer.rttMs === undefined ? {} : { rttMs: peer.rttMs, rttP95Ms: peer.rttMs }),
        addresses: peer.connected ? [`memory:${id}`] : [],
      };
    }
  }

  onPeerChange(listener: (id: NodeId, connected: boolean) => void): Stop {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  // -- The network's side -------------------------------------------------------------------------------------------

  /** The process is killed: nothing of it answers any more, and its peers notice. */
  die(): void {
    if (!this.alive) return;
    this.alive = false;
    this.#stopRedial?.();
    for (const waiting of this.#own.waiting) waiting.settle(new TransportError("lost", "this node stops"));
    for (const id of this.#peers.keys()) {
      this.#network.reachable(this.self, id)?.disconnect(this.self, "the peer is gone");
      this.disconnect(id, "this node stops");
    }
  }

  disconnect(id: NodeId, reason: string): void {
    const peer = this.#peers.get(id);
    if (peer?.connected !== true) return;
    peer.connected = false;
    for (const waiting of peer.waiting)
      waiting.settle(new TransportError("lost", `connection to ${id} lost: ${reason}`));
    this.#tell(id, false);
    this.#redial();
  }

  #connect(node: MemoryTransport): void {
    if (this.#peers.get(node.self)?.connected === true) return;
    this.#accept(node.self);
    node.#accept(this.self);
  }

  #accept(id: NodeId): void {
    const peer = this.#peers.get(id) ?? new Peer();
    this.#peers.set(id, peer);
    peer.connected = true;
    peer.connection += 1;
    this.#tell(id, true);
  }

  #tell(id: NodeId, connected: boolean): void {
    for (const listener of this.#listeners) listener(id, connected);
  }

  #redial(): void {
    this.#stopRedial?.();
    if (!this.alive) return;
    const missing = [...this.#kept].filter((id) => this.#peers.get(id)?.connected !== true);
    if (missing.length === 0) return;
    this.#stopRedial = this.#network.clock.after(this.#network.redialMs, () => {
      for (const id of missing) {
        const node = this.#network.reachable(this.self, id);
        if (node !== undefined) this.#connect(node);
      }
      this.#redial();
    });
  }

  #exchange(peer: Peer, node: MemoryTransport, body: Uint8Array, deadlineMs: number): Promise<Uint8Array> {
    const { clock } = this.#network;
    const sentMs = clock.now();
    return new Promise((resolve, reject) => {
      const end = (): void => {
        stopTimer();
        peer.waiting.delete(waiting);
      };
      const settle = (error: TransportError): void => {
        end();
        reject(error);
      };
      const waiting: Waiting = { sentMs, bytes: body.length + requestBytes, settle };
      const late = new TransportError("lost", `no answer from ${node.self} in ${deadlineMs - sentMs} ms`);
      const stopTimer = clock.after(deadlineMs - sentMs, () => settle(late));
      peer.waiting.add(waiting);
      const { connection } = peer;
      // A copy, as over a wire: whoever changes its buffer afterwards changes only its own.
      node.#arrive(this.self, body.slice(), deadlineMs, (answer) => {
        if (!this.alive || peer.connection !== connection || !peer.waiting.has(waiting)) return;
        peer.lastHeardMs = clock.now();
        if (answer instanceof TransportError) return settle(answer);
        peer.rttMs = clock.now() - sentMs;
        end();
        resolve(answer);
      });
    });
  }

  #arrive(
    from: NodeId,
    body: Uint8Array,
    deadlineMs: number,
    answer: (result: Uint8Array | TransportError) => void,
  ): void {
    const back = (result: Uint8Array | TransportError): void => this.#network.carry(() => answer(result));
    this.#network.carry(() => {
      if (!this.alive) return;
      if (this.#handler === undefined) return back(new TransportError("not-sent", `${this.self} serves no requests`));
      if (this.#network.clock.now() > deadlineMs)
        return back(new TransportError("not-sent", "not begun by its deadline"));
      this.#handler(from, body, deadlineMs).then(
        (response) => back(response.slice()),
        (error: unknown) => back(new TransportError("lost", `${this.self} failed the request: ${String(error)}`)),
      );
    });
  }
}

function pairOf(a: NodeId, b: NodeId): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}
