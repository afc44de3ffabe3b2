/** What a visitor can break: the network of this device, and the hosts where they run on this machine. */
import { NetworkSwitch } from "everwrite/browser";
import type { SiteConfig } from "../config.ts";
import { Control } from "./control.ts";
import { Observable } from "./observable.ts";

const modes = ["on", "slow", "off"] as const;

export type NetworkMode = (typeof modes)[number];

/** What slow means: each request takes so much longer, ms. */
export const slowMs = 1_500;

export class Lab {
  /** For `openStore`. */
  readonly networkSwitch = new NetworkSwitch();
  readonly network = new Observable<NetworkMode>("on");
  /** Undefined: the hosts are not this machine's to stop. */
  readonly control: Control | undefined;
  /** One device, one network: its tabs share a node, which may be in any of them. */
  readonly #tabs: BroadcastChannel;
  /** Where a reload finds it again, and a tab that is opened later. */
  readonly #memory: string;

  /** `database`: of the device. */
  constructor({ control }: SiteConfig, database: string) {
    this.control = control === undefined ? undefined : new Control(control.token);
    this.#memory = `shop network ${database}`;
    this.#tabs = new BroadcastChannel(this.#memory);
    this.#tabs.addEventListener("message", ({ data }) => this.#apply(data as NetworkMode));
    const before = modes.find((mode) => mode === localStorage.getItem(this.#memory));
    if (before !== undefined) this.#apply(before);
  }

  setNetwork(mode: NetworkMode): void {
    this.#apply(mode);
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a channel is within one origin
    this.#tabs.postMessage(mode);
  }

  #apply(mode: NetworkMode): void {
    localStorage.setItem(this.#memory, mode);
    this.network.set(mode);
    this.networkSwitch.slow(mode === "slow" ? slowMs : 0);
    if (mode === "off") this.networkSwitch.cut();
    else this.networkSwitch.heal();
  }
}
