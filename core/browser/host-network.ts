/**
 * What a host in a page has of the network beside an edge: gossip, and relays that introduce it to the others. In a file of
 * its own: bundlers make a chunk of it, which pages that are no hosts never load.
 */
import type { GossipSub } from "@chainsafe/libp2p-gossipsub";
import { libp2pGossip } from "../libp2p/gossip.ts";
import { Introduced, type IntroducedNeeds } from "../libp2p/introduced.ts";
import type { Gossip, Transport } from "../ports.ts";

export { gossipService } from "../libp2p/gossip.ts";

export interface HostNetwork extends Pick<Introduced, "isFirst" | "list"> {
  /** In place of the page's own: its seeds may be relays. */
  readonly transport: Transport;
  readonly gossip: Gossip;
}

/** Of a libp2p with `gossipService` as its `pubsub`. */
export function hostNetwork(needs: IntroducedNeeds, cluster: string): HostNetwork & { stop(): void } {
  const introduced = new Introduced(needs, cluster);
  return {
    transport: introduced.transport,
    gossip: libp2pGossip(needs.libp2p.services["pubsub"] as GossipSub, cluster),
    isFirst: () => introduced.isFirst(),
    list: () => introduced.list(),
    stop: () => introduced.stop(),
  };
}
