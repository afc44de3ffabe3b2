/**
 * Real host processes for tests, trials and benches: started, killed, paused, restarted with their data; ended for sure.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { hostNodeFlags } from "../../node-host/node-flags.ts";
import { eventually } from "./eventually.ts";
import { freePort } from "./ports.ts";

/** Against hanging: dozens of processes may be starting on two cores. */
const readyLimitMs = 120_000;
/** Some times the pause between two looks of who is to take more (`take-share.ts`). */
const restOfShareMs = 500;

const main = fileURLToPath(new URL("../../node-host/main.js", import.meta.url));

export interface HostSpec {
  /** Further flags of `everwrite host`. */
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Hears what a module that `env` loads into it sends. */
  readonly onMessage?: (message: unknown) => void;
  /** Its data directory, if it is to be on another disk than the rest. */
  readonly data?: string;
  /** Its key file, if it is to run under the name of another. */
  readonly identity?: string;
  /** The host that has ended, whose addresses it is to have. */
  readonly inPlaceOf?: number;
  /** Of Node; those that busy hosts are advised to have where not given. */
  readonly nodeFlags?: readonly string[];
}

interface Host {
  readonly name: string;
  readonly data: string;
  /** Outside the data directory, so that a host can lose its disk and keep its name. */
  readonly identity: string;
  readonly log: string;
  readonly httpPort: number;
  readonly p2pPort: number;
  readonly flags: readonly string[];
  readonly nodeFlags: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly onMessage: (message: unknown) => void;
  process: ChildProcess | undefined;
}

export class HostProcesses implements AsyncDisposable {
  readonly folder: string;
  readonly #hosts: Host[] = [];

  constructor(folder: string) {
    this.folder = folder;
  }

  /** `count` hosts that know each other and hold their partitions. */
  static async of(count: number, folder: string, spec: HostSpec = {}): Promise<HostProcesses> {
    const hosts = new HostProcesses(folder);
    for (let i = 0; i < count; i++) await hosts.add(spec);
    await hosts.#joined();
    return hosts;
  }

