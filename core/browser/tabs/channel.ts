/**
 * How tabs of one store reach each other: a channel that all of them hear, and one for each, so that what is meant for one
 * tab is not copied into all.
 */
import type { Stop } from "../../ports.ts";
import { type Envelope, everyone, type Foreign, seal, type TabId, type TabMessage, unseal } from "./messages.ts";

/** What arrives at a tab: see `unseal`. */
export type HearTab = (envelope: Envelope | Foreign) => void;

/**
 * Messages between two tabs arrive in their order, or not at all when one of them is gone. To itself a tab says things
 * without a copy: what is said must not be changed afterwards.
 */
export interface TabChannel {
  readonly self: TabId;
  /** `everyone`: this tab, too. */
  post(to: TabId | typeof everyone, term: number, message: TabMessage): void;
  /** Of this store, other tabs' and its own. */
  onMessage(hear: HearTab): Stop;
  /** A tab is gone. */
  forget(tab: TabId): void;
  close(): void;
}

export class PageChannel implements TabChannel {
  readonly self: TabId;
  readonly #prefix: string;
  readonly #all: BroadcastChannel;
  readonly #inbox: BroadcastChannel;
  readonly #outboxes = new Map<TabId, BroadcastChannel>();
  readonly #listeners = new Set<HearTab>();
  #isClosed = false;

  constructor(store: string, self: TabId) {
    this.self = self;
    this.#prefix = `everwrite/${store}`;
    this.#all = this.#listening(this.#prefix);
    this.#inbox = this.#listening(`${this.#prefix}/${self}`);
  }

  post(to: TabId | typeof everyone, term: number, message: TabMessage): void {
    if (this.#isClosed) return;
    const envelope = { from: this.self, term, message };
    if (to === this.self || to === everyone) queueMicrotask(() => this.#hear(envelope));
    if (to === this.self) return;
    const channel = to === everyone ? this.#all : this.#outbox(to);
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a channel is of one origin
    channel.postMessage(seal(envelope));
  }

  onMessage(hear: HearTab): Stop {
    this.#listeners.add(hear);
    return () => void this.#listeners.delete(hear);
  }

  forget(tab: TabId): void {
    this.#outboxes.get(tab)?.close();
    this.#outboxes.delete(tab);
  }

  close(): void {
    this.#isClosed = true;
    this.#listeners.clear();
    for (const channel of [this.#all, this.#inbox, ...this.#outboxes.values()]) channel.close();
  }

  #listening(name: string): BroadcastChannel {
    const channel = new BroadcastChannel(name);
    channel.addEventListener("message", ({ data }: MessageEvent<unknown>) => {
      const envelope = unseal(data);
      if (envelope !== undefined) this.#hear(envelope);
    });
    return channel;
  }

  #outbox(tab: TabId): BroadcastChannel {
    const channel = this.#outboxes.get(tab) ?? new BroadcastChannel(`${this.#prefix}/${tab}`);
    this.#outboxes.set(tab, channel);
    return channel;
  }

  #hear(envelope: Envelope | Foreign): void {
    for (const listener of this.#listeners) listener(envelope);
  }
}
