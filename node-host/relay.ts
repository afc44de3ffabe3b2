/**
 * `everwrite relay`: a libp2p node that is a meeting point and nothing else.
 * Invariant: started again with the same data directory and address it is the same relay, so that browsers find it again.
 */
import { join } from "node:path";
import { serveIntroductions } from "../core/libp2p/introductions.ts";
import { relayService } from "../core/libp2p/relay.ts";
import { systemClock, systemRandom } from "../core/libp2p/system-ports.ts";
import { loadIdentity } from "./identity-file.ts";
import { nodeLibp2p } from "./libp2p-node.ts";
import type { RelayOptions } from "./relay-options.ts";

/**
 * A page whose machine was shut or lost its network closes nothing: without this its reservation would stay, and lead
 * whoever looks for it astray. One that is cut too early is back at once.
 */
const silentMs = 10_000;

export interface RunningRelay {
  readonly id: string;
  /** Multiaddrs under which browsers reach it. */
  readonly addresses: readonly string[];
  stop(): Promise<void>;
}

/** `onWarning` hears of a key file that others could read. @throws IdentityError, ListenError */
export async function startRelay(
  { data, identity, p2p, announce, reservations }: RelayOptions,
  onWarning: (text: string) => void,
): Promise<RunningRelay> {
  const privateKey = await loadIdentity(identity ?? join(data, "identity.key"), onWarning);
  const libp2p = await nodeLibp2p({
    privateKey,
    listen: p2p,
    announce,
    silentMs,
    services: { relay: relayService({ reservationsMax: reservations }) },
  });
  await serveIntroductions(libp2p, { clock: systemClock, random: systemRandom });
  return {
    id: libp2p.peerId.toString(),
    addresses: libp2p.getMultiaddrs().map(String),
    stop: async () => libp2p.stop(),
  };
}