  /** All have their whole share: who joined right after another takes the rest a moment after both are filled. */
  async #joined(): Promise<void> {
    for (let before: string | undefined; ;) {
      await this.settled();
      const { ring } = await this.status(0);
      if (ring === before) return;
      before = ring;
      await setTimeout(restOfShareMs);
    }
  }

  get size(): number {
    return this.#hosts.length;
  }

  url(index: number): string {
    return `http://127.0.0.1:${this.#host(index).httpPort}`;
  }

  get urls(): readonly string[] {
    return this.#hosts.map((_host, i) => this.url(i));
  }

  get addresses(): readonly string[] {
    return this.#hosts.map((_host, i) => this.address(i));
  }

  address(index: number): string {
    return `/ip4/127.0.0.1/tcp/${this.#host(index).p2pPort}`;
  }

  data(index: number): string {
    return this.#host(index).data;
  }

  log(index: number): string {
    return readFileSync(this.#host(index).log, "utf8");
  }

  pid(index: number): number | undefined {
    return this.#host(index).process?.pid;
  }

  /** One more host, which joins through the first one; resolves when it is ready. */
  async add(spec: HostSpec = {}): Promise<number> {
    const index = await this.begin(spec);
    await this.ready(index);
    return index;
  }

  /** One more host: its process is started, and no more. */
  async begin({
    flags = [],
    env = {},
    onMessage = () => {},
    nodeFlags = hostNodeFlags,
    data,
    identity,
    inPlaceOf,
  }: HostSpec = {}): Promise<number> {
    const index = this.#hosts.length;
    const name = `host-${index + 1}`;
    mkdirSync(this.folder, { recursive: true });
    this.#hosts.push({
      name,
      data: data ?? join(this.folder, name),
      identity: identity ?? join(this.folder, `${name}.key`),
      log: join(this.folder, `${name}.log`),
      httpPort: inPlaceOf === undefined ? await freePort() : this.#host(inPlaceOf).httpPort,
      p2pPort: inPlaceOf === undefined ? await freePort() : this.#host(inPlaceOf).p2pPort,
      flags,
      env,
      onMessage,
      nodeFlags,
      process: undefined,
    });
    this.start(index);
    return index;
  }

  /** Starts the process; all others are its seeds, except at the very first start of the first. */
  start(index: number): void {
    const host = this.#host(index);
    const seeds = this.#hosts.filter((other) => other !== host);
    const args = ["host", "--data", host.data, "--identity", host.identity, "--http", `127.0.0.1:${host.httpPort}`];
    args.push("--p2p", `/ip4/127.0.0.1/tcp/${host.p2pPort}`, "--log-format", "json");
    for (const seed of seeds) args.push("--seed", `/ip4/127.0.0.1/tcp/${seed.p2pPort}`);
    const out = openSync(host.log, "a");
    host.process = spawn(process.execPath, [...host.nodeFlags, main, ...args, ...host.flags], {
      stdio: ["ignore", out, out, "ipc"], // over the channel it notices when this process was killed, and ends too
      env: { ...process.env, ...host.env },
    });
    host.process.on("message", host.onMessage);
  }

  /** Sends a signal; after SIGKILL and SIGTERM it resolves when the process is gone. */
  async signal(index: number, signal: "SIGKILL" | "SIGTERM" | "SIGSTOP" | "SIGCONT"): Promise<number | null> {
    const child = this.#host(index).process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const gone = new Promise<number | null>((resolve) => {
      if (signal === "SIGKILL" || signal === "SIGTERM") child.once("exit", resolve);
      else resolve(null);
    });
    child.kill(signal);
    return gone;
  }

  /** The disk is lost, the identity is not. */
  wipe(index: number): void {
    rmSync(this.#host(index).data, { recursive: true, force: true });
  }

  async killAll(): Promise<void> {
    await Promise.all(this.#hosts.map((_host, i) => this.signal(i, "SIGKILL")));
  }

  /** Starts those that do not run, together, and waits until all agree. */
  async startAll(): Promise<void> {
    const ended = this.#hosts.flatMap((_host, i) => (this.isRunning(i) ? [] : [i]));
    for (const i of ended) this.start(i);
    await Promise.all(ended.map((i) => this.ready(i)));
    await this.settled();
  }

  isRunning(index: number): boolean {
    const child = this.#host(index).process;
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  /** Null while it runs, and where a signal has ended it. */
  exitCode(index: number): number | null {
    return this.#host(index).process?.exitCode ?? null;
  }

  async ready(index: number): Promise<void> {
    await eventually(
      async () => {
        if (!this.isRunning(index))
          throw new Error(`${this.#host(index).name} ended:\n${this.log(index).slice(-2_000)}`);
        return (await fetch(`${this.url(index)}/readyz`).catch(() => undefined))?.ok ?? false;
      },
      () => `${this.#host(index).name} to be ready; its log ends with\n${this.log(index).slice(-2_000)}`,
      readyLimitMs,
    );
  }

  /** All running hosts see one ring with everybody up, and hold their partitions completely. */
  async settled(): Promise<void> {
    const running = this.#hosts.flatMap((_host, i) => (this.isRunning(i) ? [i] : []));
    let all: readonly HostStatus[] = [];
    await eventually(
      async () => {
        all = await Promise.all(running.map((i) => this.status(i)));
        return all.every(
          (status) =>
            status.ready &&
            status.partitions.filling === 0 &&
            status.ring === all[0]!.ring &&
            status.members.filter(({ alive }) => alive).length >= running.length,
        );
      },
      () => `all hosts to agree; they say ${JSON.stringify(all, null, 1)}`,
    );
  }

  async status(index: number): Promise<HostStatus> {
    const response = await fetch(`${this.url(index)}/status`);
    return (await response.json()) as HostStatus;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Ends what still runs. */
  async stop(): Promise<void> {
    await Promise.all(
      this.#hosts.map(async (_host, i) => {
        await this.signal(i, "SIGCONT");
        await this.signal(i, "SIGKILL");
      }),
    );
  }

  #host(index: number): Host {
    const host = this.#hosts[index];
    if (host === undefined) throw new Error(`there is no host ${index}`);
    return host;
  }
}

export interface HostStatus {
  readonly id: string;
  readonly ready: boolean;
  readonly ring: string;
  readonly hints: number;
  readonly keys: number;
  readonly tombstones: { readonly waiting: number; readonly why: readonly string[] };
  readonly notices: readonly string[];
  readonly members: readonly {
    readonly id: string;
    readonly kind: string;
    readonly status: string;
    readonly alive: boolean;
    readonly tokens: number;
    readonly deviceGroup: string;
    readonly life: number;
  }[];
  readonly partitions: { readonly owned: number; readonly filling: number };
  readonly antiEntropy: {
    readonly lastRound?: {
      readonly peer: string;
      readonly agoMs: number;
      readonly outcome: "equal" | "repaired" | "cut" | "failed";
    };
  };
  readonly storage: {
    readonly state: string;
    readonly bytes: number;
    readonly corruptRecords: number;
    readonly setAside: readonly string[];
  };
}
