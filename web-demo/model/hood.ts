/**
 * What the hosts tell of themselves and of one key, asked once a second while somebody looks: processes of this machine, or
 * this page itself, where pages are the hosts. Nothing here is made up: what a host does not answer is not shown.
 */
import type { Explanation, NodeStatus, RingView, Stop } from "everwrite";
import type { Shop } from "../store/shop.ts";
import type { Control } from "./control.ts";
import { Observable } from "./observable.ts";

/** One of the hosts, whether it answers or not. */
export interface SeenHost {
  /** Of its node; null: it was never ready. */
  readonly id: string | null;
  readonly name: string;
  /** Shown where it tells nothing itself. */
  readonly state: string;
  readonly status: NodeStatus | undefined;
}

interface Seen {
  /** As the first host that answers sees it. */
  readonly ring: RingView | undefined;
  readonly explanation: Explanation | undefined;
  readonly hosts: readonly SeenHost[];
}

export interface HoodState extends Seen {
  /** False until the hosts were asked once. */
  readonly isKnown: boolean;
}

/** Asks the hosts; `known`: the ring as it was told last. */
type Ask = (key: string, known: RingView | undefined) => Promise<Seen>;

const pollMs = 1_000;
const nothing: Seen = { ring: undefined, explanation: undefined, hosts: [] };

export class Hood {
  readonly state = new Observable<HoodState>({ ...nothing, isKnown: false });
  readonly #ask: Ask;
  readonly #begin: () => Stop;

  /** `begin`: keeps current what `ask` looks at. */
  constructor(ask: Ask, begin: () => Stop = () => () => {}) {
    this.#ask = ask;
    this.#begin = begin;
  }

  /** Follows a key (bucket/name) until the caller ends it. */
  look(key: string): () => void {
    const stop = this.#begin();
    const end = new AbortController();
    void this.#poll(key, end.signal);
    return () => {
      end.abort();
      stop();
    };
  }

  async #poll(key: string, end: AbortSignal): Promise<void> {
    while (!end.aborted) {
      const seen = await this.#ask(key, this.state.value.ring).catch(() => nothing);
      if (end.aborted) return;
      this.state.set({ ...seen, isKnown: true });
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }
}

/** Of the hosts of `npm start`. */
export function hoodOfHosts(control: Control): Hood {
  const ask: Ask = async (key, known) => {
    if (control.hosts.value.length === 0) await control.refresh();
    const hosts = await Promise.all(
      control.hosts.value.map(async ({ number, id, state }) => {
        const answers = state === "running" || state === "leaving";
        const status = answers ? await control.status(number).catch(() => undefined) : undefined;
        return { number, id, name: `Host ${number}`, state, status };
      }),
    );
    const first = hosts.find(({ status }) => status !== undefined);
    if (first === undefined) return { ...nothing, hosts };
    // The ring is large, and rarely another. Who dies in between is missing in the next picture.
    const isKnown = known?.fingerprint === first.status!.ring;
    const [ring, explanation] = await Promise.all([
      isKnown ? known : control.ring(first.number).catch(() => undefined),
      control.explain(first.number, key).catch(() => undefined),
    ]);
    return { ring, explanation, hosts };
  };
  return new Hood(ask, () => control.look());
}

/** Of pages, as this one, which is one of them, sees them. */
export function hoodOfPages({ store }: Shop): Hood {
  return new Hood(async (key) => {
    const { status, ring, explanation } = await store.inspect(key);
    const members = status.members.filter((member) => member.status === "up" || member.status === "leaving");
    const hosts = members.map(({ id, alive }) => {
      const isSelf = id === status.id;
      const name = isSelf ? "This page" : `Page …${id.slice(-4)}`;
      const state = alive ? "there; what it does is told in its own window" : "away";
      return { id, name, state, status: isSelf ? status : undefined };
    });
    return { ring, explanation, hosts };
  });
}

/** "Host 2", or the end of an id that no host of these has. */
export function nameOf(id: string, hosts: readonly SeenHost[]): string {
  return hosts.find((each) => each.id === id)?.name ?? `…${id.slice(-6)}`;
}
