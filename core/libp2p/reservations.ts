/**
 * Being found through relays: circuit relay v2, from the side of the node that nobody can dial.
 *
 * By itself js-libp2p asks a relay once for each connection: who was refused by a full relay, or had no answer in time,
 * would never be found through it.
 */
import { circuitRelayTransport } from "@libp2p/circuit-relay-v2";
import type { PeerId } from "@libp2p/interface";
import type { Libp2pOptions } from "libp2p";

type TransportFactory = NonNullable<Libp2pOptions["transports"]>[number];

/** The part of the transport's own store that asks (4.2.13). It asks no relay twice at the same time, and none in vain. */
interface ReservationStore {
  addRelay(relay: PeerId, kind: "discovered"): Promise<unknown>;
}

export interface Reservations {
  /** For libp2p; listen on `/p2p-circuit`, once for each relay that is wanted. */
  readonly transport: TransportFactory;
  /** Asks a connected relay again. Rejects when it refuses, and when there are as many as wanted. */
  ask(relay: PeerId): Promise<void>;
}

export function reservations(): Reservations {
  let store: ReservationStore | undefined;
  const create = circuitRelayTransport();
  return {
    transport(components) {
      const transport = create(components);
      store = (transport as unknown as { reservationStore: ReservationStore }).reservationStore;
      return transport;
    },
    async ask(relay) {
      await store?.addRelay(relay, "discovered");
    },
  };
}
