/** A Vite plugin that leaves out gossipsub's metrics, a twentieth of what a host in a page loads: only servers are asked for them. */
import type { Plugin } from "vite";

const gossipsub = /\/libp2p-gossipsub\/dist\/src\/gossipsub\.js$/;
/** Text that is there once, and what takes its place. */
const changes = [
  ["if (options.metricsRegister != null) {", "if (false) {"],
  ["onScrapeMetrics(metrics) {", "onScrapeMetrics() { return;"],
] as const;

export function noGossipMetrics(): Plugin {
  return {
    name: "everwrite-no-gossip-metrics",
    transform: {
      filter: { id: gossipsub },
      handler(code) {
        for (const [text, other] of changes) {
          if (code.split(text).length !== 2) this.error(`gossipsub has no longer "${text}" once`);
          code = code.replace(text, other);
        }
        return { code, map: null };
      },
    },
  };
}
