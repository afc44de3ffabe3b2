/** The built `everwrite` command, run to its end. */
import { spawn, type StdioOptions } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../../node-host/main.js", import.meta.url));

/** Against hanging: a command that is to fail must not serve for ever instead; some wait for data to move. */
const hangMs = 120_000;

export interface Ended {
  /** null: it had to be killed. */
  readonly code: number | null;
  /** Both outputs. */
  readonly text: string;
}

export async function everwrite(...args: readonly string[]): Promise<Ended> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("EVERWRITE_")));
  // The channel is as a supervisor's or a test's: what was asked for ends although it is open.
  const stdio: StdioOptions = ["pipe", "pipe", "pipe", "ipc"];
  const child = spawn(process.execPath, [main, ...args], { env, stdio, timeout: hangMs, killSignal: "SIGKILL" });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding("utf8").on("data", (chunk) => (text += chunk));
  child.stdin?.end();
  const [code] = (await once(child, "close")) as [number | null];
  return { code, text };
}
