/** Which way a connection goes, by its address. */
import type { Connection } from "@libp2p/interface";
import type { Multiaddr } from "@multiformats/multiaddr";

/** Straight from browser to browser. */
export function isWebRtc({ remoteAddr }: Connection): boolean {
  return isWebRtcAddress(remoteAddr);
}

export function isWebRtcAddress(address: Multiaddr): boolean {
  return address.getComponents().some(({ name }) => name === "webrtc");
}

/** Through a third node, which meters it; a WebRTC connection only names the relay that introduced the two. */
export function isRelayed({ limits, remoteAddr }: Connection): boolean {
  return limits !== undefined || isRelayedAddress(remoteAddr);
}

export function isRelayedAddress(address: Multiaddr): boolean {
  return !isWebRtcAddress(address) && address.getComponents().some(({ name }) => name === "p2p-circuit");
}
