/** The built `everwrite` command as a child process, its outputs apart. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../../node-host/main.js", import.meta.url));

export interface CliResult {
  readonly code: number | null;
  readonly out: Buffer;
  readonly text: string;
  readonly err: string;
}

export function startCli(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): ChildProcessWithoutNullStreams {
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("EVERWRITE_")));
  return spawn(process.execPath, [main, ...args], { env: { ...clean, ...env } });
}

export async function resultOf(child: ChildProcessWithoutNullStreams, input: string | Buffer): Promise<CliResult> {
  child.stdin.on("error", () => undefined); // a command that does not read closes it
  child.stdin.end(input);
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
  const [code] = (await once(child, "close")) as [number | null];
  const bytes = Buffer.concat(out);
  return { code, out: bytes, text: bytes.toString(), err: Buffer.concat(err).toString() };
}
