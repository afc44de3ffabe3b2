/**
 * Keeps a set of peers connected: libp2p itself does not redial within seconds.
 * A peer has a name: its id, or the address at which whoever is there is wanted.
 *
 * Invariant: for each kept peer that is not connected there is exactly one attempt running or one timer set.
 */
import type { Clock, Stop } from "../ports.ts";
import type { TransportLimits } from "./limits.ts";
import { describe } from "./problem.ts";

interface Kept {
  addresses: readonly string[];
  connected: boolean;
  connectedMs: number;
  /** Failures in a row. */
  failures: number;
  dialling: boolean;
  stopTimer: Stop | undefined;
  lastProblem: string;
}

export interface ReconnectNeeds<Name extends string> {
  /** Never dialled; of two that keep each other the one of smaller name dials first. */
  readonly self: Name;
  readonly clock: Clock;
  readonly limits: TransportLimits;
  readonly isConnected: (id: Name) => boolean;
  /** Requests reach it all the same, by a detour: there is no hurry. */
  readonly hasDetour: (id: Name) => boolean;
  /** Resolves when requests can be sent. */
  readonly connect: (id: Name, addresses: readonly string[]) => Promise<void>;
  /** Told once per different reason in a row. */
  readonly onUnreachable: (id: Name, reason: string) => void;
}

export class Reconnect<Name extends string> {
  readonly #needs: ReconnectNeeds<Name>;
  readonly #kept = new Map<Name, Kept>();

  constructor(needs: ReconnectNeeds<Name>) {
    this.#needs = needs;
  }

  keep(peers: ReadonlyMap<Name, readonly string[]>): void {
    for (const [id, kept] of this.#kept) {
      if (peers.has(id)) continue;
      kept.stopTimer?.();
      this.#kept.delete(id);
    }
    for (const [id, addresses] of peers) {
      if (id === this.#needs.self) continue;
      const known = this.#kept.get(id);
      if (known !== undefined) {
        const moved = known.addresses.join() !== addresses.join();
        known.addresses = addresses;
        if (moved && !known.connected && !known.dialling) this.#schedule(id, known, 0);
        continue;
      }
      const connected = this.#needs.isConnected(id);
      const connectedMs = this.#needs.clock.now();
      const kept = {
        addresses,
        connected,
        connectedMs,
        failures: 0,
        dialling: false,
        stopTimer: undefined,
        lastProblem: "",
      };
      this.#kept.set(id, kept);
      if (!connected) this.#schedule(id, kept, this.#headStartMs(id));
    }
  }

  keeps(id: Name): boolean {
    return this.#kept.has(id);
  }

  /** The machine woke, or the network is back: try everyone now. */
  wake(): void {
    for (const [id, kept] of this.#kept) {
      kept.failures = 0;
      if (!kept.connected && !kept.dialling) this.#schedule(id, kept, 0);
    }
  }

  changed(id: Name, connected: boolean): void {
    const kept = this.#kept.get(id);
    if (kept === undefined || kept.connected === connected) return;
    const { clock, limits } = this.#needs;
    kept.connected = connected;
    if (connected) {
      kept.connectedMs = clock.now();
      kept.lastProblem = "";
      kept.stopTimer?.();
      return;
    }
    // A connection that lasts shows that the peer is well; one that breaks at once must not be redialled in a loop.
    const lasted = clock.now() - kept.connectedMs >= limits.redialMsMax;
    kept.failures = lasted ? 0 : kept.failures + 1;
    if (!kept.dialling)
      this.#schedule(id, kept, kept.failures <= 1 ? this.#headStartMs(id) : this.#backoffMs(id, kept));
  }

  stop(): void {
    for (const kept of this.#kept.values()) kept.stopTimer?.();
    this.#kept.clear();
  }

  #schedule(id: Name, kept: Kept, ms: number): void {
    kept.stopTimer?.();
    kept.stopTimer = this.#needs.clock.after(ms, () => void this.#try(id, kept));
  }

  async #try(id: Name, kept: Kept): Promise<void> {
    if (kept.connected || kept.dialling) return;
    kept.dialling = true;
    try {
      await this.#needs.connect(id, kept.addresses);
    } catch (error) {
      const message = describe(error);
      if (message !== kept.lastProblem) this.#needs.onUnreachable(id, message);
      kept.lastProblem = message;
    }
    kept.dialling = false;
    if (kept.connected || this.#kept.get(id) !== kept) return;
    kept.failures += 1;
    this.#schedule(id, kept, this.#backoffMs(id, kept));
  }

  /** Where both ends begin at the same moment, the smaller id dials first: that saves a second connection. */
  #headStartMs(id: Name): number {
    return this.#needs.self < id ? 0 : this.#needs.limits.redialMsMin / 2;
  }

  /** Doubles from min to max; half of it is chance, so that a host that returns is not dialled by all at once. */
  #backoffMs(id: Name, { failures }: Kept): number {
    const { redialMsMin, redialMsMax, detourMsMax } = this.#needs.limits;
    const ms = Math.min(
      this.#needs.hasDetour(id) ? detourMsMax : redialMsMax,
      redialMsMin * 2 ** Math.min(failures - 1, 16),
    );
    return ms * (0.5 + Math.random() / 2);
  }
}
