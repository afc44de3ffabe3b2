/**
 * Which store the components below use.
 */
import { createContext, createElement, type ReactElement, type ReactNode, useContext } from "react";
import type { Store } from "../store/store.ts";

/** What `StoreProvider` takes. */
export interface StoreProviderProps {
  /** Undefined on the server, and as long as `openStore` has not resolved: components then render what is known of nothing. */
  readonly store: Store | undefined;
  readonly children?: ReactNode;
}

const StoreContext = createContext<Store | undefined>(undefined);

/**
 * Gives its children a store. It neither opens nor closes it: a store outlives the components that come and go.
 *
 * @example
 * const store = await openStore<{ carts: Cart }>({ name: "shop", seeds });
 * createRoot(element).render(<StoreProvider store={store}><Shop /></StoreProvider>);
 */
export function StoreProvider({ store, children }: StoreProviderProps): ReactElement {
  return createElement(StoreContext.Provider, { value: store }, children);
}

/** The store of the nearest provider, to write with; undefined while there is none. */
export function useStore<Schema extends object = object>(): Store<Schema> | undefined {
  return useContext(StoreContext) as Store<Schema> | undefined;
}
