/**
 * relay: a meeting point for browsers alone, until it is told to stop. It holds no data.
 */
import { resolve } from "node:path";
import type { Command } from "commander";
import { relaySettings, type RelayOptions } from "../relay-options.ts";
import { type Flags, readSettings } from "../settings.ts";
import { addSettings, exitSoon, stopRequested } from "./service.ts";
import type { Io } from "./terminal.ts";

export function addRelayVerb(program: Command, io: Io): void {
  const command = program
    .command("relay")
    .description("run a meeting point for browsers alone: it introduces them to each other and holds no data");
  addSettings(command, relaySettings);
  command
    .addHelpText(
      "after",
      "\nExample:\n  $ everwrite relay --data /var/lib/everwrite-relay --p2p /ip4/0.0.0.0/tcp/4002/ws --announce /dns4/relay.example/tcp/443/wss",
    )
    .action((flags: Flags<RelayOptions>) => runRelay(io, flags).finally(exitSoon));
}

async function runRelay(io: Io, flags: Flags<RelayOptions>): Promise<void> {
  const options = readSettings(relaySettings, flags, io.env);
  const stop = stopRequested();
  // libp2p takes a moment to load, and no client verb needs it.
  const { startRelay } = await import("../relay.ts");
  const warn = (text: string): void => void io.stderr.write(`everwrite: ${text}\n`);
  const relay = await startRelay(options, warn);
  const running = { id: relay.id, p2p: relay.addresses, data: resolve(options.data) };
  io.stdout.write(
    options.logFormat === "json"
      ? `${JSON.stringify({ event: "running", ...running })}\n`
      : `relay ${running.id}: give browsers one of these as a seed:\n${running.p2p.map((address) => `  ${address}\n`).join("")}`,
  );
  try {
    await stop;
  } finally {
    await relay.stop();
  }
}
