/**
 * The network of a page: requests to hosts over WebSockets, to other pages over WebRTC, found through hosts or relays.
 *
 * Invariant: it dials nothing but the seeds and what nodes met there name; no public server is a default.
 */
import type { Libp2p, PrivateKey } from "@libp2p/interface";
import { webSockets } from "@libp2p/websockets";
import { yamux } from "@libp2p/yamux";
import { createLibp2p, type Libp2pOptions } from "libp2p";
import { libp2pIdentity, readKey } from "../libp2p/identity.ts";
import { defaultTransportLimits, type TransportLimits } from "../libp2p/limits.ts";
import { type MeetingPoint, MeetingPoints } from "../libp2p/meeting-points.ts";
import type { OnProblem } from "../libp2p/problem.ts";
import { isWebRtcAddress } from "../libp2p/route.ts";
import { libp2pTransport } from "../libp2p/transport.ts";
import { leanNoise } from "../libp2p/lean-noise.ts";
import type { Clock, Identity, Random, Stop, Transport } from "../ports.ts";
import { dialPolicy } from "./dial-policy.ts";
import type { HostNetwork } from "./host-network.ts";
import type { NetworkSwitch } from "./network-switch.ts";
import { onLeave, onWake } from "./wake.ts";

export interface PageNetworkOptions {
  /** From `makeKey`, kept in the page's storage: who has it is this node. */
  readonly key: Uint8Array;
  /** Multiaddrs of hosts or relays, wss or ws. */
  readonly seeds: readonly string[];
  /** Whether it meets other pages, too: loads WebRTC, and lets itself be found through the seeds. */
  readonly meetPages: boolean;
  /** The cluster of which it is, or will be, a host: loads gossipsub, and lets relays introduce it to the others. With `meetPages`. */
  readonly hostOf?: string;
  /** The cluster of which it is an edge: relays introduce it to hosts in other pages, and nobody to it. With `meetPages`. */
  readonly edgeOf?: string;
  /** STUN and TURN servers of the application, for pages in different networks. */
  readonly iceServers?: readonly RTCIceServer[];
  /** Cuts and slows it. */
  readonly networkSwitch?: NetworkSwitch;
  readonly clock: Clock;
  readonly random: Random;
  readonly onProblem?: OnProblem;
}

export interface PageNetwork {
  readonly transport: Transport;
  /** With `hostOf`. */
  readonly host?: HostNetwork;
  readonly identity: Identity;
  /** Where other pages find this one now; empty without `meetPages`, and while no relay knows it. */
  addresses(): readonly string[];
  onAddresses(listener: (addresses: readonly string[]) => void): Stop;
  /** The seeds, and what became of each. */
  seeds(): readonly MeetingPoint[];
  /** Resolves when one seed is connected. @throws StoreError `not-ready`, with the reason for each seed */
  connected(timeoutMs: number): Promise<void>;
  stop(): Promise<void>;
}

/** What differs from hosts. */
export const pageTransportLimits: Partial<TransportLimits> = {
  // The ticks of `webRtc.silentMs`: a dead page is noticed within 2 s.
  pingMs: 250,
  duePingMs: defaultTransportLimits.pingMs,
  // WebRTC is a dial of the relay, one through it, and ICE; and there may be an address before that nobody answers (6 s).
  dialTimeoutMs: 15_000,
};

/** Relays at which a page is found at the same time: when one fails, the others know it already. */
const reservationsMax = 3;

