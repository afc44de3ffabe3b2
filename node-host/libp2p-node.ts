/**
 * A libp2p node as a host needs it: TCP and WebSocket, noise, yamux, an identity that outlives the process.
 * It listens when returned; the transport of the store starts on it.
 */
import "./polyfill.ts";
import { identify } from "@libp2p/identify";
import type { Libp2p, PrivateKey } from "@libp2p/interface";
import { tcp } from "@libp2p/tcp";
import { webSockets } from "@libp2p/websockets";
import { yamux } from "@libp2p/yamux";
import { createLibp2p, type Libp2pOptions } from "libp2p";
import { describe } from "../core/libp2p/problem.ts";
import { leanNoise } from "../core/libp2p/lean-noise.ts";

/** A free port on loopback for both: whoever wants to be reached from elsewhere says so. */
const listenByDefault = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"];

export interface NodeLibp2pOptions {
  /** From `loadIdentity`; without one the node is a new stranger at each start. */
  readonly privateKey?: PrivateKey;
  /** Multiaddrs, TCP or WebSocket. An empty list only dials. */
  readonly listen?: readonly string[];
  /** Addresses that others should dial instead, behind a NAT or a proxy. */
  readonly announce?: readonly string[];
  readonly services?: NonNullable<Libp2pOptions["services"]>;
  /** Cuts connections that give no sign of life for so long, ms, where no link of the store watches them. */
  readonly silentMs?: number;
}

export class ListenError extends Error {
  override readonly name = "ListenError";

  /** `where` as it was given; `reason` as the system or libp2p says it. */
  constructor(where: string, reason: string, options?: { readonly cause?: unknown }) {
    const [, way] = waysOut.find(([pattern]) => pattern.test(reason)) ?? [];
    super(`cannot listen on ${where}: ${reason}${way === undefined ? "" : `; ${way}`}`, options);
  }
}

const waysOut: readonly (readonly [pattern: RegExp, way: string])[] = [
  [/EADDRINUSE/, "end the program that has it, or choose another address"],
  [/EADDRNOTAVAIL|ENOTFOUND/, "choose an address of this machine"],
  [/EACCES/, "choose a port above 1023, or let this user have it"],
  [/No transport was configured/, "choose one with TCP (…/tcp/4001) or WebSockets (…/tcp/4002/ws)"],
];

/** A started node. @throws ListenError naming the address that cannot be listened on. */
export async function nodeLibp2p(options: NodeLibp2pOptions = {}): Promise<Libp2p> {
  const { privateKey, listen = listenByDefault, announce = [], services = {}, silentMs } = options;
  const libp2p = await createLibp2p({
    ...(privateKey === undefined ? {} : { privateKey }),
    start: false,
    addresses: { listen: [...listen], announce: [...announce] },
    // The store's own links notice silence (see TransportLimits); an idle socket is no reason to hang up.
    transports: [
      tcp({
        inboundSocketInactivityTimeout: 3_600_000,
        outboundSocketInactivityTimeout: 3_600_000,
      }),
      webSockets(),
    ],
    connectionEncrypters: [leanNoise()],
    // What a paused stream may still receive, and what a small request may have to wait behind: beside a 48 MiB body on
    // loopback it took 20 ms with 4 MiB, 8 ms with 1 MiB (and 3 ms with 256 KiB, but a third of the throughput went).
    streamMuxers: [yamux({ streamOptions: { maxStreamWindowSize: 1024 * 1024 } })],
    connectionManager: {
      maxConnections: 2_000,
      // Default 5 per second and address: a test machine, a NAT or a reverse proxy is one address.
      inboundConnectionThreshold: 500,
      maxIncomingPendingConnections: 100,
    },
    // Its pings cut connections that are only slow; the links' own watch does not.
    connectionMonitor:
      silentMs === undefined
        ? { enabled: false }
        : { pingInterval: silentMs, pingTimeout: { minTimeout: silentMs, maxTimeout: silentMs } },
    services: { identify: identify(), ...services },
  });
  try {
    await libp2p.start();
  } catch (error) {
    await libp2p.stop();
    throw new ListenError(listen.join(", "), oneLine(describe(error)), { cause: error });
  }
  return libp2p;
}

/** libp2p's message spreads over lines, advises on its own options and holds stacks; the reasons are what is left. */
function oneLine(text: string): string {
  return text
    .replace(/^.*NO_FATAL:/s, "")
    .replaceAll(/\n\s+at .*/g, "")
    .replaceAll(/\s+/g, " ")
    .trim();
}
