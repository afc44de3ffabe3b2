/**
 * host: runs a node of the cluster until it is told to stop.
 */
import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { hostSettings, type HostFlags, kebab, readHostOptions, type Setting } from "../options.ts";
import type { Io } from "./terminal.ts";

const EXIT_MS = 5_000;

export function addHostVerb(program: Command, io: Io): void {
  const command = program
    .command("host")
    .description("run a host: it stores data, coordinates requests and serves the HTTP API")
    .option("--config <file>", "settings as JSON; each flag can stand there in camelCase (deviceGroup)");
  for (const [name, setting] of Object.entries(hostSettings) as [string, Setting<unknown>][]) {
    const { placeholder, many, about, initial } = setting;
    if (placeholder === "") {
      command.option(`--${kebab(name)}`, about);
      continue;
    }
    const shown =
      initial === null || initial === "" || (many && [initial].flat().length === 0)
        ? ""
        : ` (default: ${textOf(initial)})`;
    const option = new Option(`--${kebab(name)} <${placeholder.toLowerCase()}>`, `${about}${shown}`);
    // Given twice, a flag reaches the options as a list; what takes one value refuses it there.
    command.addOption(option.argParser((text, before: string[] | undefined) => [...(before ?? []), text]));
  }
  command
    .addHelpText(
      "after",
      "\nEach flag can also be an environment variable (EVERWRITE_DEVICE_GROUP) or stand in --config; flags win.",
    )
    .addHelpText(
      "after",
      "\nExample:\n  $ everwrite host --data /var/lib/everwrite --seed /ip4/10.0.0.1/tcp/4001 --p2p /ip4/0.0.0.0/tcp/4001",
    )
    .action(({ join, ...flags }: HostFlags & { readonly join?: boolean }) =>
      // Commander takes --no-join for the opposite of a flag --join.
      runHost(io, join === false ? { ...flags, noJoin: "1" } : flags),
    );
}

async function runHost(io: Io, flags: HostFlags): Promise<void> {
  const options = readHostOptions(flags, io.env);
  const stop = stopRequested();
  // The host loads libp2p and the storage engine, which no other verb waits for.
  const { startHost } = await import("../host.ts");
  const host = await Promise.race([startHost(options), stop]);
  if (host === undefined) process.exit(1); // told to stop before it was up: what it has written survives a crash, too
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
  process.channel?.unref();
  setTimeout(() => process.exit(1), EXIT_MS).unref(); // fires only if something forgot to let go
}

function textOf(initial: unknown): string {
  if (Array.isArray(initial)) return initial.join(" ");
  if (typeof initial !== "object" || initial === null) return String(initial);
  return Object.values(initial).join(":");
}

/**
 * Resolves at the first SIGINT or SIGTERM, or when the process that started this one over a channel has gone.
 * The second signal ends the process at once.
 */
function stopRequested(): Promise<undefined> {
  return new Promise((resolveStop) => {
    let stopping = false;
    process.once("disconnect", () => resolveStop(undefined));
    for (const [signal, code] of [
      ["SIGINT", 130],
      ["SIGTERM", 143],
    ] as const) {
      process.on(signal, () => {
        if (stopping) process.exit(code);
        stopping = true;
        resolveStop(undefined);
      });
    }
  });
}
