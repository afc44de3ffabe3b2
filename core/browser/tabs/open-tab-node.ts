/**
 * The node of all tabs, in a page: its locks, its channels, and the events of its life.
 */
import { toHex } from "../../bytes/hex.ts";
import type { Clock, Random } from "../../ports.ts";
import type { SharedNode, StoreNode } from "../../store-node.ts";
import { PageChannel } from "./channel.ts";
import { PageLocks } from "./locks.ts";
import { TabNode } from "./tab-node.ts";
import type { OwnedStorage } from "./tenure.ts";

export interface TabOptions<Opened extends OwnedStorage> {
  /** Of the store: tabs of one origin that open the same name have one node. */
  readonly name: string;
  /** Takes the storage from the tab that had it. */
  readonly openStorage: () => Promise<Opened>;
  /** Called in the tab that is to run the node, each time that it is to. The node closes the storage. */
  readonly openNode: (storage: Opened) => Promise<SharedNode>;
  readonly clock: Clock;
  readonly random: Random;
}

const tabIdBytes = 16;

/**
 * Resolves when this tab or another runs the node.
 * @throws StoreError `not-ready`: a tab with another version of this code runs it; what `openStorage` and `openNode` throw
 */
export async function openTabNode<Opened extends OwnedStorage>(options: TabOptions<Opened>): Promise<StoreNode> {
  const { name, random } = options;
  const channel = new PageChannel(name, toHex(random.bytes(tabIdBytes)));
  const node = new PageTabNode({ ...options, channel, locks: new PageLocks(name) });
  try {
    await node.open();
  } catch (error: unknown) {
    await node.close();
    throw error;
  }
  return node;
}

/** A page that is kept for the way back is frozen too, and in some browsers only `pagehide` tells. */
class PageTabNode<Opened extends OwnedStorage> extends TabNode<Opened> {
  readonly #listening = new AbortController();

  override async open(): Promise<void> {
    const { signal } = this.#listening;
    const ifKept =
      (run: () => void) =>
      ({ persisted }: PageTransitionEvent): void => {
        if (persisted) run();
      };
    const freeze = (): void => this.freeze();
    const resume = (): void => this.resume();
    document.addEventListener("freeze", freeze, { signal });
    document.addEventListener("resume", resume, { signal });
    window.addEventListener("pagehide", ifKept(freeze), { signal });
    window.addEventListener("pageshow", ifKept(resume), { signal });
    await super.open();
  }

  override close(): Promise<void> {
    this.#listening.abort();
    return super.close();
  }
}

/** Whether tabs can share a node: Web Locks need a page from https or from this machine. */
export function canShareTabs(): boolean {
  const { navigator: page } = globalThis as { readonly navigator?: { readonly locks?: LockManager } };
  return page?.locks !== undefined && typeof BroadcastChannel !== "undefined";
}
