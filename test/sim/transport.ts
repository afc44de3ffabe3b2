/**
 * The Transport port over the simulated wires. As the real one: one connection to a peer, requests multiplexed on it,
 * kept up by redialling; `not-sent` only where the peer certainly saw nothing.
 */
import type { NodeId } from "../../core/identity.ts";
import { type PeerState, type RequestHandler, type Stop, type Transport, TransportError } from "../../core/ports.ts";
import { copyOf } from "./copy.ts";
import type { SimNetwork } from "./network.ts";
import type { Process } from "./process.ts";

/** A connection of two processes. Each end finds out on its own that it is over. */
interface Link {
  readonly ends: readonly [SimTransport, SimTransport];
  /** In true time. */
  overSinceMs: number;
}

interface Waiting {
  readonly sentMs: number;
  readonly fail: (kind: "not-sent" | "lost", reason: string) => void;
}

interface Peer {
  link: Link | undefined;
  lastHeardMs: number | undefined;
  rttMs: number | undefined;
  rttP95Ms: number | undefined;
  readonly waiting: Set<Waiting>;
  readonly addresses: readonly string[];
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** The method of a forwarded write. No transport delivers a request twice; hosts that try again do, but never these. */
const writeMethod = 16;
const requestBytesMax = 67_108_864;
const redialMsMin = 50;
const dialTimeoutMs = 3_000;

export class SimTransport implements Transport {
  readonly self: NodeId;
  readonly process: Process;
  readonly #network: SimNetwork;
  readonly #peers = new Map<NodeId, Peer>();
  readonly #listeners = new Set<(id: NodeId, connected: boolean) => void>();
  readonly #dialling = new Set<NodeId>();
  /** All that have not ended, also those that this process has not taken yet: they end with it too. */
  readonly #links = new Set<Link>();
  #kept: ReadonlySet<NodeId> = new Set();
  #handler: RequestHandler | undefined;
  /** Called before each request leaves: for crashes and cuts at this point. */
  onNextRequest: ((to: NodeId, body: Uint8Array) => void) | undefined;

  constructor(self: NodeId, network: SimNetwork, process: Process) {
    this.self = self;
    this.process = process;
    this.#network = network;
    network.attach(this);
  }

  // -- Transport ----------------------------------------------------------------------------------------------------

  tell(to: NodeId, body: Uint8Array): void {
    this.request(to, body, 1_000).catch(() => undefined);
  }

  request(to: NodeId, body: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    this.onNextRequest?.(to, body);
    if (to !== this.self) this.#network.onRequest?.(body);
    for (const tap of this.#network.taps) tap.asked?.(this.self, to, body);
    return new Promise((resolve, reject) => {
      if (!this.process.alive) return;
      const fail = (kind: "not-sent" | "lost", reason: string): void => reject(new TransportError(kind, reason));
      const link = to === this.self ? linkOf(this, this) : this.#peers.get(to)?.link;
      if (link === undefined) return fail("not-sent", `not connected to ${to}`);
      if (body.length > requestBytesMax) return fail("not-sent", `${body.length} bytes are more than a queue takes`);
      this.#send(link, to, { body: copyOf(body), timeoutMs }, { resolve, fail });
    });
  }

  serve(handler: RequestHandler): Stop {
    this.#handler = handler;
    return () => {
      if (this.#handler === handler) this.#handler = undefined;
    };
  }

  meet(address: string): Promise<NodeId> {
    const id = address.replace(/^sim:/, "") as NodeId;
    return new Promise((resolve, reject) => {
      if (id === this.self) return resolve(id);
      this.#dial(id, (connected) => {
        if (connected) resolve(id);
        else reject(new TransportError("not-sent", `cannot reach ${address}`));
      });
    });
  }

