/**
 * A switch in the line between a page and all others, in the application's hand: for demonstrations, and to test what an
 * application does without a network. `navigator.onLine` and developer tools leave connections alive that are open already;
 * this closes them.
 *
 * Invariant: while it is cut no connection is open and none is made, in either direction.
 */
import type { Libp2p } from "@libp2p/interface";
import type { Clock, Stop, Transport } from "../ports.ts";

/**
 * @example
 * const networkSwitch = new NetworkSwitch();
 * const store = await openStore({ name: "shop", seeds, networkSwitch });
 * networkSwitch.cut();
 */
export class NetworkSwitch {
  readonly #listeners = new Set<() => void>();
  #isCut = false;
  #delayMs = 0;

  get isCut(): boolean {
    return this.#isCut;
  }

  /** How much longer each request takes, in both directions, ms. */
  get delayMs(): number {
    return this.#delayMs;
  }

  /** Ends every connection, and refuses new ones until `heal`. */
  cut(): void {
    this.#set(true);
  }

  /** Hosts are dialled again at once. */
  heal(): void {
    this.#set(false);
  }

  slow(delayMs: number): void {
    this.#delayMs = delayMs;
  }

  /** Calls back when it was cut or healed. */
  onChange(listener: () => void): Stop {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Ends the connections of a node while this is cut; `onHeal` makes new ones. This and `slowing` are methods, so that only
   * applications that make a switch load them.
   */
  over(libp2p: Pick<Libp2p, "getConnections" | "addEventListener">, onHeal: () => void): Stop {
    const endAll = (): void => {
      for (const connection of libp2p.getConnections()) connection.abort(new Error("the network was cut"));
    };
    // A dial that was under way at the cut got past the gater.
    libp2p.addEventListener("connection:open", () => this.#isCut && endAll());
    return this.onChange(() => (this.#isCut ? endAll() : onHeal()));
  }

  /** The same transport, with requests that wait as long as this says before they leave, and before they are answered. */
  slowing(transport: Transport, clock: Clock): Transport {
    const wait = (): Promise<void> =>
      new Promise((resolve) => {
        if (this.#delayMs > 0) clock.after(this.#delayMs, resolve);
        else resolve();
      });
    return {
      self: transport.self,
      async request(to, body, timeoutMs) {
        await wait();
        return transport.request(to, body, timeoutMs);
      },
      tell: (to, body) => void wait().then(() => transport.tell(to, body)),
      serve: (handler) =>
        transport.serve(async (from, body, deadlineMs) => {
          await wait();
          return handler(from, body, deadlineMs);
        }),
      meet: (address) => transport.meet(address),
      keep: (peers) => transport.keep(peers),
      peers: () => transport.peers(),
      onPeerChange: (listener) => transport.onPeerChange(listener),
    };
  }

  #set(isCut: boolean): void {
    if (isCut === this.#isCut) return;
    this.#isCut = isCut;
    for (const listener of this.#listeners) listener();
  }
}
