/**
 * The demo's host processes: started, watched, stopped.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { openSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { hostNodeFlags } from "../node-flags.ts";
import type { HostPlace } from "./layout.ts";

/** The built `everwrite` command. */
export const mainFile = fileURLToPath(new URL("../main.js", import.meta.url));

const READY_POLL_MS = 150;
const READY_TIMEOUT_MS = 60_000;
const LOG_LINES = 12;

export interface HostProcess {
  readonly place: HostPlace;
  readonly process: ChildProcess;
}

/** `onDeath` is told of a host that ends without having been asked to. */
export function startHostProcess(
  place: HostPlace,
  seeds: readonly string[],
  onDeath: (host: HostProcess, how: string) => void,
): HostProcess {
  const log = openSync(place.log, "a");
  const flags = {
    data: place.directory,
    http: `127.0.0.1:${place.httpPort}`,
    p2p: `/ip4/127.0.0.1/tcp/${place.p2pPort}`,
  };
  const child = spawn(
    process.execPath,
    [
      ...hostNodeFlags,
      mainFile,
      "host",
      ...Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]),
      ...seeds.flatMap((seed) => ["--seed", seed]),
    ],
    {
      // A group of its own: Ctrl-C reaches the demo alone, which then stops its hosts in order. Over the channel they
      // notice when the demo itself is killed.
      detached: true,
      stdio: ["ignore", log, log, "ipc"],
      env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("EVERWRITE_"))),
    },
  );
  const host = { place, process: child };
  child.once("exit", (code, signal) => {
    const wasAsked = child.killed;
    if (!wasAsked) onDeath(host, signal ?? `exit code ${code}`);
  });
  return host;
}

export function isRunning({ process: child }: HostProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

/** True once /readyz says so; false when the host died or time is up. */
export async function becomesReady(host: HostProcess): Promise<boolean> {
  const endMs = performance.now() + READY_TIMEOUT_MS;
  while (isRunning(host) && performance.now() < endMs) {
    const response = await fetch(`${host.place.url}/readyz`).catch(() => null); // not listening yet
    await response?.body?.cancel();
    if (response?.ok) return true;
    await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
  }
  return false;
}

export async function stopAll(hosts: readonly HostProcess[], signal: "SIGTERM" | "SIGKILL"): Promise<void> {
  await Promise.all(
    hosts.filter(isRunning).map((host) => {
      const exit = once(host.process, "exit");
      host.process.kill(signal);
      return exit;
    }),
  );
}

export function lastLogLines({ place }: HostProcess): string {
  const lines = readFileSync(place.log, "utf8").trimEnd().split("\n").slice(-LOG_LINES);
  return lines.map((line) => `    ${line}`).join("\n");
}
