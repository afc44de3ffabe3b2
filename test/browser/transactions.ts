/** What a page's IndexedDB transactions are like, as seen from below the code under test. */

export interface SeenTransaction {
  readonly mode: string;
  readonly durability: string;
  /** `commit()` was called before whoever opened it gave up control. */
  committedAtOnce: boolean;
  /** Until then. */
  openMs: number;
}

/** Where the page keeps them. */
const keptAs = "seenTransactions";

/** For `launchChromium`'s `before`: runs in the page, so it has nothing but itself. */
export function recordTransactions(): void {
  const seen: SeenTransaction[] = [];
  const beginning = new WeakMap<IDBTransaction, { readonly entry: SeenTransaction; readonly beginMs: number }>();
  Object.assign(globalThis, { seenTransactions: seen });
  type Open = IDBDatabase["transaction"];
  const transaction = Reflect.get<IDBDatabase, "transaction">(IDBDatabase.prototype, "transaction");
  const commit = Reflect.get<IDBTransaction, "commit">(IDBTransaction.prototype, "commit");
  IDBDatabase.prototype.transaction = function (this: IDBDatabase, ...args: Parameters<Open>) {
    const beginMs = performance.now();
    const opened = transaction.apply(this, args);
    const entry = { mode: opened.mode, durability: opened.durability, committedAtOnce: false, openMs: 0 };
    seen.push(entry);
    beginning.set(opened, { entry, beginMs });
    queueMicrotask(() => beginning.delete(opened));
    return opened;
  };
  IDBTransaction.prototype.commit = function (this: IDBTransaction) {
    commit.call(this);
    const begun = beginning.get(this);
    if (begun === undefined) return;
    begun.entry.committedAtOnce = true;
    begun.entry.openMs = performance.now() - begun.beginMs;
  };
}

/** In the page. */
export function seenTransactions(): readonly SeenTransaction[] {
  return (globalThis as unknown as Record<string, SeenTransaction[]>)[keptAs] ?? [];
}

/** Those that might not be on the disk when they are acknowledged, or might hold up other tabs. */
export function badTransactions(seen: readonly SeenTransaction[]): readonly SeenTransaction[] {
  return seen.filter(
    ({ mode, durability, committedAtOnce }) => !committedAtOnce || (mode === "readwrite" && durability !== "strict"),
  );
}
