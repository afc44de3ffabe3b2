/**
 * What the store's node is doing, kept current on the screen.
 */
import { useCallback, useSyncExternalStore } from "react";
import type { Stop } from "../ports.ts";
import type { StoreStatus } from "../store/store.ts";
import { useStore } from "./provider.ts";

/**
 * The store's `status()`, now and after each change; undefined on the server, while hydrating, and while there is no store.
 *
 * @example
 * const status = useStatus();
 * return status?.settled ? "saved" : `${status?.pending ?? 0} changes wait`;
 */
export function useStatus(): StoreStatus | undefined {
  const store = useStore();
  const subscribe = useCallback((hear: () => void): Stop => store?.subscribeStatus(hear) ?? (() => {}), [store]);
  return useSyncExternalStore(
    subscribe,
    () => store?.status(),
    () => undefined,
  );
}
