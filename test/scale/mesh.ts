/**
 * The wires of a scale study: all hosts but newcomers are connected from the start, a message takes its time and none is
 * lost, and every byte is counted. Leaner than the simulator's network, which breaks things: of 1,000 hosts there are a
 * million ends of links here.
 */
import { Silence } from "../../core/libp2p/silence.ts";
import { defaultTransportLimits } from "../../core/libp2p/limits.ts";
import type { NodeId } from "../../core/identity.ts";
import {
  type Clock,
  type PeerState,
  type RequestHandler,
  type Stop,
  type Transport,
  TransportError,
} from "../../core/ports.ts";
import type { Chance } from "../sim/chance.ts";
import type { Schedule } from "../sim/schedule.ts";

/** One way, ms: hosts of one region and of neighbouring ones. */
const delayMs = [5, 50] as const;
/** Of a frame beside its body (core/rpc/frames.ts). Noise, yamux and TCP add some 60 bytes to each write. */
const frameBytes = { request: 17, response: 13, ping: 9 } as const;

/** What bytes are sent for. */
export type Purpose = "exchange" | "gossip" | "ping";

export class Mesh {
  readonly schedule: Schedule;
  readonly chance: Chance;
  /** Sent so far, by what for; as many arrive. */
  readonly bytes: Record<Purpose, number> = { exchange: 0, gossip: 0, ping: 0 };
  /** Sent so far, by whom. */
  readonly sentBy = new Map<NodeId, number>();
  readonly nodes = new Map<NodeId, MeshTransport>();
  /** Nobody dials before: a thousand hosts that start at once would greet each other a million times. */
  isConnected = false;

  constructor(schedule: Schedule, chance: Chance) {
    this.schedule = schedule;
    this.chance = chance;
  }

  get bytesSent(): number {
    return this.bytes.exchange + this.bytes.gossip + this.bytes.ping;
  }

  /** All that exist now are connected with each other. They find that out at their next look, so nobody greets anybody. */
  connectAll(): void {
    this.isConnected = true;
    const ids = [...this.nodes.keys()];
    for (const node of this.nodes.values()) for (const id of ids) if (id !== node.self) node.linkTo(id);
  }

  /** Runs `arrive` when the message has made its way. */
  carry(from: NodeId, purpose: Purpose, bytes: number, arrive: () => void): void {
    this.count(from, purpose, bytes);
    this.schedule.after(this.chance.between(...delayMs), purpose, arrive);
  }

  count(from: NodeId, purpose: Purpose, bytes: number): void {
    this.bytes[purpose] += bytes;
    this.sentBy.set(from, (this.sentBy.get(from) ?? 0) + bytes);
  }

  /** What a host sees of the time. */
  clock(): Clock {
    const { schedule } = this;
    return {
      now: () => schedule.nowMs,
      wallTime: () => Math.floor(schedule.nowMs),
      after: (ms, run) => schedule.after(ms, "timer", run),
    };
  }
}

/** One end of a connection. */
interface Link {
  connected: boolean;
  lastHeardMs: number | undefined;
  /** When requests without an answer were sent, oldest first. */
  readonly waiting: number[];
  readonly silence: Silence;
  /** Made anew after a change: hosts look at all their peers ten times a second. */
  state: PeerState | undefined;
}

const noAddresses: readonly string[] = [];

export class MeshTransport implements Transport {
  readonly self: NodeId;
  readonly #mesh: Mesh;
  readonly #links = new Map<NodeId, Link>();
  readonly #listeners = new Set<(id: NodeId, connected: boolean) => void>();
  readonly #dialled = new Set<NodeId>();
  #handler: RequestHandler | undefined;
  /** Its machine is gone: nothing of it is heard any more, and nobody is told. */
  silenced = false;

  constructor(self: NodeId, mesh: Mesh) {
    this.self = self;
    this.#mesh = mesh;
    mesh.nodes.set(self, this);
    const tick = (): void => {
      if (this.silenced) return;
      this.#tick();
      mesh.schedule.after(defaultTransportLimits.pingMs, "tick", tick);
    };
    mesh.schedule.after(mesh.chance.between(0, defaultTransportLimits.pingMs), "tick", tick);
  }

  linkTo(id: NodeId): void {
    const silence = new Silence(defaultTransportLimits);
    this.#links.set(id, { connected: true, lastHeardMs: undefined, waiting: [], silence, state: undefined });
  }

  isConnected(to: NodeId): boolean {
    return this.#links.get(to)?.connected === true;
  }

  tell(to: NodeId, body: Uint8Array): void {
    this.request(to, body, 1_000).catch(() => undefined);
  }

