/**
 * A meeting point for nodes that nobody can dial, browsers above all: circuit relay v2. It introduces them, and carries
 * what they say until they have found a direct way; it reads none of it, for they encrypt end to end.
 *
 * Invariant: a reservation lasts as long as its node is connected. (By themselves those of pages that are gone stay until
 * they expire, and fill up the relay: js-libp2p#2833.)
 */
import {
  circuitRelayServer,
  type CircuitRelayServerComponents,
  type CircuitRelayService,
} from "@libp2p/circuit-relay-v2";
import type { Libp2pEvents, TypedEventTarget } from "@libp2p/interface";
import { defaultRelayLimits, type RelayLimits } from "./limits.ts";

/** Relayed connections that one node may have under way through this one; each is a stream. */
const streamsMax = 300;

/** The libp2p service. */
export function relayService(
  limits: Partial<RelayLimits> = {},
): (components: CircuitRelayServerComponents & { events: TypedEventTarget<Libp2pEvents> }) => CircuitRelayService {
  const { reservationsMax, reservationMs, relayedMs, relayedBytes } = { ...defaultRelayLimits, ...limits };
  const create = circuitRelayServer({
    maxInboundHopStreams: streamsMax,
    maxOutboundStopStreams: streamsMax,
    reservations: {
      maxReservations: reservationsMax,
      reservationTtl: reservationMs,
      defaultDurationLimit: relayedMs,
      defaultDataLimit: relayedBytes,
    },
  });
  return (components) => {
    const relay = create(components);
    components.events.addEventListener("peer:disconnect", ({ detail: peer }) => {
      // Its end would otherwise come with a later reservation of the same node in place, and take that one.
      relay.reservations.get(peer)?.signal.clear();
      relay.reservations.delete(peer);
    });
    return relay;
  };
}
