/** What a visitor can break: the network of this device, and the hosts where they run on this machine. */
import { NetworkSwitch } from "everwrite/browser";
import type { SiteConfig } from "../config.ts";
import { Control } from "./control.ts";
import { Observable } from "./observable.ts";

export type NetworkMode = "on" | "slow" | "off";

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

  constructor({ control }: SiteConfig, device: string) {
    this.control = control === undefined ? undefined : new Control(control.token);
    this.#tabs = new BroadcastChannel(`shop network ${device}`);
    this.#tabs.addEventListener("message", ({ data }) => this.#apply(data as NetworkMode));
  }

  setNetwork(mode: NetworkMode): void {
    this.#apply(mode);
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a channel is within one origin
    this.#tabs.postMessage(mode);
  }

  #apply(mode: NetworkMode): void {
    this.network.set(mode);
    this.networkSwitch.slow(mode === "slow" ? slowMs : 0);
    if (mode === "off") this.networkSwitch.cut();
    else this.networkSwitch.heal();
  }
}
