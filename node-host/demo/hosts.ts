/**
 * The demo's host processes: started, watched, paused, killed, stopped. A visitor's buttons and Ctrl-C both end here.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { openSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { NodeStatus } from "../../core/api.ts";
import { StoreError } from "../../core/errors.ts";
import { hostNodeFlags } from "../node-flags.ts";
import type { HostPlace, Layout } from "./layout.ts";

/** The built `everwrite` command. */
export const mainFile = fileURLToPath(new URL("../main.js", import.meta.url));

const READY_POLL_MS = 150;
const READY_TIMEOUT_MS = 60_000;
/** A request to a host; a paused one never answers. */
const ASK_TIMEOUT_MS = 5_000;
const LOG_LINES = 12;

export type HostState = "starting" | "running" | "paused" | "stopped" | "leaving";

/** One host of this machine, whether it runs or not. */
export interface DemoHost {
  readonly place: HostPlace;
  process: ChildProcess;
  state: HostState;
  /** Of its node; null before it has ever answered. */
  id: string | null;
  /** Its storage may grow no more; also of the process that takes its place. */
  isFull: boolean;
}

/** Of a host's status, once it listens. */
type ReadyStatus = Pick<NodeStatus, "id" | "members"> & { readonly ready: boolean };

/** What can be done to a host, and in which states. */
const allowed = {
  pause: ["running"],
  resume: ["paused"],
  kill: ["starting", "running", "paused", "leaving"],
  restart: ["stopped"],
  fill: ["running"],
  relieve: ["running"],
  leave: ["running"],
  remove: ["stopped"],
} as const satisfies Readonly<Record<string, readonly HostState[]>>;

export type HostAction = keyof typeof allowed;

export function isHostAction(text: string): text is HostAction {
  return Object.hasOwn(allowed, text);
}

export interface DemoHostsNeeds {
  readonly layout: Pick<Layout, "add" | "cluster" | "rememberLeft" | "seedsOf">;
  readonly hostsMax: number;
  /** Is told of a host that ends without having been asked to. */
  readonly onDeath: (host: DemoHost, how: string) => void;
}

export class DemoHosts {
  readonly #needs: DemoHostsNeeds;
  readonly #hosts = new Map<number, DemoHost>();
  #isStopping = false;
  /** Of the last `add`: one at a time, or two would get the same place. */
  #added: Promise<unknown> = Promise.resolve();

  constructor(needs: DemoHostsNeeds) {
    this.#needs = needs;
  }

