/**
 * `everwrite/browser`: a Store in a page.
 *
 * @example
 * import { openStore } from "everwrite/browser";
 * const store = await openStore<{ carts: Cart }>({ name: "shop", seeds: ["/dns4/host.example/tcp/443/wss"] });
 * await store.bucket("carts").update("alice", (cart = { books: [] }) => ({ books: [...cart.books, "book"] }));
 */
export { NetworkSwitch } from "./network-switch.ts";
export { openStore, type OpenStoreOptions } from "./open-store.ts";
export type { PageAdapters, PageEdgeOptions, PageHostOptions } from "./page-options.ts";
export { StorageBudget } from "./storage-budget.ts";
