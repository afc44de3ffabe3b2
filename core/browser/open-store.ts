/**
 * openStore for browsers: an edge of the cluster in this page, or a host, as a Store; one for all tabs that open the same.
 */
import { StoreError } from "../errors.ts";
import { systemClock, systemRandom } from "../libp2p/system-ports.ts";
import { loadDocuments } from "../load-documents.ts";
import { type CancelSignal, type Clock, type Random, StorageError } from "../ports.ts";
import { abortedError, Cancellation } from "../store/cancel.ts";
import { Store } from "../store/store.ts";
import type { StoreNode } from "../store-node.ts";
import { openIndexedDbStorage } from "./indexeddb-storage.ts";
import { openPageNode } from "./page-node.ts";
import type { PageNodeOptions } from "./page-options.ts";
import { isRefused, missingIndexedDb } from "./page-storage.ts";
import { canShareTabs, openTabNode } from "./tabs/open-tab-node.ts";

/** Of an edge only `name` is needed. */
export type OpenStoreOptions = PageNodeOptions & {
  /** Ends the opening, not the store. */
  readonly signal?: CancelSignal;
  /** How long the browser may take to open its storage, and after that the cluster to let a host in: 30 s each where not given. */
  readonly timeoutMs?: number;
};

const openTimeoutMs = 30_000;
/** A page reaches hosts over WebSockets only. */
const seedPattern = /^\/(?:ip4|ip6|dns|dns4|dns6)\/[^/]+\/tcp\/\d{1,5}(?:\/[^/]+)*\/wss?(?:\/|$)/;

/**
 * An edge is open as soon as the storage of this browser is: the network comes later, and offline never. A host is when it has
 * its place in the cluster, which it founds or joins; one that was a member before has it at once. What was acknowledged is on
 * the disk, whatever becomes of the page.
 * @throws StoreError `bad-request` (an option, or data of another cluster or role), `not-ready` (the browser does not give its
 *   storage, or the cluster lets no host in), `storage-full`, `corrupt`, `aborted`
 *
 * @example
 * const store = await openStore<{ carts: Cart }>({ name: "shop", seeds: ["/dns4/host.example/tcp/443/wss"] });
 * const carts = store.bucket("carts", { conflict: merge(unionOfCarts) });
 * await carts.update("alice", (cart = emptyCart) => add(cart, "book"));
 */
export async function openStore<Schema extends object = object>(options: OpenStoreOptions): Promise<Store<Schema>> {
  checkOptions(options);
  const { name, clock = systemClock, random = systemRandom } = options;
  const node = await inTime(openNode(options, { clock, random }), clock, options).catch((error: unknown) => {
    throw storeErrorOf(error);
  });
  return new Store<Schema>(name, { node, clock, random, loadDocuments });
}

/** Not every caller has a compiler that checks these. */
function checkOptions(options: OpenStoreOptions): void {
  const { name, database = name, seeds = [] } = options;
  if (typeof name !== "string" || name === "" || database === "")
    throw new StoreError("bad-request", "openStore needs a name, and one for its database");
  // A network of the application's own has addresses of its own.
  if ("network" in options && options.network !== undefined) return;
  const wrong = seeds.find((seed) => !seedPattern.test(seed));
  if (wrong === undefined) return;
  const text = `"${wrong}" is no address that a page can reach: /dns4/HOST/tcp/443/wss, or /ip4/ADDRESS/tcp/PORT/ws`;
  throw new StoreError("bad-request", text);
}

/** One for all tabs; where they have no storage to share, each has its own in memory. */
async function openNode(options: PageNodeOptions, ports: { clock: Clock; random: Random }): Promise<StoreNode> {
  const { database = options.name } = options;
  const isInjected = options.role !== "host" && options.storage !== undefined;
  if (isInjected || missingIndexedDb() !== undefined || !canShareTabs()) return openPageNode(options);
  const lasting: PageNodeOptions = withoutSignal(options);
  try {
    return await openTabNode({
      ...ports,
      name: database,
      openStorage: () => openIndexedDbStorage({ name: database, clock: ports.clock }),
      openNode: (opened) => openPageNode(lasting, async () => ({ storage: opened })),
    });
  } catch (error: unknown) {
    if (!isRefused(error)) throw error;
    return openPageNode(options);
  }
}

/** Each time that this tab runs the node it is opened anew: what ends the first opening, which `inTime` sees to, ends no later one. */
function withoutSignal(options: OpenStoreOptions): PageNodeOptions {
  const { signal: _signal, ...lasting } = options;
  return lasting;
}

/** One that comes too late is closed. */
async function inTime(opening: Promise<StoreNode>, clock: Clock, options: OpenStoreOptions): Promise<StoreNode> {
  const { name, signal, timeoutMs: each = openTimeoutMs } = options;
  const timeoutMs = options.role === "host" ? 2 * each : each;
  const ended = new Cancellation(signal);
  const over = new Promise<never>((_resolve, reject) => {
    const end = (): void => {
      const late = new StoreError("not-ready", `the browser did not open the storage of "${name}" in ${timeoutMs} ms`);
      reject(signal?.aborted ? abortedError(`opening "${name}"`) : late);
    };
    if (ended.aborted) end();
    ended.addEventListener("abort", end);
  });
  const stopTimer = clock.after(timeoutMs, () => ended.abort());
  try {
    return await Promise.race([over, opening]);
  } catch (error: unknown) {
    if (ended.aborted) opening.then((node) => node.close()).catch(() => undefined);
    throw error;
  } finally {
    stopTimer();
    ended.release();
  }
}

/** What keeps a node from starting, for an application: also what a browser says of its storage, or of code that it cannot load. */
function storeErrorOf(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const isFull = error instanceof StorageError && error.kind === "full";
  const text = error instanceof Error ? error.message : String(error);
  return new StoreError(isFull ? "storage-full" : "not-ready", text, { cause: error });
}
