/** Runs the seeds that it is sent, one after the other, in a thread of its own. */
import { parentPort } from "node:worker_threads";
import { drawScenario } from "./draw.ts";
import { simulate } from "./simulate.ts";

parentPort!.on("message", (seed: string) => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  void simulate(drawScenario(seed)).then((report) => parentPort!.postMessage(report));
});
