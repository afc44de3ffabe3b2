/**
 * One time of running the node in this tab: from getting the owner's lock to its end, by whatever comes first.
 * Invariant: from its end on nothing that this tab does gets to the store's database, and nothing that its node says is heard.
 * (The data database of a host takes writes until its node is closed, or another tab has claimed it.)
 */
import type { Stop } from "../../ports.ts";
import type { SharedNode } from "../../store-node.ts";
import type { TabChannel } from "./channel.ts";
import type { HeldLock, TabLocks } from "./locks.ts";
import { type Ask, everyone, type TabId } from "./messages.ts";
import { Owner } from "./owner.ts";

/** The storage of the tab that opened it last. */
export interface OwnedStorage {
  /** Higher than of all that opened it before. */
  readonly epoch: number;
  /** Resolves when the storage has answered. @throws when it is closed, or another tab has opened it since */
  touch(): Promise<void>;
  /** Calls back when it is closed, or another tab has opened it; at once if it was before. With why; `isTaken`: the latter. */
  onEnd(listener: (refusal: Error, isTaken: boolean) => void): Stop;
  /** Refuses at once what has not been begun. Closing twice is harmless. */
  close(): Promise<void>;
}

export interface TenureDeps<Opened extends OwnedStorage> {
  readonly channel: TabChannel;
  readonly locks: TabLocks;
  /** Takes the storage from whoever had it. */
  readonly openStorage: () => Promise<Opened>;
  /** The node closes the storage when it is closed. */
  readonly openNode: (storage: Opened) => Promise<SharedNode>;
}

interface Deps<Opened extends OwnedStorage> extends TenureDeps<Opened> {
  /** The storage has ended, and no other tab has it: its data was deleted, or is to be that of a newer release. */
  readonly ended: (refusal: Error) => void;
}

export class Tenure<Opened extends OwnedStorage> {
  /** Resolves at its end. */
  readonly over: Promise<void>;
  readonly #deps: Deps<Opened>;
  readonly #lock: HeldLock;
  #tellOver: () => void = () => {};
  #isOver = false;
  #storage: Opened | undefined;
  #node: SharedNode | undefined;
  #owner: Owner | undefined;

  constructor(deps: Deps<Opened>, lock: HeldLock) {
    this.#deps = deps;
    this.#lock = lock;
    this.over = new Promise((resolve) => {
      this.#tellOver = resolve;
    });
    void lock.stolen.then(() => this.end());
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Resolves when the node serves all tabs, or the time is over. @throws what storage or node could not be opened for */
  async open(): Promise<void> {
    const { channel, openStorage, openNode } = this.#deps;
    const storage = await openStorage();
    if (this.#isOver) return storage.close();
    this.#storage = storage;
    channel.post(everyone, storage.epoch, { kind: "opening" });
    const node = await openNode(storage);
    if (this.#isOver) return node.close();
    this.#node = node;
    // Not before: a node that cannot be opened closes the storage, and says why.
    storage.onEnd((refusal, isTaken) => {
      if (!isTaken && !this.#isOver) this.#deps.ended(refusal);
      this.end();
    });
    if (this.isOver) return;
    this.#owner = new Owner({ ...this.#deps, node, touch: () => storage.touch() }, storage.epoch);
    this.#owner.announce(everyone);
  }

  hear(from: TabId, term: number, ask: Ask): void {
    if (term === this.#storage?.epoch) this.#owner?.hear(from, ask);
  }

  /** To one that seeks: opening may take long, while a host looks for its cluster, and is alive as long as the storage is. */
  announce(to: TabId | typeof everyone): void {
    if (this.#isOver) return;
    if (this.#owner !== undefined) return this.#owner.announce(to);
    const storage = this.#storage;
    storage?.touch().then(
      () => this.#deps.channel.post(to, storage.epoch, { kind: "opening" }),
      () => undefined,
    );
  }

  /** At once: what is under way here is left to the next owner. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#owner?.stop();
    // What can fail here is that the node cannot write any more, which is what the end means.
    for (const part of [this.#storage, this.#node]) part?.close().catch(() => undefined);
    if (this.#storage !== undefined) this.#deps.channel.post(everyone, this.#storage.epoch, { kind: "left" });
    this.#lock.release();
    this.#tellOver();
  }

  /** Lets the node end what it has begun. */
  async close(): Promise<void> {
    this.#owner?.stop();
    try {
      await this.#node?.close();
    } finally {
      this.end();
    }
  }
}
