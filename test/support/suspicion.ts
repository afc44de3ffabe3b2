/** What running hosts think of one of their number, and of the ring. */
import type { HostProcesses } from "./host-processes.ts";

const pollMs = 100;
/** Far above any bar: it ends a trial that hangs. */
const limitMs = 60_000;

/** Looks ten times a second at what all hosts but `suspect` say, from `run` until `stop`. */
export class SuspicionWatch {
  readonly #hosts: HostProcesses;
  readonly #observers: readonly number[];
  readonly #id: string;
  readonly #since = new Map<number, number>();
  /** How long each suspicion of each observer lasted. */
  readonly suspicionsMs: number[] = [];
  /** Fingerprints that were seen. */
  readonly rings = new Set<string>();
  #stopped = false;

  /** `id` is that of host `suspect`. */
  constructor(hosts: HostProcesses, suspect: number, id: string) {
    this.#hosts = hosts;
    this.#observers = observersOf(hosts, suspect);
    this.#id = id;
  }

  stop(): void {
    this.#stopped = true;
  }

  async run(): Promise<void> {
    while (!this.#stopped) {
      await Promise.all(this.#observers.map((observer) => this.#look(observer)));
      await pause(pollMs);
    }
    for (const sinceMs of this.#since.values()) this.suspicionsMs.push(Date.now() - sinceMs);
  }

  async #look(observer: number): Promise<void> {
    const { ring, members } = await this.#hosts.status(observer);
    this.rings.add(ring);
    const isAlive = members.some((member) => member.id === this.#id && member.alive);
    const sinceMs = this.#since.get(observer);
    if (!isAlive && sinceMs === undefined) this.#since.set(observer, Date.now());
    if (!isAlive || sinceMs === undefined) return;
    this.#since.delete(observer);
    this.suspicionsMs.push(Date.now() - sinceMs);
  }
}

/** Milliseconds from `killedAtMs` (`Date.now()`) until all others route around the host; Infinity: never. */
export async function avoidedAfter(
  hosts: HostProcesses,
  suspect: number,
  { id, killedAtMs }: { readonly id: string; readonly killedAtMs: number },
): Promise<number> {
  for (;;) {
    const all = await Promise.all(observersOf(hosts, suspect).map((i) => hosts.status(i)));
    if (all.every(({ members }) => members.some((member) => member.id === id && !member.alive))) {
      return Date.now() - killedAtMs;
    }
    if (Date.now() - killedAtMs > limitMs) return Infinity;
    await pause(10);
  }
}

function observersOf(hosts: HostProcesses, suspect: number): readonly number[] {
  return hosts.urls.flatMap((_url, i) => (i === suspect ? [] : [i]));
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
