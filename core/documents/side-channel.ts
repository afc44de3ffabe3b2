/**
 * What is said about a document and not stored: keystrokes, ahead of their storage, and who is present (y-protocols'
 * awareness). Messages are one byte, what it is, and that. They may be lost, repeated and late: updates of Yjs and states of
 * awareness do not mind.
 */
import {
  applyAwarenessUpdate,
  type Awareness,
  encodeAwarenessUpdate,
  removeAwarenessStates,
} from "y-protocols/awareness";
import type * as Y from "yjs";
import type { Clock, Stop } from "../ports.ts";
import { channelMessageBytesMax } from "../rpc/channel-messages.ts";
import type { Channel, StoreNode } from "../store-node.ts";

const kind = { update: 0, presence: 1, whoIsThere: 2 };
/** Cursors that move with each key are shown as often as eyes follow. */
const presenceMs = 50;
const retryMs = 1_000;
const introducedAgainMs = [500, 1_500, 5_000];

interface SideChannelDeps {
  readonly node: StoreNode;
  readonly clock: Clock;
  readonly bucket: string;
  readonly name: string;
  readonly doc: Y.Doc;
  /** Keystrokes of others. */
  readonly heard: (update: Uint8Array) => void;
}

export class SideChannel {
  readonly #deps: SideChannelDeps;
  #channel: Channel | undefined;
  #awareness: Awareness | undefined;
  #stopTimer: Stop | undefined;
  #stopRetry: Stop | undefined;
  #stopIntroducing: Stop | undefined;
  #isPresenceDue = false;
  readonly #onPresence = (changed: Record<"added" | "updated" | "removed", number[]>, origin: unknown): void => {
    const own = [...changed.added, ...changed.updated, ...changed.removed].includes(this.#awareness!.clientID);
    if (origin !== this && own) this.#presenceLater();
  };

  constructor(deps: SideChannelDeps) {
    this.#deps = deps;
    this.#join();
  }

  /** Shows it to the others, and theirs in it. */
  share(awareness: Awareness): void {
    this.#awareness = awareness;
    awareness.on("update", this.#onPresence);
    this.#introduce(introducedAgainMs);
  }

  /** Some times: until a host has taken this node in, nothing arrives. */
  #introduce([nextMs, ...later]: readonly number[]): void {
    this.#say(kind.whoIsThere, new Uint8Array(0));
    if (this.#awareness!.getLocalState() !== null) this.#presenceLater();
    if (nextMs !== undefined) this.#stopIntroducing = this.#deps.clock.after(nextMs, () => this.#introduce(later));
  }

  /** A local edit; one that is too large comes with the stored ones. */
  edited(update: Uint8Array): void {
    this.#say(kind.update, update);
  }

  end(): void {
    this.#stopTimer?.();
    this.#stopRetry?.();
    this.#stopIntroducing?.();
    if (this.#awareness !== undefined) {
      this.#awareness.off("update", this.#onPresence);
      removeAwarenessStates(this.#awareness, [this.#awareness.clientID], this);
      this.#sayPresence();
    }
    this.#channel?.leave();
    this.#channel = undefined;
  }

  /** A host that just starts has no channels yet. */
  #join(): void {
    const { node, clock, bucket, name } = this.#deps;
    try {
      this.#channel = node.join?.(bucket, name, (message) => this.#hear(message));
    } catch {
      this.#stopRetry = clock.after(retryMs, () => this.#join());
    }
  }

  #hear(message: Uint8Array): void {
    const body = message.subarray(1);
    if (message[0] === kind.update) return this.#deps.heard(body);
    const awareness = this.#awareness;
    if (awareness === undefined) return;
    if (message[0] === kind.whoIsThere) return this.#presenceLater();
    if (message[0] !== kind.presence) return;
    try {
      applyAwarenessUpdate(awareness, body, this);
    } catch {
      // Of another version, or damaged: who is there says so again soon.
    }
  }

  #presenceLater(): void {
    this.#isPresenceDue = true;
    this.#stopTimer ??= this.#deps.clock.after(presenceMs, () => {
      this.#stopTimer = undefined;
      if (this.#isPresenceDue) this.#sayPresence();
    });
  }

  #sayPresence(): void {
    this.#isPresenceDue = false;
    const awareness = this.#awareness!;
    if (awareness.meta.has(awareness.clientID)) {
      this.#say(kind.presence, encodeAwarenessUpdate(awareness, [awareness.clientID]));
    }
  }

  #say(what: number, body: Uint8Array): void {
    if (body.length >= channelMessageBytesMax) return;
    const message = new Uint8Array(body.length + 1);
    message[0] = what;
    message.set(body, 1);
    this.#channel?.send(message);
  }
}
