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
  /** Of its process, while there is one. */
  readonly pid: number | null;
}

export type HostAction = "pause" | "resume" | "kill" | "restart" | "leave" | "remove";

const pollMs = 1_000;

export class Control {
  readonly hosts = new Observable<readonly HostView[]>([]);
  /** Where browsers alone meet; undefined before it was asked for. */
  readonly isRelayRunning = new Observable<boolean | undefined>(undefined);
  /** Why the last request failed. */
  readonly problem = new Observable<string | undefined>(undefined);
  readonly #token: string;
  #lookers = 0;

  constructor(token: string) {
    this.#token = token;
  }

  /** Keeps `hosts` current until the caller ends it. */
  look(): () => void {
    this.#lookers += 1;
    if (this.#lookers === 1) void this.#poll();
    return () => {
      this.#lookers -= 1;
    };
  }

  act(number: number, action: HostAction): Promise<void> {
    return this.#change(`hosts/${number}/${action}`);
  }

  addHost(): Promise<void> {
    return this.#change("hosts");
  }

  actOnRelay(action: "kill" | "restart"): Promise<void> {
    return this.#change(`relay/${action}`);
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
    while (this.#lookers > 0) {
      await this.refresh();
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }

  async refresh(): Promise<void> {
    await this.#telling(async () => {
      const { hosts } = await this.#get<{ hosts: readonly HostView[] }>("hosts");
      this.hosts.set(hosts);
      this.isRelayRunning.set((await this.#get<{ isRunning: boolean }>("relay")).isRunning);
    });
  }

  async #change(path: string): Promise<void> {
    await this.#telling(async () => this.#request(path, "POST"));
    await this.refresh();
  }

  async #telling(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
      this.problem.set(undefined);
    } catch (error: unknown) {
      this.problem.set(error instanceof Error ? error.message : String(error));
    }
  }

  async #get<T>(path: string): Promise<T> {
    return (await (await this.#request(path, "GET")).json()) as T;
  }

  async #request(path: string, method: "GET" | "POST"): Promise<Response> {
    const response = await fetch(`control/${path}`, { method, headers: { "everwrite-demo-token": this.#token } });
    if (response.ok) return response;
    const { error } = (await response.json()) as { error?: { message?: string } };
    throw new Error(error?.message ?? `the server of the demo answered ${response.status}`);
  }
}
