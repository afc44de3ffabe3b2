/** What a page's IndexedDB transactions are like, as seen from below the code under test. */

export interface SeenTransaction {
  readonly mode: string;
  readonly durability: string;
  /** `commit()` was called before whoever opened it gave up control. */
  committedAtOnce: boolean;
}

/** Where the page keeps them. */
const keptAs = "seenTransactions";

/** For `launchChromium`'s `before`: runs in the page, so it has nothing but itself. */
export function recordTransactions(): void {
  const seen: SeenTransaction[] = [];
  const beginning = new WeakMap<IDBTransaction, SeenTransaction>();
  Object.assign(globalThis, { seenTransactions: seen });
  type Open = IDBDatabase["transaction"];
  const transaction = Reflect.get<IDBDatabase, "transaction">(IDBDatabase.prototype, "transaction");
  const commit = Reflect.get<IDBTransaction, "commit">(IDBTransaction.prototype, "commit");
  IDBDatabase.prototype.transaction = function (this: IDBDatabase, ...args: Parameters<Open>) {
    const opened = transaction.apply(this, args);
    const entry = { mode: opened.mode, durability: opened.durability, committedAtOnce: false };
    seen.push(entry);
    beginning.set(opened, entry);
    queueMicrotask(() => beginning.delete(opened));
    return opened;
  };
  IDBTransaction.prototype.commit = function (this: IDBTransaction) {
    const entry = beginning.get(this);
    if (entry !== undefined) entry.committedAtOnce = true;
    return commit.call(this);
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
