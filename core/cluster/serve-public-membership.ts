/** The hosts' side of `public-membership.ts`. */
import { equalBytes } from "../bytes/compare.ts";
import type { NodeConfig } from "../config.ts";
import { rosterDigest, summarize } from "../membership/comparison.ts";
import { differenceTo } from "../membership/difference.ts";
import { rosterMessage } from "../membership/exchange.ts";
import { publicRoster } from "../membership/public-roster.ts";
import { inFlightMs } from "../replica/stillness.ts";
import type { RpcServer } from "../rpc/call.ts";
import { edgeMethods } from "../rpc/edge-methods.ts";
import type { Cluster } from "./cluster.ts";
import { checkClusterName } from "./exchange.ts";

export function servePublicMembership(
  { cluster }: { readonly cluster: Cluster },
  config: Pick<NodeConfig, "graceMs" | "inFlightMsMax" | "r">,
  server: RpcServer,
): void {
  server.on(edgeMethods.membership, async (_from, { cluster: asked, digest, compare }) => {
    checkClusterName(cluster, asked);
    await cluster.save();
    const roster = publicRoster(cluster.roster);
    const own = { graceMs: config.graceMs, inFlightMs: Math.floor(inFlightMs(config)), r: String(config.r) };
    if (compare !== undefined) {
      return { same: false, part: rosterMessage(roster, differenceTo(compare, roster).part), ...own };
    }
    const same = equalBytes(digest, rosterDigest(roster));
    return same ? { same, ...own } : { same, summary: summarize(roster), ...own };
  });
}
