/**
 * How pages reach each other: WebRTC, and the relays through which they find each other. In a file of its own: bundlers
 * make a chunk of it, which a page that talks to hosts only never loads.
 */
import { restorePlatform } from "./peer-connection.ts";
import { webRTC } from "@libp2p/webrtc";
import type { Libp2pOptions } from "libp2p";

export { reservations } from "../libp2p/reservations.ts";
/** Relays and gossip go by what a peer says that it speaks; hosts and their edges know it of each other. */
export { identify } from "@libp2p/identify";

type TransportFactory = NonNullable<Libp2pOptions["transports"]>[number];

restorePlatform();

/** A write of 64 KiB may wait behind this much, bytes: pings must get through, or a slow line would look dead. */
const bufferedBytesMax = 128 * 1024;

/** The transport factory for libp2p. Without `iceServers`, pages find each other in one network, or where one of them has a public address. */
export function webRtcTransport(iceServers: readonly RTCIceServer[] = []): TransportFactory {
  return webRTC({
    // Without a list libp2p asks four public servers, whose operators would learn who is here.
    rtcConfiguration: { iceServers: [...iceServers] },
    dataChannel: { maxBufferedAmount: bufferedBytesMax },
  });
}
