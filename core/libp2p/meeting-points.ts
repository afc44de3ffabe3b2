/**
 * The addresses that a node was given to find the others at: hosts, or relays that do nothing but introduce.
 *
 * A page stays connected to all of them: it can be reached by other pages only through them, and a reservation made with
 * one ends when the connection does. js-libp2p does not come back to a relay by itself (#3601).
 */
import type { Connection, Libp2p, PeerId } from "@libp2p/interface";
import { multiaddr } from "@multiformats/multiaddr";
import { StoreError } from "../errors.ts";
import type { Clock, Stop } from "../ports.ts";
import type { TransportLimits } from "./limits.ts";
import { Reconnect } from "./reconnect.ts";
import type { Reservations } from "./reservations.ts";

/** One of them, for `status()`. */
export interface MeetingPoint {
  readonly address: string;
  readonly connected: boolean;
  /** Peer id of who answered there last. */
  readonly id?: string;
  /** Why it is not connected, as far as is known. */
  readonly reason?: string;
}

export interface MeetingPointsNeeds {
  readonly libp2p: Libp2p;
  readonly clock: Clock;
  readonly limits: TransportLimits;
  /** Of a node that wants to be found through them. */
  readonly reservations?: Reservations;
}

/** Keeps libp2p's pruning of surplus connections away from them. */
const tags = { everwrite: { value: 100 } };
/** How often each is asked for a sign of life, ms, and how long it has for it: relays do not speak the store's protocol. */
const checkMs = 10_000;
/** Unanswered checks in a row after which its connection is cut. */
const checksMax = 2;
/** Whoever refuses this protocol lives, too. */
const pingProtocol = "/ipfs/ping/1.0.0";

interface Known {
  connected: boolean;
  id: string | undefined;
  reason: string | undefined;
  unanswered: number;
}

export class MeetingPoints {
  readonly #libp2p: Libp2p;
  readonly #clock: Clock;
  readonly #limits: TransportLimits;
  readonly #reservations: Reservations | undefined;
  readonly #reconnect: Reconnect<string>;
  readonly #known: ReadonlyMap<string, Known>;
  readonly #waiting = new Set<() => void>();
  #stopChecks: Stop | undefined;

  /** @throws Error where an address is no multiaddr */
  constructor({ libp2p, clock, limits, reservations }: MeetingPointsNeeds, addresses: readonly string[]) {
    this.#libp2p = libp2p;
    this.#clock = clock;
    this.#limits = limits;
    this.#reservations = reservations;
    const unknown = { connected: false, id: undefined, reason: undefined, unanswered: 0 };
    this.#known = new Map(addresses.map((address) => [multiaddr(address).toString(), { ...unknown }]));
    this.#reconnect = new Reconnect({
      self: "",
      clock,
      limits,
      isConnected: () => false,
      hasDetour: () => false,
      connect: (address) => this.#connect(address),
      onUnreachable: (address, reason) => void (this.#known.get(address)!.reason = reason),
    });
  }

  start(): void {
    this.#libp2p.addEventListener("peer:connect", this.#onPeer);
    this.#libp2p.addEventListener("peer:disconnect", this.#onPeer);
    this.#reconnect.keep(new Map([...this.#known.keys()].map((address) => [address, [address]])));
    this.#checkLater();
  }

  stop(): void {
    this.#libp2p.removeEventListener("peer:connect", this.#onPeer);
    this.#libp2p.removeEventListener("peer:disconnect", this.#onPeer);
    this.#reconnect.stop();
    this.#stopChecks?.();
  }

  /** The machine woke, the network is back: redials now, and looks whether what seems connected is. */
  wake(): void {
    this.#reconnect.wake();
    this.#checkAll();
  }

  *states(): Iterable<MeetingPoint> {
    for (const [address, { connected, id, reason }] of this.#known) {
      yield {
        address,
        connected,
        ...(id === undefined ? {} : { id }),
        ...(reason === undefined ? {} : { reason }),
      };
    }
  }

  /**
   * Resolves when one of them is connected.
   * @throws StoreError `not-ready` after `timeoutMs`, with what is wrong with each
   */
  connected(timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const stopTimer = this.#clock.after(timeoutMs, () => {
        this.#waiting.delete(look);
        reject(new StoreError("not-ready", this.#describeFailure(timeoutMs)));
      });
      const look = (): void => {
        if (![...this.#known.values()].some(({ connected }) => connected)) return;
        this.#waiting.delete(look);
        stopTimer();
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }

  #describeFailure(timeoutMs: number): string {
    if (this.#known.size === 0) return "no address was given at which other nodes can be met";
    const each = [...this.#known].map(([address, { reason }]) => `${address}: ${reason ?? "no answer yet"}`);
    return `no host or relay answered in ${timeoutMs} ms at the addresses given: ${each.join("; ")}`;
  }

  // -- Connections --------------------------------------------------------------------------------------------------

  async #connect(address: string): Promise<void> {
    const signal = AbortSignal.timeout(this.#limits.dialTimeoutMs);
    const connection = await this.#libp2p.dial(multiaddr(address), { signal });
    await this.#libp2p.peerStore.merge(connection.remotePeer, { tags });
    const known = this.#known.get(address)!;
    known.id = connection.remotePeer.toString();
    this.#changed(address, known, connection.status === "open");
  }

  readonly #onPeer = ({ type, detail: peer }: CustomEvent<PeerId>): void => {
    for (const [address, known] of this.#known) {
      if (known.id === peer.toString()) this.#changed(address, known, type === "peer:connect");
    }
  };

  #changed(address: string, known: Known, connected: boolean): void {
    known.connected = connected;
    known.unanswered = 0;
    known.reason = connected ? undefined : "the connection was lost";
    this.#reconnect.changed(address, connected);
    if (connected) for (const look of this.#waiting) look();
  }

  // -- Signs of life ------------------------------------------------------------------------------------------------

  #checkLater(): void {
    this.#stopChecks = this.#clock.after(checkMs, () => {
      this.#checkAll();
      this.#checkLater();
    });
  }

  #checkAll(): void {
    for (const known of this.#known.values()) {
      const connection = this.#libp2p.getConnections().find(({ remotePeer }) => remotePeer.toString() === known.id);
      if (connection !== undefined) void this.#check(connection, known);
    }
  }

  async #check(connection: Connection, known: Known): Promise<void> {
    try {
      const stream = await connection.newStream(pingProtocol, { signal: AbortSignal.timeout(checkMs) });
      stream.abort(new Error("an answer was all that was wanted"));
      known.unanswered = 0;
    } catch (error) {
      if (error instanceof Error && error.name === "UnsupportedProtocolError") known.unanswered = 0;
      else if (++known.unanswered >= checksMax) return connection.abort(new Error("it gives no sign of life"));
    }
    // Refused, or enough of others: the next check asks again.
    if (!this.#isFoundThrough(connection.remotePeer))
      this.#reservations?.ask(connection.remotePeer).catch(() => undefined);
  }

  #isFoundThrough(relay: PeerId): boolean {
    const way = `/p2p/${relay.toString()}/p2p-circuit`;
    return this.#libp2p.getMultiaddrs().some((address) => address.toString().includes(way));
  }
}
