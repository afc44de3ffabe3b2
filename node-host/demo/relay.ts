/**
 * The demo's relay: where browsers meet that are hosts themselves, without any other host. It may be killed once they have
 * met; started again it is the same one.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { StoreError } from "../../core/errors.ts";
import { spawnVerb } from "./hosts.ts";
import type { RelayPlace } from "./layout.ts";

export type RelayAction = "kill" | "restart";

export function isRelayAction(text: string): text is RelayAction {
  return text === "kill" || text === "restart";
}

export class DemoRelay {
  readonly #place: RelayPlace;
  #process: ChildProcess | undefined;

  constructor(place: RelayPlace) {
    this.#place = place;
  }

  /** Where browsers find it. */
  get address(): string {
    return `/ip4/127.0.0.1/tcp/${this.#place.wsPort}/ws`;
  }

  get isRunning(): boolean {
    return this.#process !== undefined && this.#process.exitCode === null && this.#process.signalCode === null;
  }

  start(): void {
    const { directory, log } = this.#place;
    this.#process = spawnVerb("relay", log, ["--data", directory, "--p2p", this.address]);
  }

  /** @throws StoreError `bad-request` (not in its state) */
  async act(action: RelayAction): Promise<void> {
    if (this.isRunning === (action === "restart")) {
      throw new StoreError("bad-request", `the relay ${this.isRunning ? "runs" : "is dead"} already`);
    }
    if (action === "restart") this.start();
    else await this.stop("SIGKILL");
  }

  async stop(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const child = this.#process;
    if (child === undefined || !this.isRunning) return;
    const exit = once(child, "exit");
    child.kill(signal);
    await exit;
  }
}
