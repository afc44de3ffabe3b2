/**
 * `everwrite/react`: what a store holds, as hooks on `useSyncExternalStore`.
 */
export { StoreProvider, type StoreProviderProps, useStore } from "./provider.ts";
export { type ShownDocument, useDocument } from "./use-document.ts";
export { useStatus } from "./use-status.ts";
export { useValue } from "./use-value.ts";
