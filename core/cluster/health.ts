/**
 * Whom to send requests to now: connected, and not silent while something waits for an answer.
 * Local and cheap to ask; slow is not dead, so a peer that answers anything is up.
 */
import type { NodeId } from "../identity.ts";
import type { Clock, PeerState, Transport } from "../ports.ts";
import type { Telemetry } from "../telemetry.ts";

export class Health {
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #telemetry: Telemetry;
  readonly #suspectAfterMs: number;
  readonly #connected = new Set<NodeId>();
  readonly #suspects = new Set<NodeId>();
  #states = new Map<NodeId, PeerState>();

  constructor(
    deps: { readonly transport: Transport; readonly clock: Clock; readonly telemetry: Telemetry },
    options: { readonly suspectAfterMs: number },
  ) {
    this.#transport = deps.transport;
    this.#clock = deps.clock;
    this.#telemetry = deps.telemetry;
    this.#suspectAfterMs = options.suspectAfterMs;
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

  connectionChanged(node: NodeId, connected: boolean): void {
    if (connected) this.#connected.add(node);
    else this.#connected.delete(node);
    this.#suspects.delete(node);
    this.#telemetry.event({ kind: "peer", id: node, state: connected ? "connected" : "disconnected" });
  }

  /** Call a few times a second. */
  sweep(): void {
    const now = this.#clock.now();
    const states = new Map<NodeId, PeerState>();
    for (const peer of this.#transport.peers()) {
      states.set(peer.id, peer);
      // A change between two listeners would go unheard for ever.
      if (peer.connected !== this.#connected.has(peer.id)) this.connectionChanged(peer.id, peer.connected);
      const silentSinceMs = Math.max(peer.waitingSinceMs ?? now, peer.lastHeardMs ?? 0);
      const suspect = peer.connected && now - silentSinceMs > this.#suspectAfterMs;
      if (suspect === this.#suspects.has(peer.id)) continue;
      if (suspect) this.#suspects.add(peer.id);
      else this.#suspects.delete(peer.id);
      this.#telemetry.event({ kind: "peer", id: peer.id, state: suspect ? "suspect" : "recovered" });
    }
    this.#states = states;
  }

  /** Peers in the order in which they answered lately; those never asked come first, to be found out. */
  byRoundTrip(nodes: readonly NodeId[]): NodeId[] {
    return nodes.toSorted((a, b) => (this.state(a)?.rttMs ?? 0) - (this.state(b)?.rttMs ?? 0));
  }

  /** The first of these in that order, of those that are `isWanted`. */
  fastest(nodes: readonly NodeId[], isWanted: (node: NodeId) => boolean): NodeId | undefined {
    let fastest: NodeId | undefined;
    let fastestMs = Infinity;
    for (const node of nodes) {
      const rttMs = this.state(node)?.rttMs ?? 0;
      if (rttMs >= fastestMs || !isWanted(node)) continue;
      fastest = node;
      fastestMs = rttMs;
    }
    return fastest;
  }
}