  /** By number. */
  get all(): readonly DemoHost[] {
    return [...this.#hosts.values()].toSorted((a, b) => a.place.number - b.place.number);
  }

  /** @throws StoreError `not-found` */
  host(number: number): DemoHost {
    const host = this.#hosts.get(number);
    if (host === undefined) throw new StoreError("not-found", `there is no host ${number}`);
    return host;
  }

  /**
   * True once it is ready, or goes on leaving, or has left, as it was told before; false when it died, time is up (it may be
   * ready later), or all are being stopped.
   */
  async start(place: HostPlace): Promise<boolean> {
    if (this.#isStopping) return false;
    const process = spawnHost(place, this.#needs.layout);
    const { id = null, isFull = false } = this.#hosts.get(place.number) ?? {};
    const host: DemoHost = { place, process, state: "starting", id, isFull };
    this.#hosts.set(place.number, host);
    process.once("exit", (code, signal) => void this.#onExit(host, code, signal));
    return Promise.race([this.#becomesReady(host), sleep(READY_TIMEOUT_MS, false, { ref: false })]);
  }

  /** One host more; it joins by itself. @throws StoreError `bad-request`, `not-ready` (all are being stopped) */
  add(): Promise<DemoHost> {
    const added = this.#added.then(() => this.#add());
    this.#added = added.catch(() => undefined);
    return added;
  }

  async #add(): Promise<DemoHost> {
    if (this.#isStopping) throw new StoreError("not-ready", "all hosts are being stopped");
    if (this.#hosts.size >= this.#needs.hostsMax) {
      throw new StoreError("bad-request", `${this.#needs.hostsMax} hosts are enough for one machine`);
    }
    const place = await this.#needs.layout.add();
    void this.start(place);
    return this.host(place.number);
  }

  /** @throws StoreError `not-found`, `bad-request` (not in its state), what its node refuses */
  async act(number: number, action: HostAction): Promise<void> {
    const host = this.host(number);
    const states: readonly HostState[] = allowed[action];
    if (!states.includes(host.state)) {
      throw new StoreError("bad-request", `host ${number} is ${host.state}: it cannot be told to ${action}`);
    }
    await this.#actions[action](host);
  }

  readonly #actions: Readonly<Record<HostAction, (host: DemoHost) => unknown>> = {
    pause: (host) => this.#signal(host, "SIGSTOP", "paused"),
    resume: (host) => this.#signal(host, "SIGCONT", "running"),
    kill: (host) => this.#signal(host, "SIGKILL", "stopped"),
    restart: (host) => void this.start(host.place),
    fill: (host) => limitData(host, true),
    relieve: (host) => limitData(host, false),
    leave: async (host) => {
      // Its process ends by itself when all is handed over, which may be before it has answered.
      host.state = "leaving";
      try {
        await ask(host, "admin/leave", "POST");
      } catch (error: unknown) {
        if (host.state === "leaving") host.state = "running";
        throw error;
      }
    },
    remove: async (host) => {
      const other = this.all.find(({ state }) => state === "running");
      if (other === undefined || host.id === null) throw new StoreError("not-ready", "no host runs that could do it");
      await ask(other, `admin/remove/${host.id}`, "POST");
      this.#forget(host);
    },
  };

  async stopAll(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    this.#isStopping = true;
    await Promise.all(
      this.all.filter(isRunning).map((host) => {
        const exit = once(host.process, "exit");
        host.process.kill(signal);
        host.process.kill("SIGCONT"); // a paused one hears nothing else
        return exit;
      }),
    );
  }

  #signal(host: DemoHost, signal: NodeJS.Signals, state: HostState): void {
    host.state = state;
    host.process.kill(signal);
  }

  async #onExit(host: DemoHost, code: number | null, signal: NodeJS.Signals | null): Promise<void> {
    const { state } = host;
    host.state = "stopped";
    if (this.#isStopping) return;
    const hasLeft = code === 0 && state !== "stopped" && (await this.#hasLeft(host));
    // It may have been started again meanwhile.
    if (this.#isStopping || this.#hosts.get(host.place.number) !== host) return;
    if (hasLeft) this.#forget(host);
    else if (state !== "stopped" && state !== "leaving") this.#needs.onDeath(host, signal ?? `exit code ${code}`);
  }

  /** One that was interrupted while it left ends in the same way, and is a member still: the others know. */
  async #hasLeft({ id }: DemoHost): Promise<boolean> {
    for (const other of this.all.filter(({ state }) => state === "running")) {
      // Where one does not answer, or does not know it, the next one may.
      const answer: unknown = await ask(other, "status").then(
        (response) => response.json().catch(() => undefined),
        () => undefined,
      );
      const { members = [] } = (answer ?? {}) as Partial<Pick<NodeStatus, "members">>;
      const member = members.find((each) => each.id === id);
      if (member !== undefined) return member.status === "left";
    }
    return false;
  }

  #forget(host: DemoHost): void {
    this.#hosts.delete(host.place.number);
    this.#needs.layout.rememberLeft(host.place);
  }

  /** Until it is, or goes on leaving, or its process has ended: on a busy machine long after anybody waited for it. */
  async #becomesReady(host: DemoHost): Promise<boolean> {
    while (isRunning(host)) {
      const status = await statusOf(host);
      if (status !== undefined) host.id = status.id;
      // One that was stopped while it left goes on with that. It is never ready, once it has given its tokens away.
      const isLeaving =
        status?.members.some((member) => member.id === status.id && member.status === "leaving") ?? false;
      if (status?.ready === true || isLeaving) {
        if (host.isFull) await this.#fillAgain(host);
        if (host.state === "starting") host.state = isLeaving ? "leaving" : "running";
        return true;
      }
      await sleep(READY_POLL_MS);
    }
    return host.process.exitCode === 0 && !this.#isStopping && (await this.#hasLeft(host));
  }

  /** A new process knows of no limit. Where it cannot be told either, it has none. */
  async #fillAgain(host: DemoHost): Promise<void> {
    try {
      await limitData(host, true);
    } catch (error: unknown) {
      if (!(error instanceof StoreError)) throw error;
      host.isFull = false;
    }
  }
}

/** Undefined: it does not listen yet, or is too busy to answer. */
async function statusOf(host: DemoHost): Promise<ReadyStatus | undefined> {
  const response = await ask(host, "status").catch(() => undefined);
  return (await response?.json().catch(() => undefined)) as ReadyStatus | undefined;
}

/** What a host answers, whatever it is. @throws StoreError `not-ready` when it does not */
export async function ask({ place }: DemoHost, path: string, method: "GET" | "POST" = "GET"): Promise<Response> {
  const signal = AbortSignal.timeout(ASK_TIMEOUT_MS);
  let response: Response;
  try {
    response = await fetch(`${place.url}/${path}`, { method, signal });
  } catch (cause: unknown) {
    throw new StoreError("not-ready", `host ${place.number} does not answer`, { cause });
  }
  if (method === "GET" || response.ok) return response;
  const { error } = (await response.json()) as { error?: { message?: string } };
  throw new StoreError("not-ready", `host ${place.number} refused: ${error?.message ?? response.status}`);
}

/** No byte more, or as much as there is room for. @throws StoreError `not-ready` */
async function limitData(host: DemoHost, isFull: boolean): Promise<void> {
  await ask(host, `admin/data-limit${isFull ? "?bytes=0" : ""}`, "POST");
  host.isFull = isFull;
}

function spawnHost(place: HostPlace, { cluster, seedsOf }: Pick<Layout, "cluster" | "seedsOf">): ChildProcess {
  const addresses = [`/ip4/127.0.0.1/tcp/${place.p2pPort}`, `/ip4/127.0.0.1/tcp/${place.wsPort}/ws`];
  return spawnVerb("host", place.log, [
    "--cluster",
    cluster,
    "--data",
    place.directory,
    "--http",
    `127.0.0.1:${place.httpPort}`,
    ...addresses.flatMap((address) => ["--p2p", address]),
    ...seedsOf(place).flatMap((seed) => ["--seed", seed]),
  ]);
}

/** `everwrite VERB` for as long as this process lives; what it prints is appended to the log. */
export function spawnVerb(verb: "host" | "relay", logFile: string, flags: readonly string[]): ChildProcess {
  const log = openSync(logFile, "a");
  return spawn(process.execPath, [...hostNodeFlags, mainFile, verb, ...flags], {
    // A group of its own: Ctrl-C reaches the demo alone, which then stops its hosts in order. Over the channel they
    // notice when the demo itself is killed.
    detached: true,
    stdio: ["ignore", log, log, "ipc"],
    env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("EVERWRITE_"))),
  });
}

export function isRunning({ process: child }: Pick<DemoHost, "process">): boolean {
  return child.exitCode === null && child.signalCode === null;
}

export function lastLogLines({ place }: DemoHost): string {
  const lines = readFileSync(place.log, "utf8").trimEnd().split("\n").slice(-LOG_LINES);
  return lines.map((line) => `    ${line}`).join("\n");
}
