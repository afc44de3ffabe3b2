/**
 * The Gossip port over the simulated wires: it loses, repeats and reorders what it carries also when the wires do not,
 * passes around a cut where a third host runs that reaches both sides, and now and then brings only the beginning of a body.
 */
import type { NodeId } from "../../core/identity.ts";
import type { Gossip, Hear, Stop } from "../../core/ports.ts";
import { copyOf } from "./copy.ts";
import type { SimNetwork } from "./network.ts";
import type { Process } from "./process.ts";

const lost = 0.15;
const repeated = 0.2;
const cutShort = 0.01;
/** Some bodies take this many times as long as others. */
const slownessMax = 10;

export class SimGossip implements Gossip {
  readonly self: NodeId;
  readonly process: Process;
  readonly #network: SimNetwork;
  #hear: Hear | undefined;

  constructor(self: NodeId, network: SimNetwork, process: Process) {
    this.self = self;
    this.process = process;
    this.#network = network;
    network.listeners.add(this);
  }

  async publish(body: Uint8Array): Promise<void> {
    const { chance } = this.#network;
    for (const listener of this.#network.listeners) {
      if (listener.self === this.self) continue;
      const copies = chance.is(lost) ? 0 : chance.is(repeated) ? 2 : 1;
      for (let i = 0; i < copies; i++) this.#carry(listener, copyOf(body));
    }
  }

  subscribe(hear: Hear): Stop {
    this.#hear = hear;
    return () => {
      if (this.#hear === hear) this.#hear = undefined;
    };
  }

  #carry(listener: SimGossip, body: Uint8Array): void {
    const { chance, listeners, schedule } = this.#network;
    const running = [...listeners].filter(({ process }) => process.alive);
    const via = this.#network.isCut(this.self, listener.self) ? chance.pick(running).self : this.self;
    if (this.#network.isCut(this.self, via) || this.#network.isCut(via, listener.self)) return;
    const heard = chance.is(cutShort) ? body.subarray(0, chance.whole(0, body.length)) : body;
    const delayMs = this.#network.delayMs() * chance.between(1, slownessMax);
    schedule.after(delayMs, `${this.self}>${listener.self} gossip`, () => {
      listener.process.enter(() => {
        listener.#hear?.(this.self, heard).catch((error: unknown) => {
          schedule.log(`${listener.self} cannot hear gossip: ${String(error)}`);
        });
      });
    });
  }
}
