/**
 * What the hosts tell of themselves and of one key, asked once a second while somebody looks.
 * Nothing here is made up: what a host does not answer is not shown.
 */
import type { Explanation, NodeStatus, RingView } from "everwrite";
import type { Control, HostView } from "./control.ts";
import { Observable } from "./observable.ts";

export interface HoodState {
  /** False until the hosts were asked once. */
  readonly isKnown: boolean;
  /** As the first host that answers sees it. */
  readonly ring: RingView | undefined;
  readonly explanation: Explanation | undefined;
  /** Of each host that answered, by number. */
  readonly statuses: ReadonlyMap<number, NodeStatus>;
}

const pollMs = 1_000;

export class Hood {
  readonly state = new Observable<HoodState>({
    isKnown: false,
    ring: undefined,
    explanation: undefined,
    statuses: new Map(),
  });
  readonly #control: Control;

  constructor(control: Control) {
    this.#control = control;
  }

  /** Follows a key (bucket/name) until the caller ends it. */
  look(key: string): () => void {
    const stopHosts = this.#control.look();
    const end = new AbortController();
    void this.#poll(key, end.signal);
    return () => {
      end.abort();
      stopHosts();
    };
  }

  async #poll(key: string, end: AbortSignal): Promise<void> {
    if (this.#control.hosts.value.length === 0) await this.#control.refresh();
    while (!end.aborted) {
      const state = await this.#ask(key);
      if (end.aborted) return;
      this.state.set(state);
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }

  async #ask(key: string): Promise<HoodState> {
    const asked = this.#control.hosts.value.filter(({ state }) => state === "running" || state === "leaving");
    const answers = await Promise.all(
      asked.map(async ({ number }) => [number, await this.#control.status(number).catch(() => undefined)] as const),
    );
    const statuses = new Map(answers.flatMap(([number, status]) => (status === undefined ? [] : [[number, status]])));
    const [first] = statuses.keys();
    if (first === undefined) return { isKnown: true, ring: undefined, explanation: undefined, statuses };
    // Who dies in between is missing in the next picture.
    const [ring, explanation] = await Promise.all([
      this.#ringOf(first, statuses.get(first)!.ring).catch(() => undefined),
      this.#control.explain(first, key).catch(() => undefined),
    ]);
    return { isKnown: true, ring, explanation, statuses };
  }

  /** It is large, and rarely another. */
  async #ringOf(number: number, fingerprint: string): Promise<RingView> {
    const known = this.state.value.ring;
    return known?.fingerprint === fingerprint ? known : this.#control.ring(number);
  }
}

/** "Host 2", or the end of an id that no host of this machine has. */
export function nameOf(id: string, hosts: readonly HostView[]): string {
  const host = hosts.find((each) => each.id === id);
  return host === undefined ? `…${id.slice(-6)}` : `Host ${host.number}`;
}
