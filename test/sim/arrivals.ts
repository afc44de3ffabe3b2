/**
 * Hosts that begin without data that others have, and when they may say again that they are complete (PROTOCOL 9,
 * *Filling*). Invariant: only hosts that had their data all the time count as those that others must have copied from.
 */
import { covers, type Dot } from "../../core/causality/version-set.ts";
import type { NodeId } from "../../core/identity.ts";
import type { Event } from "./history.ts";
import type { SimHost } from "./host.ts";
import type { Oracle } from "./oracle.ts";
import { objectOn } from "./rows.ts";

interface Arrival {
  readonly atMs: number;
  readonly known: ReadonlyMap<Event, readonly NodeId[]>;
  /** Of a damaged record: what was in it, which the process of then may have in memory, and not notice. */
  readonly memory: { readonly starts: number; readonly vector: readonly Dot[] } | undefined;
}

export class Arrivals {
  readonly #oracle: Oracle;
  readonly #hosts: () => Iterable<SimHost>;
  readonly #arrived = new Set<NodeId>();
  /** By host and key. */
  readonly #arrivals = new Map<string, Arrival>();

  constructor(oracle: Oracle, hosts: () => Iterable<SimHost>) {
    this.#oracle = oracle;
    this.#hosts = hosts;
  }

  /** Call when a host begins without data that others have: it joins, or its disk was lost. */
  arrives(host: SimHost, nowMs: number): void {
    for (const key of this.#oracle.keys) this.#arrives(host, key, { nowMs, memory: undefined });
    this.#arrived.add(host.id);
  }

  /** Call when a record of a host was damaged. `had`: what was in it, if that could be read. */
  damaged(host: SimHost, key: string, { nowMs, had }: { nowMs: number; had: readonly Dot[] | undefined }): void {
    const isWhole = had !== undefined && !this.#arrivals.has(`${host.id} ${key}`);
    this.#arrives(host, key, { nowMs, memory: isWhole ? { starts: host.starts, vector: had } : undefined });
    this.#arrived.add(host.id);
  }

  #arrives(host: SimHost, key: string, { nowMs, memory }: { nowMs: number; memory: Arrival["memory"] }): void {
    const located = this.#oracle.locate(key);
    const holders = this.#wholeHosts(host).map(({ id, disk }) => ({ id, state: objectOn(disk.synced, located) }));
    const known = new Map<Event, readonly NodeId[]>();
    for (const event of this.#oracle.history(key).events.values()) {
      known.set(
        event,
        holders.flatMap(({ id, state }) => (state && covers(state.vector, event.dot) ? [id] : [])),
      );
    }
    this.#arrivals.set(`${host.id} ${key}`, { atMs: nowMs, known, memory });
  }

  /** Somebody else answers under its name too: neither has everything that was given to it. */
  copied(host: SimHost): void {
    this.forgetArrival(host);
    this.#arrived.add(host.id);
  }

  /** It has data again that it need not know to be old. */
  forgetArrival(host: SimHost): void {
    for (const key of this.#oracle.keys) this.#arrivals.delete(`${host.id} ${key}`);
  }

  /**
   * A host says that it holds a key completely, and what it knows of it. If it came with nothing, it must have copied what
   * two owners had all the time: of the complete holders it may leave out one at most. But a damaged record takes nothing
   * from a process that has it in memory: that is as complete as before, whatever it may have missed (seed 408121).
   */
  claims(host: SimHost, key: string, vector: readonly Dot[]): void {
    const arrival = this.#arrivals.get(`${host.id} ${key}`);
    const ring = this.#oracle.ring();
    if (arrival === undefined || ring === undefined) return;
    if ((this.#oracle.lossMs(host.id) ?? -1) > arrival.atMs) return;
    const history = this.#oracle.history(key);
    if (history.truncated) return;
    const { memory } = arrival;
    if (memory?.starts === host.starts && memory.vector.every((entry) => covers(vector, entry))) return;
    const owners = ring.owners(this.#oracle.locate(key).partition);
    if (!owners.includes(host.id)) return;
    const whole = this.#wholeHosts(host).map(({ id }) => id);
    for (const [event, holders] of arrival.known) {
      if (holders.filter((id) => owners.includes(id) && whole.includes(id)).length < 2) continue;
      this.#oracle.checks += 1;
      if (history.knows(vector, event) || event.reaped) continue;
      const text = `${host.name} says so of ${key}, but lacks ${this.#oracle.tell(key, event.name)}, which ${holders.join()} had when it came`;
      return this.#oracle.broken("a complete holder has what the others have", text);
    }
  }

  /** It never came with nothing, and never lost anything. */
  isWhole({ id }: SimHost): boolean {
    return this.#oracle.lossMs(id) === undefined && !this.#arrived.has(id);
  }

  #wholeHosts(besides: SimHost): SimHost[] {
    return [...this.#hosts()].filter((host) => host !== besides && this.isWhole(host));
  }
}
