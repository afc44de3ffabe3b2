/** Builds the page into `dist/site`: files that any web server can hand out, with an `everwrite.json` beside them. */
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { leaveOut } from "./leave-out.ts";
import { noGossipMetrics } from "./no-metrics.ts";
import { noMessageStreams } from "./no-streams.ts";
import { serviceWorker } from "./service-worker.ts";

const root = fileURLToPath(new URL("../../../web-demo/", import.meta.url));

await build({
  configFile: false,
  root,
  // Wherever it is put, below any path.
  base: "./",
  logLevel: "warn",
  plugins: [
    noGossipMetrics(),
    noMessageStreams(),
    leaveOut(["/documents/live-document.js", "/documents/document-link.js"]),
    // A page that is a host itself: who never sees browsers alone needs none of it.
    serviceWorker(["/browser/host.js", "/browser/host-network.js", "/browser/webrtc.js"]),
  ],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: { outDir: fileURLToPath(new URL("../../site/", import.meta.url)), emptyOutDir: true, target: "es2023" },
});