  request(to: NodeId, body: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const { schedule } = this.#mesh;
    const link = this.#links.get(to);
    return new Promise((resolve, reject) => {
      if (link?.connected !== true) return reject(new TransportError("not-sent", `not connected to ${to}`));
      const sentMs = schedule.nowMs;
      link.waiting.push(sentMs);
      link.state = undefined;
      const end = (): void => {
        link.state = undefined;
        link.waiting.splice(link.waiting.indexOf(sentMs), 1);
        stopTimer();
      };
      const stopTimer = schedule.after(timeoutMs, "timeout", () => {
        end();
        reject(new TransportError("lost", `no answer from ${to} in ${timeoutMs} ms`));
      });
      this.#send(to, "exchange", frameBytes.request + body.length, (target) => {
        target.#answer(this.self, body, timeoutMs, (answer) => {
          end();
          resolve(answer);
        });
      });
    });
  }

  #answer(from: NodeId, body: Uint8Array, timeoutMs: number, tell: (answer: Uint8Array) => void): void {
    // A copy each way, as over a wire: what is kept of it keeps nothing of the sender's.
    const answered = this.#handler!(from, body.slice(), this.#mesh.schedule.nowMs + timeoutMs);
    void answered.then((answer) => {
      this.#send(from, "exchange", frameBytes.response + answer.length, () => tell(answer.slice()));
    });
  }

  /** Everything that arrives is a sign of life. */
  #send(to: NodeId, purpose: Purpose, bytes: number, arrive: (target: MeshTransport) => void): void {
    if (this.silenced) return;
    this.#mesh.carry(this.self, purpose, bytes, () => {
      const target = this.#mesh.nodes.get(to);
      if (target === undefined || target.silenced) return;
      // It may overtake the answer to a dial.
      target.#open(this.self);
      const link = target.#links.get(this.self)!;
      link.lastHeardMs = this.#mesh.schedule.nowMs;
      link.state = undefined;
      link.silence.heard();
      arrive(target);
    });
  }

  serve(handler: RequestHandler): Stop {
    this.#handler = handler;
    return () => {
      if (this.#handler === handler) this.#handler = undefined;
    };
  }

  async meet(address: string): Promise<NodeId> {
    const id = address as NodeId;
    await new Promise<void>((resolve) => this.#dial(id, resolve));
    return id;
  }

  keep(peers: ReadonlyMap<NodeId, readonly string[]>): void {
    if (!this.#mesh.isConnected) return;
    for (const id of peers.keys()) {
      if (id === this.self || this.#links.has(id) || this.#dialled.has(id)) continue;
      this.#dialled.add(id);
      this.#dial(id, () => this.#dialled.delete(id));
    }
  }

  /** There and back; the handshakes' bytes are not counted. */
  #dial(id: NodeId, done: () => void): void {
    this.#mesh.carry(this.self, "exchange", 0, () => {
      const target = this.#mesh.nodes.get(id);
      if (target === undefined || target.silenced) return;
      target.#open(this.self);
      this.#mesh.carry(id, "exchange", 0, () => {
        this.#open(id);
        done();
      });
    });
  }

  #open(id: NodeId): void {
    if (this.#links.has(id)) return;
    this.linkTo(id);
    for (const listener of this.#listeners) listener(id, true);
  }

  *peers(): Iterable<PeerState> {
    for (const [id, link] of this.#links) yield (link.state ??= stateOf(id, link));
  }

  onPeerChange(listener: (id: NodeId, connected: boolean) => void): Stop {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** As a real link does: an idle one is pinged, one without a sign of life is given up. */
  #tick(): void {
    for (const [id, link] of this.#links) {
      if (!link.connected) continue;
      const verdict = link.silence.tick({ answerDue: link.waiting.length > 0, blocked: false, paused: false });
      if (verdict === "ping") this.#ping(id, link);
      if (verdict !== "silent") continue;
      link.connected = false;
      link.state = undefined;
      for (const listener of this.#listeners) listener(id, false);
    }
  }

  #ping(id: NodeId, link: Link): void {
    this.#send(id, "ping", frameBytes.ping, (target) => {
      target.#send(this.self, "ping", frameBytes.ping, () => link.silence.pong());
    });
  }
}

function stateOf(id: NodeId, { connected, lastHeardMs, waiting }: Link): PeerState {
  const [waitingSinceMs] = waiting;
  return {
    id,
    connected,
    ...(lastHeardMs === undefined ? {} : { lastHeardMs }),
    ...(waitingSinceMs === undefined ? {} : { waitingSinceMs }),
    addresses: noAddresses,
  };
}
