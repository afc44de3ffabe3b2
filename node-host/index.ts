/**
 * `everwrite/node`: a Store over a host inside an application's own Node process, and the host by itself, with the same
 * parts as `everwrite host`.
 *
 * @example
 * import { openStore } from "everwrite/node";
 * await using store = await openStore<{ carts: Cart }>({ name: "shop" });
 * await store.bucket("carts").update("alice", (cart = { books: [] }) => ({ books: [...cart.books, "book"] }));
 */
export { openClassicStorage, type ClassicStorageOptions } from "./classic-storage.ts";
export { type RunningHost, startHost } from "./host.ts";
export { type HostOptions, readHostOptions as hostOptions } from "./options.ts";
export { openStore, type OpenStoreOptions } from "./open-store.ts";
