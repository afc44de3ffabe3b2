/**
 * The command line: verbs, exit codes, and one way for failures to be told.
 */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { StoreError } from "../core/errors.ts";
import { addBenchVerb } from "./cli/bench-verb.ts";
import { addHostVerb } from "./cli/host-verb.ts";
import { addImportOldVerb } from "./cli/import-old-verb.ts";
import { addInfoVerbs } from "./cli/info-verbs.ts";
import { addKeyVerb } from "./cli/key-verb.ts";
import { addKvVerbs } from "./cli/kv-verbs.ts";
import { addRelayVerb } from "./cli/relay-verb.ts";
import { addRepairVerb } from "./cli/repair-verb.ts";
import { addRingVerbs } from "./cli/ring-verbs.ts";
import { CliError, type Io } from "./cli/terminal.ts";
import { addWatchVerb } from "./cli/watch-verb.ts";

const exitCodes = { ok: 0, failed: 1, usage: 2, notFound: 3, quorumNotMet: 4 } as const;

/** Runs one command; the result is the exit code. */
export async function run(args: readonly string[], io: Io): Promise<number> {
  try {
    await program(io).parseAsync(args, { from: "user" });
    return exitCodes.ok;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage; // it has said why
    io.stderr.write(
      args.includes("--json") ? `${JSON.stringify(errorJson(error))}\n` : `everwrite: ${errorText(error)}\n`,
    );
    return exitCodeOf(error);
  }
}

function program(io: Io): Command {
  const command = new Command("everwrite")
    .description("An always-writable, peer-to-peer key-value store.")
    .version(version(), "--version", "print the version")
    .helpCommand(false)
    .showHelpAfterError("(add --help for what there is)")
    .configureOutput({ writeOut: (text) => io.stdout.write(text), writeErr: (text) => io.stderr.write(text) })
    .exitOverride()
    .addHelpText("after", "\nExit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 quorum not met.");
  // Sub-commands inherit what is set above, so they are added below it.
  addHostVerb(command, io);
  addRelayVerb(command, io);
  addKvVerbs(command, io);
  addWatchVerb(command, io);
  addInfoVerbs(command, io);
  addRepairVerb(command, io);
  addRingVerbs(command, io);
  addImportOldVerb(command, io);
  addBenchVerb(command, io);
  addKeyVerb(command, io);
  return command;
}

function version(): string {
  const file = new URL("../../package.json", import.meta.url); // seen from dist/node-host
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}

function exitCodeOf(error: unknown): number {
  if (!(error instanceof StoreError)) return exitCodes.failed;
  if (error.code === "bad-request") return exitCodes.usage;
  if (error.code === "not-found") return exitCodes.notFound;
  return error.code === "quorum-not-met" ? exitCodes.quorumNotMet : exitCodes.failed;
}

function errorJson(error: unknown): object {
  const message = error instanceof Error ? error.message : String(error);
  return {
    error: error instanceof StoreError ? { code: error.code, message, ...error.detail } : { code: "failed", message },
  };
}

/** What is not an expected failure is a bug, and its stack is what one needs to report it. */
function errorText(error: unknown): string {
  if (error instanceof StoreError && error.code === "quorum-not-met" && (error.detail.got ?? 0) > 0)
    return `${error.message}\n(\`everwrite status\` tells which hosts do not answer)`;
  if (error instanceof StoreError || error instanceof CliError || isOfTheMachine(error)) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** What a host may find when it starts: a directory in use, a damaged key, a taken port, a file that it may not read. */
function isOfTheMachine(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  return ["StorageError", "IdentityError", "ListenError"].includes(error.name) || "syscall" in error;
}