  keep(peers: ReadonlyMap<NodeId, readonly string[]>): void {
    this.#kept = new Set([...peers.keys()].filter((id) => id !== this.self));
    for (const id of this.#kept) this.#redial(id, 0);
  }

  peers(): PeerState[] {
    const states: PeerState[] = [];
    for (const [id, peer] of this.#peers) states.push(stateOf(id, peer));
    return states;
  }

  onPeerChange(listener: (id: NodeId, connected: boolean) => void): Stop {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  // -- The network's side -------------------------------------------------------------------------------------------

  /** This end finds the connection dead. The other end hears of it if it can, else at its own time. */
  breakLink(id: NodeId, reason: string): void {
    const link = this.#peers.get(id)?.link;
    if (link === undefined) return;
    this.#end(link);
    this.#lose(id, link, reason);
    this.#tellEnd(id, link, false);
  }

  /** Call when the process was killed. `silently`: the machine is gone too, so nobody tells its peers. */
  died(silently: boolean): void {
    for (const link of this.#links) {
      this.#end(link);
      this.#tellEnd(otherEnd(link, this).self, link, silently);
    }
  }

  #tellEnd(id: NodeId, link: Link, silently: boolean): void {
    const other = otherEnd(link, this);
    const tell = (): void => other.process.enter(() => other.#lose(this.self, link, "closed by the peer"));
    if (!silently) this.#network.carry(this.self, id, "closes", false, tell);
    // Two of one name take each other's links, thousands in a minute: one that is paused would wake to all these (seed 14000431).
    const isOld = (): boolean => other.#peers.get(this.self)?.link !== link;
    this.#network.schedule.after(this.#network.options.silentMs, `${id} silent`, () => {
      if (!other.process.paused || !isOld()) tell();
    });
  }

  #end(link: Link): void {
    link.overSinceMs = Math.min(link.overSinceMs, this.#network.schedule.nowMs);
    for (const end of link.ends) end.#links.delete(link);
  }

  #lose(id: NodeId, link: Link, reason: string): void {
    const peer = this.#peers.get(id);
    if (peer?.link !== link) return;
    peer.link = undefined;
    for (const waiting of peer.waiting) waiting.fail("lost", `connection to ${id} lost: ${reason}`);
    for (const listener of this.#listeners) listener(id, false);
    this.#redial(id, 0);
  }

  #peer(id: NodeId): Peer {
    let peer = this.#peers.get(id);
    if (peer === undefined) {
      const unknown = { link: undefined, lastHeardMs: undefined, rttMs: undefined, rttP95Ms: undefined };
      peer = { ...unknown, waiting: new Set(), addresses: [`sim:${id}`] };
      this.#peers.set(id, peer);
    }
    return peer;
  }

