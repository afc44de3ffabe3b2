/** A real `everwrite relay`, killed and started again under the same key and address. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { freePort } from "./ports.ts";

const main = fileURLToPath(new URL("../../node-host/main.js", import.meta.url));

interface Running {
  readonly id: string;
  readonly p2p: readonly string[];
}

export class RelayProcess implements AsyncDisposable {
  readonly #port: number;
  readonly #data = temporaryDirectory();
  readonly #flags: readonly string[];
  #child: ChildProcess | undefined;
  #running: Running | undefined;

  private constructor(port: number, flags: readonly string[]) {
    this.#port = port;
    this.#flags = flags;
  }

  static async start(...flags: readonly string[]): Promise<RelayProcess> {
    const relay = new RelayProcess(await freePort(), flags);
    await relay.start();
    return relay;
  }

  get id(): string {
    return this.#running!.id;
  }

  /** Without the id, as people write it down. */
  get address(): string {
    return `/ip4/127.0.0.1/tcp/${this.#port}/ws`;
  }

  async start(): Promise<void> {
    const flags = ["--data", this.#data, "--p2p", this.address, "--log-format", "json", ...this.#flags];
    const child = spawn(process.execPath, [main, "relay", ...flags], { stdio: ["ignore", "pipe", "inherit", "ipc"] });
    this.#child = child;
    for await (const line of createInterface(child.stdout!)) {
      this.#running = JSON.parse(line) as Running;
      return;
    }
    throw new Error(`the relay ended with code ${child.exitCode}`);
  }

  /** It answers nobody, and keeps its connections. */
  pause(): void {
    this.#child!.kill("SIGSTOP");
  }

  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** As Ctrl-C does; the exit code. */
  async interrupt(): Promise<number | null> {
    return this.#end("SIGINT");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #end(signal: "SIGKILL" | "SIGINT"): Promise<number | null> {
    const child = this.#child!;
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    const gone = once(child, "exit");
    child.kill(signal);
    const [code] = (await gone) as [number | null];
    return code;
  }
}
