/** What a visitor can break: the network, the storage and the clock of this device, and the hosts where they run on this machine. */
import { NetworkSwitch, StorageBudget } from "everwrite/browser";
import type { SiteConfig } from "../config.ts";
import { Control } from "./control.ts";
import { DeviceClock } from "./device-clock.ts";
import { Observable } from "./observable.ts";

export type NetworkMode = "on" | "slow" | "off";

/** What is wrong with a device. */
export interface Faults {
  readonly network: NetworkMode;
  /** Nothing more may be stored. */
  readonly isFull: boolean;
  /** Of its clock, ms. */
  readonly aheadMs: number;
}

/** What slow means: each request takes so much longer, ms. */
export const slowMs = 1_500;

export const dayMs = 86_400_000;

const noFaults: Faults = { network: "on", isFull: false, aheadMs: 0 };

export class Lab {
  /** For `openStore`, as they are. */
  readonly networkSwitch = new NetworkSwitch();
  readonly storageBudget = new StorageBudget();
  readonly clock = new DeviceClock();
  readonly faults = new Observable<Faults>(noFaults);
  /** Undefined: the hosts are not this machine's to stop. */
  readonly control: Control | undefined;
  readonly ring: SiteConfig["ring"];
  /** The other ring can be had. */
  readonly hasRelays: boolean;
  /** One device, one network: its tabs share a node, which may be in any of them. */
  readonly #tabs: BroadcastChannel;
  /** Where a reload finds them again, and a tab that is opened later. */
  readonly #memory: string;

  /** `database`: of the device. */
  constructor({ control, ring, hasRelays }: SiteConfig, database: string) {
    this.control = control === undefined ? undefined : new Control(control.token);
    this.ring = ring;
    this.hasRelays = hasRelays;
    this.#memory = `shop faults ${database}`;
    this.#tabs = new BroadcastChannel(this.#memory);
    this.#tabs.addEventListener("message", ({ data }) => this.#apply(data as Faults));
    this.#apply(parseFaults(localStorage.getItem(this.#memory)));
  }

  setNetwork(network: NetworkMode): void {
    this.#set({ network });
  }

  setFull(isFull: boolean): void {
    this.#set({ isFull });
  }

  /** As if the page had been open all the time. */
  letADayPass(): void {
    this.#set({ aheadMs: this.faults.value.aheadMs + dayMs });
  }

  setClockRight(): void {
    this.#set({ aheadMs: 0 });
  }

  #set(change: Partial<Faults>): void {
    const faults = { ...this.faults.value, ...change };
    this.#apply(faults);
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a channel is within one origin
    this.#tabs.postMessage(faults);
  }

  #apply(faults: Faults): void {
    localStorage.setItem(this.#memory, JSON.stringify(faults));
    this.faults.set(faults);
    const { network, isFull, aheadMs } = faults;
    this.clock.setAhead(aheadMs);
    this.networkSwitch.slow(network === "slow" ? slowMs : 0);
    if (network === "off") this.networkSwitch.cut();
    else this.networkSwitch.heal();
    if (isFull) this.storageBudget.limit(0);
    else this.storageBudget.lift();
  }
}

/** What this page wrote, or nothing. */
function parseFaults(text: string | null): Faults {
  return text === null ? noFaults : { ...noFaults, ...(JSON.parse(text) as Partial<Faults>) };
}