/** Connects in the background: it is of use at once, also without a network. @throws StoreError `corrupt` for a bad key, Error for a bad seed */
export async function openPageNetwork(options: PageNetworkOptions): Promise<PageNetwork> {
  const { seeds, hostOf, edgeOf, clock, random, onProblem, networkSwitch } = options;
  const privateKey = readKey(options.key);
  // Each a chunk of its own: most pages need neither.
  const [pages, hosts, introductions] = await Promise.all([
    options.meetPages ? import("./webrtc.ts") : undefined,
    hostOf === undefined ? undefined : import("./host-network.ts"),
    edgeOf === undefined ? undefined : import("../libp2p/introduced.ts"),
  ]);
  const found = pages?.reservations();
  const isFound = found !== undefined && edgeOf === undefined;
  const libp2p = await startLibp2p(privateKey, seeds, {
    isCut: () => networkSwitch?.isCut === true,
    isFound,
    ways:
      pages === undefined || found === undefined ? [] : [found.transport, pages.webRtcTransport(options.iceServers)],
    services: {
      ...(pages && { identify: pages.identify() }),
      ...(hosts && hostOf !== undefined && { pubsub: hosts.gossipService(hostOf) }),
    },
  });
  const transport = libp2pTransport({ libp2p, clock, ...(onProblem && { onProblem }) }, pageTransportLimits);
  await transport.start();
  const limits = { ...defaultTransportLimits, ...pageTransportLimits };
  const points = new MeetingPoints({ libp2p, clock, limits, ...(isFound && { reservations: found }) }, seeds);
  points.start();
  const wake = (): void => {
    transport.wake();
    points.wake();
  };
  const stopWaking = onWake(clock, wake);
  const stopSwitch = networkSwitch?.over(libp2p, wake);
  const stopLeaving = onLeave(() => {
    for (const connection of libp2p.getConnections()) connection.abort(new Error("the page is gone"));
  });
  const slowed = networkSwitch?.slowing(transport, clock) ?? transport;
  const needs = { libp2p, transport: slowed, clock, random, points: () => points.states() };
  const host = hosts !== undefined && hostOf !== undefined && hosts.hostNetwork(needs, hostOf);
  const met = introductions && edgeOf !== undefined ? new introductions.Introduced(needs, edgeOf).transport : slowed;
  return {
    transport: met,
    ...(host && { host }),
    identity: libp2pIdentity(privateKey),
    addresses: () => addressesOf(libp2p),
    onAddresses: (listener) => onAddresses(libp2p, listener),
    seeds: () => [...points.states()],
    connected: (timeoutMs) => points.connected(timeoutMs),
    async stop() {
      stopWaking();
      stopSwitch?.();
      stopLeaving();
      if (host) host.stop();
      points.stop();
      await transport.stop();
      await libp2p.stop();
    },
  };
}

interface Extras {
  readonly isCut: () => boolean;
  /** Other pages find it at the relays. */
  readonly isFound: boolean;
  /** How it reaches other pages, beside hosts. */
  readonly ways: NonNullable<Libp2pOptions["transports"]>;
  readonly services: NonNullable<Libp2pOptions["services"]>;
}

async function startLibp2p(
  privateKey: PrivateKey,
  seeds: readonly string[],
  { isCut, isFound, ways, services }: Extras,
): Promise<Libp2p> {
  const mayDial = dialPolicy(seeds);
  const libp2p = await createLibp2p({
    privateKey,
    start: false,
    transports: [webSockets(), ...ways],
    addresses: { listen: isFound ? [...Array<string>(reservationsMax).fill("/p2p-circuit"), "/webrtc"] : [] },
    connectionEncrypters: [leanNoise()],
    streamMuxers: [yamux({ streamOptions: { maxStreamWindowSize: 1024 * 1024 } })],
    connectionGater: {
      denyDialMultiaddr: (address) => isCut() || !mayDial(address),
      denyInboundConnection: isCut,
      denyInboundRelayedConnection: isCut,
    },
    connectionManager: {
      // All pages that are behind one relay come from its address.
      inboundConnectionThreshold: 500,
      maxIncomingPendingConnections: 100,
    },
    // The links watch themselves, and bear with whoever is only slow (core/libp2p/silence.ts).
    connectionMonitor: { enabled: false },
    services,
  });
  await libp2p.start();
  return libp2p;
}

function addressesOf(libp2p: Libp2p): readonly string[] {
  return libp2p.getMultiaddrs().filter(isWebRtcAddress).map(String);
}

function onAddresses(libp2p: Libp2p, listener: (addresses: readonly string[]) => void): Stop {
  const tell = (): void => listener(addressesOf(libp2p));
  libp2p.addEventListener("self:peer:update", tell);
  return () => libp2p.removeEventListener("self:peer:update", tell);
}
