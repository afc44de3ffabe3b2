/** A page with one store, whose methods the test calls. */
import { openStore, type OpenStoreOptions } from "../../../core/browser/index.ts";
import type { StoreError } from "../../../core/errors.ts";
import type { Store, StoreStatus } from "../../../core/store/store.ts";
import { expose } from "../expose.ts";

interface Schema {
  readonly notes: string;
}

let store: Store<Schema>;

const notes = () => store.bucket("notes");

const functions = {
  /** Milliseconds it took, or what it was refused with. */
  async open(options: Pick<OpenStoreOptions, "name" | "seeds" | "timeoutMs">): Promise<number | string> {
    const beginMs = performance.now();
    try {
      store = await openStore<Schema>(options);
    } catch (error: unknown) {
      const { code, message } = error as StoreError;
      return `${code}: ${message}`;
    }
    return performance.now() - beginMs;
  },
  close: () => store.close(),
  status: (): StoreStatus => ({ ...store.status() }),
  connected: () => store.connected,
  async put(key: string, value: string, context?: string) {
    const { dot, localOnly, context: next } = await notes().put(key, value, { context });
    return { dot, localOnly, context: next };
  },
  async get(key: string, options: { readonly r?: "local" } = {}) {
    const { values, source, pending, context } = await notes().get(key, options);
    return { values, source, pending, context };
  },
  flush: (timeoutMs: number) => store.flush({ timeoutMs }),
  /** What the page has loaded. */
  scripts: () => performance.getEntriesByType("resource").map(({ name }) => name),
};

export type Functions = typeof functions;

expose(functions);
