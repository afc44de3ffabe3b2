/** `npm start` as a process: its hosts, its page; all gone at the end. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { freePort } from "../support/ports.ts";

const demo = fileURLToPath(new URL("../../node-host/demo.js", import.meta.url));
/** Against hanging only. */
const readyLimitMs = 120_000;

export class DemoProcess implements AsyncDisposable {
  readonly data: string;
  /** What it has printed. */
  output = "";
  #process: ChildProcess;

  private constructor(data: string, args: readonly string[]) {
    this.data = data;
    this.#process = spawn(process.execPath, [demo, "--data", data, "--no-story", ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#process.stdout!.on("data", (bytes: Buffer) => (this.output += bytes));
  }

  /** Resolves when all hosts are ready. */
  static async start(data: string = temporaryDirectory(), args: readonly string[] = []): Promise<DemoProcess> {
    await choosePorts(data);
    const started = new DemoProcess(data, args);
    await started.#says(/Ctrl-C stops all hosts/);
    return started;
  }

  /** Of the page. */
  get url(): string {
    const [, url] = /^The shop: (\S+)$/m.exec(this.output) ?? [];
    if (url === undefined) throw new Error(`no page is named in:\n${this.output}`);
    return `${url}/`;
  }

  hostUrl(number: number): string {
    return new RegExp(`^host ${number}: (\\S+)`, "m").exec(this.output)![1]!;
  }

  async #says(what: RegExp): Promise<void> {
    const limit = AbortSignal.timeout(readyLimitMs);
    while (!what.test(this.output)) {
      if (this.#process.exitCode !== null) throw new Error(`npm start ended:\n${this.output}`);
      await once(this.#process.stdout!, "data", { signal: limit });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null) return;
    const exit = once(this.#process, "exit");
    this.#process.kill("SIGTERM");
    await exit;
  }
}

const hostsMax = 4;

/** As if it had been started before: two demos that start at once would both find the usual ports free. */
export async function choosePorts(data: string): Promise<void> {
  const file = join(data, "cluster.json");
  if (existsSync(file)) return;
  mkdirSync(data, { recursive: true });
  const ports = [];
  for (let number = 1; number <= hostsMax; number += 1) {
    const [http, p2p, ws] = [await freePort(), await freePort(), await freePort()];
    ports.push({ http, p2p, ws, left: number > 3 });
  }
  writeFileSync(file, JSON.stringify({ founded: false, ports, page: await freePort(), relay: await freePort() }));
}
