/**
 * The server of `npm start`, as the page uses it: it sends signals to the hosts' processes, and passes on what they tell of
 * themselves (a host answers no page of another origin). A shop on any other web server has none.
 */
import type { Explanation, NodeStatus, RingView } from "everwrite";
import { Observable } from "./observable.ts";

export type HostState = "starting" | "running" | "paused" | "stopped" | "leaving";

/** One host process of this machine. */
export interface HostView {
  /** 1, 2, 3, … */
  readonly number: number;
  readonly state: HostState;
  /** Of its node; unknown before it was ever ready. */
  readonly id: string | null;
  readonly url: string;
  /** Its storage may grow no more. */
  readonly isFull: boolean;
  /** Of its process, while there is one. */
  readonly pid: number | null;
}

export type HostAction = "pause" | "resume" | "kill" | "restart" | "fill" | "relieve" | "leave" | "remove";

const pollMs = 1_000;

export class Control {
  readonly hosts = new Observable<readonly HostView[]>([]);
  /** Where browsers alone meet; undefined before it was asked for. */
  readonly isRelayRunning = new Observable<boolean | undefined>(undefined);
  /** Why the last change was refused, or nobody answers. */
  readonly problem = new Observable<string | undefined>(undefined);
  readonly #token: string;
  #refusal: string | undefined;
  #lookers = 0;
  #isPolling = false;

  constructor(token: string) {
    this.#token = token;
  }

  /** Keeps `hosts` current until the caller ends it. */
  look(): () => void {
    this.#lookers += 1;
    if (!this.#isPolling) void this.#poll();
    return () => {
      this.#lookers -= 1;
    };
  }

  /** False: it was refused, and `problem` says why. */
  async act(number: number, action: HostAction): Promise<boolean> {
    return (await this.#change(`hosts/${number}/${action}`)) !== undefined;
  }

  /** Its number; undefined: as above. */
  async addHost(): Promise<number | undefined> {
    return ((await this.#change("hosts")) as HostView | undefined)?.number;
  }

  async actOnRelay(action: "kill" | "restart"): Promise<void> {
    await this.#change(`relay/${action}`);
  }

  status(number: number): Promise<NodeStatus> {
    return this.#get(`hosts/${number}/status`);
  }

  ring(number: number): Promise<RingView> {
    return this.#get(`hosts/${number}/ring`);
  }

  /** `key`: bucket/name. */
  explain(number: number, key: string): Promise<Explanation> {
    return this.#get(`hosts/${number}/explain/${key.split("/").map(encodeURIComponent).join("/")}`);
  }

  async #poll(): Promise<void> {
    this.#isPolling = true;
    while (this.#lookers > 0) {
      await this.refresh();
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
    this.#isPolling = false;
  }

  async refresh(): Promise<void> {
    try {
      const { hosts } = await this.#get<{ hosts: readonly HostView[] }>("hosts");
      this.hosts.set(hosts);
      this.isRelayRunning.set((await this.#get<{ isRunning: boolean }>("relay")).isRunning);
      this.problem.set(this.#refusal);
    } catch (error: unknown) {
      this.problem.set(wordsOf(error));
    }
  }

  /** What was answered; undefined: it was refused, which is told until the next change. */
  async #change(path: string): Promise<unknown> {
    let answer: unknown;
    try {
      answer = await (await this.#request(path, "POST")).json();
      this.#refusal = undefined;
    } catch (error: unknown) {
      this.#refusal = wordsOf(error);
    }
    await this.refresh();
    return answer;
  }

  async #get<T>(path: string): Promise<T> {
    return (await (await this.#request(path, "GET")).json()) as T;
  }

  async #request(path: string, method: "GET" | "POST"): Promise<Response> {
    const headers = { "everwrite-demo-token": this.#token };
    const response = await fetch(`control/${path}`, { method, headers }).catch((cause: unknown) => {
      throw new Error("The server of this page does not answer: does `npm start` still run?", { cause });
    });
    if (response.ok) return response;
    const { error } = (await response.json()) as { error?: { message?: string } };
    throw new Error(error?.message ?? `the server of the demo answered ${response.status}`);
  }
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
