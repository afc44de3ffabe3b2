/** Edges in processes of their own, which tests tell what to do, and kill. */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { EdgeOrder, EdgeReply } from "../host/edge-process.ts";
import { eventually } from "./eventually.ts";

const program = fileURLToPath(new URL("../host/edge-process.js", import.meta.url));
const clockModule = fileURLToPath(new URL("./clock-off.js", import.meta.url));

/** Of a process whose clock is to be ahead by so much. */
export function clockOff(ms: number): Readonly<Record<string, string>> {
  return { NODE_OPTIONS: `--import ${clockModule}`, CLOCK_OFF_MS: String(ms) };
}

type Order = EdgeOrder extends infer O ? (O extends EdgeOrder ? Omit<O, "id"> : never) : never;

/** Killed and started again on its data; what it answered is kept. */
export class EdgeProcess {
  readonly #data: string;
  readonly #seeds: readonly string[];
  readonly #env: Readonly<Record<string, string>>;
  readonly #waiting = new Map<number, (reply: EdgeReply) => void>();
  #child: ChildProcess | undefined;
  #orders = 0;

  /** `clockOffMs`: what its clock is ahead by. */
  constructor(data: string, seeds: readonly string[], { clockOffMs = 0 } = {}) {
    this.#data = data;
    this.#seeds = seeds;
    this.#env = clockOffMs === 0 ? {} : clockOff(clockOffMs);
  }

  async start(seeds = this.#seeds): Promise<void> {
    const child = fork(program, [this.#data, ...seeds], { env: { ...process.env, ...this.#env } });
    this.#child = child;
    await new Promise<void>((resolve) => {
      child.on("message", (reply: EdgeReply) => {
        if (reply.id === 0) resolve();
        this.#waiting.get(reply.id)?.(reply);
        this.#waiting.delete(reply.id);
      });
    });
  }

  ask(order: Order): Promise<EdgeReply> {
    const id = ++this.#orders;
    const answered = new Promise<EdgeReply>((resolve) => this.#waiting.set(id, resolve));
    this.#child!.send({ id, ...order });
    return answered;
  }

  async kill(): Promise<void> {
    const child = this.#child!;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
    this.#waiting.clear();
  }

  connected(wanted = true): Promise<void> {
    return eventually(async () => (await this.ask({ do: "facts" })).connected === wanted, `connected: ${wanted}`);
  }
}