  #redial(id: NodeId, backoffMs: number): void {
    if (!this.process.alive || !this.#kept.has(id) || this.#dialling.has(id)) return;
    if (this.#peers.get(id)?.link !== undefined) return;
    this.#dialling.add(id);
    this.process.after(backoffMs * this.#network.chance.between(0.5, 1), "redial", () => {
      this.#dial(id, (connected) => {
        this.#dialling.delete(id);
        const { redialMsMax } = this.#network.options;
        if (!connected) this.#redial(id, Math.min(Math.max(redialMsMin, 2 * backoffMs), redialMsMax));
      });
    });
  }

  /** One trip there and one back. */
  #dial(id: NodeId, done: (connected: boolean) => void): void {
    let over = false;
    const end = (connected: boolean): void => {
      if (over) return;
      over = true;
      done(connected);
    };
    this.process.after(dialTimeoutMs, "dial timeout", () => end(false));
    this.#network.carry(this.self, id, "dials", false, () => {
      // A stopped process accepts too: the system does that for it.
      const target = this.process.alive ? this.#network.at(id) : undefined;
      const link = target && (target.#linkTo(this) ?? linkOf(this, target));
      if (link !== undefined) {
        for (const end of link.ends) end.#links.add(link);
        target?.process.enter(() => target.#open(this.self, link));
      }
      this.#network.carry(id, this.self, link === undefined ? "refuses" : "accepts", false, () => {
        this.process.enter(() => {
          if (link === undefined || isOver(link)) return end(false);
          if (over && this.#peers.get(id)?.link !== link) {
            // Too late: nobody here wants it any more.
            this.#end(link);
            return this.#tellEnd(id, link, false);
          }
          this.#open(id, link);
          end(true);
        });
      });
    });
  }

  /** Both have dialled: the first connection serves both. */
  #linkTo(other: SimTransport): Link | undefined {
    const link = this.#peers.get(other.self)?.link;
    return link !== undefined && !isOver(link) && otherEnd(link, this) === other ? link : undefined;
  }

  /** A second connection of one peer replaces the first: whoever dialled anew knows that the old one is dead. */
  #open(id: NodeId, link: Link): void {
    if (isOver(link)) return;
    const peer = this.#peer(id);
    const before = peer.link;
    if (before === link) return;
    peer.link = link;
    peer.lastHeardMs = this.process.clock.now();
    if (before !== undefined) {
      this.#end(before);
      this.#tellEnd(id, before, false);
      for (const waiting of peer.waiting) waiting.fail("lost", `connection to ${id} replaced`);
      return;
    }
    for (const listener of this.#listeners) listener(id, true);
  }

  #send(
    link: Link,
    to: NodeId,
    request: { readonly body: Uint8Array; readonly timeoutMs: number },
    answer: { readonly resolve: (body: Uint8Array) => void; readonly fail: Waiting["fail"] },
  ): void {
    const { clock } = this.process;
    const peer = this.#peer(to);
    const sentMs = clock.now();
    const settle = (finish: () => void): void => {
      if (!peer.waiting.delete(waiting)) return;
      stopTimer();
      finish();
    };
    const waiting: Waiting = { sentMs, fail: (kind, reason) => settle(() => answer.fail(kind, reason)) };
    peer.waiting.add(waiting);
    const late = `no answer from ${to} in ${request.timeoutMs} ms`;
    const stopTimer = this.process.after(request.timeoutMs, "timeout", () => waiting.fail("lost", late));
    const method = request.body[0] ?? 0;
    const sentTrueMs = this.#network.schedule.nowMs;
    const sent = { ...request, body: this.#network.maybeSpoiled(this.self, to, request.body, undefined) };
    this.#network.carry(this.self, to, `asks ${method}`, method !== writeMethod, () => {
      // What was on its way when the connection ended may still arrive.
      if (isOver(link) && (sentTrueMs > link.overSinceMs || this.#network.chance.is(0.5))) return;
      otherEnd(link, this).#arrive(this.self, sent, (response) => {
        const answered =
          response instanceof TransportError ? response : this.#network.maybeSpoiled(to, this.self, response, method);
        if (!(response instanceof TransportError))
          for (const tap of this.#network.taps) tap.answered?.(to, this.self, method, response);
        this.#network.carry(to, this.self, `answers ${method}`, false, () => {
          this.process.enter(() =>
            settle(() => {
              this.#heard(peer, sentMs);
              if (answered instanceof TransportError) return answer.fail(answered.kind, answered.message);
              for (const tap of this.#network.taps) tap.heard?.(this.self, method, answered);
              answer.resolve(answered);
            }),
          );
        });
      });
    });
  }

  #heard(peer: Peer, sentMs: number): void {
    const now = this.process.clock.now();
    const tripMs = now - sentMs;
    peer.lastHeardMs = now;
    peer.rttMs = peer.rttMs === undefined ? tripMs : peer.rttMs + (tripMs - peer.rttMs) / 8;
    peer.rttP95Ms = Math.max(tripMs, (peer.rttP95Ms ?? 0) * 0.95);
  }

  #arrive(
    from: NodeId,
    request: { readonly body: Uint8Array; readonly timeoutMs: number },
    answer: (result: Uint8Array | TransportError) => void,
  ): void {
    this.process.enter(() => {
      const peer = this.#peers.get(from);
      if (peer !== undefined) peer.lastHeardMs = this.process.clock.now();
      const handler = this.#handler;
      if (handler === undefined) return answer(new TransportError("not-sent", `${this.self} serves no requests`));
      // A copy: whoever changes its buffer afterwards changes only its own.
      handler(from, copyOf(request.body), this.process.clock.now() + request.timeoutMs).then(
        (response) => answer(copyOf(response)),
        (error: unknown) => answer(new TransportError("lost", `${this.self} failed the request: ${String(error)}`)),
      );
    });
  }
}

function stateOf(id: NodeId, { link, lastHeardMs, rttMs, rttP95Ms, waiting, addresses }: Peer): PeerState {
  const connected = link !== undefined;
  const state: Mutable<PeerState> = { id, connected, addresses: connected ? addresses : [] };
  if (lastHeardMs !== undefined) state.lastHeardMs = lastHeardMs;
  if (waiting.size > 0) state.waitingSinceMs = waiting.values().next().value!.sentMs;
  if (rttMs !== undefined) state.rttMs = rttMs;
  if (rttP95Ms !== undefined) state.rttP95Ms = rttP95Ms;
  return state;
}

function linkOf(a: SimTransport, b: SimTransport): Link {
  return { ends: [a, b], overSinceMs: Infinity };
}

function otherEnd({ ends }: Link, self: SimTransport): SimTransport {
  return ends[0] === self ? ends[1] : ends[0];
}

function isOver(link: Link): boolean {
  return link.overSinceMs < Infinity;
}
