/**
 * One key, kept current on the screen.
 */
import { useCallback, useSyncExternalStore } from "react";
import type { Stop } from "../ports.ts";
import type { Bucket } from "../store/bucket.ts";
import { type Snapshot, unloaded } from "../store/subscriptions.ts";
import { useStore } from "./provider.ts";

const getUnloaded = (): Snapshot<never> => unloaded;

/**
 * What is known of a key, now and after each change: first `loaded: false`, also on the server and while hydrating. The same
 * object until something of it changes. `bucket`: its name, or the bucket itself where its rule and codec are not those of
 * `store.bucket(name)`; then it must be the same one at each render. When the store is closed, what is shown stays.
 *
 * @example
 * const { value: cart = emptyCart, pending } = useValue<Cart>("carts", "alice");
 */
export function useValue<T>(bucket: Bucket<T> | string, key: string): Snapshot<T> {
  const store = useStore();
  const source = typeof bucket === "string" ? store?.bucket<T>(bucket) : bucket;
  const subscribe = useCallback(
    (hear: () => void): Stop => (source === undefined || source.isClosed ? () => {} : source.subscribe(key, hear)),
    [source, key],
  );
  const getSnapshot = useCallback((): Snapshot<T> => source?.getSnapshot(key) ?? unloaded, [source, key]);
  return useSyncExternalStore(subscribe, getSnapshot, getUnloaded);
}
