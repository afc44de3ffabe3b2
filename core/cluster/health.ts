/**
 * Whom to send requests to now: connected, and not silent for longer than is likely while an answer is due (`phi.ts`).
 * Local and cheap to ask. Signs of life are those of real traffic and of heartbeats alike: the transport tells when it
 * last heard anything, and since when it waits.
 * Invariant: silence is counted in sweeps, so a process that was itself stopped or busy does not blame its peers.
 */
import type { NodeId } from "../identity.ts";
import { PhiDetector } from "../membership/phi.ts";
import type { Clock, PeerState, Transport } from "../ports.ts";
import type { Telemetry } from "../telemetry.ts";

/** Call `sweep` that often: it decides how exactly silences are measured. */
export const sweepIntervalMs = 100;
/** What one sweep may add to a silence: a sweep that comes late was held up here, not there. */
const sweepMaxMs = 2 * sweepIntervalMs;

/** Above any round trip. */
const unheardMs = 1e9;

/** How one peer has answered so far. */
interface Watched {
  readonly detector: PhiDetector;
  /** When the running silence began, by the transport's word; undefined: nothing is due. */
  sinceMs: number | undefined;
  /** How much of it this process was awake to notice. */
  silenceMs: number;
  heardMs: number;
}

export class Health {
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #telemetry: Telemetry;
  readonly #suspectAfterMs: number;
  readonly #connected = new Set<NodeId>();
  /** Since when those are connected that have said nothing since: a host that starts may be long about its first word. */
  readonly #unheard = new Map<NodeId, number>();
  readonly #suspects = new Set<NodeId>();
  readonly #watched = new Map<NodeId, Watched>();
  #states = new Map<NodeId, PeerState>();
  #sweptMs: number;

  constructor(
    deps: { readonly transport: Transport; readonly clock: Clock; readonly telemetry: Telemetry },
    options: { readonly suspectAfterMs: number },
  ) {
    this.#transport = deps.transport;
    this.#clock = deps.clock;
    this.#telemetry = deps.telemetry;
    this.#suspectAfterMs = options.suspectAfterMs;
    this.#sweptMs = deps.clock.now();
    for (const peer of this.#transport.peers()) if (peer.connected) this.#connected.add(peer.id);
  }

  isUp(node: NodeId): boolean {
    return node === this.#transport.self || (this.#connected.has(node) && !this.#suspects.has(node));
  }

  get suspects(): ReadonlySet<NodeId> {
    return this.#suspects;
  }

  get connected(): ReadonlySet<NodeId> {
    return this.#connected;
  }

  /** As of the last sweep: round-trip times do not change faster. */
  state(node: NodeId): PeerState | undefined {
    return this.#states.get(node);
  }

  /** How unlikely the present silence of a peer is; 0 while nothing is due. */
  phi(node: NodeId): number {
    const watched = this.#watched.get(node);
    return watched?.sinceMs === undefined ? 0 : watched.detector.phi(watched.silenceMs);
  }

  connectionChanged(node: NodeId, connected: boolean): void {
    if (connected) this.#connected.add(node);
    else this.#connected.delete(node);
    if (connected) this.#unheard.set(node, this.#clock.now());
    else this.#unheard.delete(node);
    this.#suspects.delete(node);
    // A new connection may be another process on another way: what the old one was like does not tell.
    this.#watched.delete(node);
    this.#telemetry.event({ kind: "peer", id: node, state: connected ? "connected" : "disconnected" });
  }

  /** Call every `sweepIntervalMs`. */
  sweep(): void {
    const now = this.#clock.now();
    const awakeMs = Math.min(now - this.#sweptMs, sweepMaxMs);
    this.#sweptMs = now;
    const states = new Map<NodeId, PeerState>();
    for (const peer of this.#transport.peers()) {
      states.set(peer.id, peer);
      // A change between two listeners would go unheard for ever.
      if (peer.connected !== this.#connected.has(peer.id)) this.connectionChanged(peer.id, peer.connected);
      if ((peer.lastHeardMs ?? -Infinity) > (this.#unheard.get(peer.id) ?? Infinity)) this.#unheard.delete(peer.id);
      const suspect = peer.connected && this.#isSuspect(peer, now, awakeMs);
      if (suspect === this.#suspects.has(peer.id)) continue;
      if (suspect) this.#suspects.add(peer.id);
      else this.#suspects.delete(peer.id);
      this.#telemetry.event({ kind: "peer", id: peer.id, state: suspect ? "suspect" : "recovered" });
    }
    this.#states = states;
  }

  #isSuspect({ id, waitingSinceMs, lastHeardMs }: PeerState, now: number, awakeMs: number): boolean {
    const watched = this.#watchedOf(id);
    const heardMs = lastHeardMs ?? -Infinity;
    const isHeard = heardMs > watched.heardMs;
    if (isHeard) {
      watched.heardMs = heardMs;
      watched.detector.ended(watched.sinceMs === undefined ? 0 : watched.silenceMs);
      watched.sinceMs = undefined;
    }
    if (waitingSinceMs === undefined) {
      watched.sinceMs = undefined;
      // Its last request gave up; only a sign of life clears a suspect, and it is probed for one.
      return this.#suspects.has(id) && !isHeard;
    }
    const sinceMs = Math.max(waitingSinceMs, heardMs);
    // The oldest request may have ended in a time-out: then the next one is waited for, and the silence goes on.
    if (watched.sinceMs === undefined) {
      watched.sinceMs = sinceMs;
      watched.silenceMs = Math.min(now - sinceMs, awakeMs);
    } else watched.silenceMs += awakeMs;
    return watched.detector.isSuspect(watched.silenceMs);
  }

  #watchedOf(id: NodeId): Watched {
    let watched = this.#watched.get(id);
    if (watched === undefined) {
      const detector = new PhiDetector({ suspectAfterMs: this.#suspectAfterMs });
      watched = { detector, sinceMs: undefined, silenceMs: 0, heardMs: -Infinity };
      this.#watched.set(id, watched);
    }
    return watched;
  }

  /**
   * Peers in the order in which they answered lately. Those never asked come first, to be found out; those that have said
   * nothing since they connected come last: whatever is asked of them may wait for the end of their start.
   */
  byRoundTrip(nodes: readonly NodeId[]): NodeId[] {
    return nodes.toSorted((a, b) => this.#expectedMs(a) - this.#expectedMs(b));
  }

  /** The first of these in that order, of those that are `isWanted`. */
  fastest(nodes: readonly NodeId[], isWanted: (node: NodeId) => boolean): NodeId | undefined {
    let fastest: NodeId | undefined;
    let fastestMs = Infinity;
    for (const node of nodes) {
      const expectedMs = this.#expectedMs(node);
      if (expectedMs >= fastestMs || !isWanted(node)) continue;
      fastest = node;
      fastestMs = expectedMs;
    }
    return fastest;
  }

  #expectedMs(node: NodeId): number {
    return (this.state(node)?.rttMs ?? 0) + (this.#unheard.has(node) ? unheardMs : 0);
  }
}
