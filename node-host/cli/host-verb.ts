/**
 * host: runs a node of the cluster until it is told to stop.
 */
import { resolve } from "node:path";
import type { Command } from "commander";
import { hostSettings, type HostFlags, readHostOptions } from "../options.ts";
import { addSettings, exitSoon, stopRequested } from "./service.ts";
import type { Io } from "./terminal.ts";

export function addHostVerb(program: Command, io: Io): void {
  const command = program
    .command("host")
    .description("run a host: it stores data, coordinates requests and serves the HTTP API");
  addSettings(command, hostSettings);
  command
    .addHelpText(
      "after",
      "\nExample:\n  $ everwrite host --data /var/lib/everwrite --seed /ip4/10.0.0.1/tcp/4001 --p2p /ip4/0.0.0.0/tcp/4001",
    )
    .action(({ join, ...flags }: HostFlags & { readonly join?: boolean }) =>
      // Commander takes --no-join for the opposite of a flag --join.
      runHost(io, join === false ? { ...flags, noJoin: "1" } : flags).finally(exitSoon),
    );
}

async function runHost(io: Io, flags: HostFlags): Promise<void> {
  const options = readHostOptions(flags, io.env);
  const stop = stopRequested();
  // The host loads libp2p and the storage engine, which no other verb waits for.
  const { startHost } = await import("../host.ts");
  // Told to stop meanwhile, it stops when it is up: an end while the storage opens would count as a crash.
  const host = await startHost(options);
  const running = { id: host.id, http: host.httpUrl, p2p: host.addresses, data: resolve(options.data) };
  io.stdout.write(
    options.logFormat === "json"
      ? `${JSON.stringify({ event: "running", ...running })}\n`
      : `host ${host.id}: HTTP ${running.http}, peers ${running.p2p.join(" ")}, data ${running.data}\n`,
  );
  try {
    // A cluster that refuses this host ends it, and so does having left; seeds that do not answer yet do not.
    await Promise.race([stop, host.left, host.ready.then(() => stop)]);
  } finally {
    await host.stop();
  }
}
