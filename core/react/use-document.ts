/**
 * One live document, kept current on the screen.
 */
import { useMemo, useSyncExternalStore } from "react";
import type { DocumentStatus } from "../documents/document-link.ts";
import type { LiveDocument } from "../documents/live-document.ts";
import { StoreError } from "../errors.ts";
import type { Stop } from "../ports.ts";
import type { HeldDocument } from "../store/documents.ts";
import type { Store } from "../store/store.ts";
import { useStore } from "./provider.ts";

/** A document as a component shows it: a new object with each change of its content or of its status. */
export interface ShownDocument extends DocumentStatus {
  /** Undefined until it is open, which takes as long as loading Yjs: on the server, too, and while there is no store. */
  readonly doc: LiveDocument | undefined;
}

const unopened: ShownDocument = Object.freeze({
  doc: undefined,
  loaded: false,
  settled: true,
  absent: true,
  bytes: 0,
  large: false,
});
const getUnopened = (): ShownDocument => unopened;

/**
 * The document on a key (`bucket/name`), what is known of it, and each change of either: first `loaded: false`, also on the
 * server and while hydrating. Why it cannot be opened is its `problem`. It is open as long as any component shows it, and is
 * then closed, after what is unwritten, unless `store.doc` was asked for it as well. When the store is closed, what is shown
 * stays.
 *
 * @example
 * const { doc, loaded, settled } = useDocument("notes/plan");
 * return loaded ? <p>{doc.getText("body").toJSON()}</p> : <p>…</p>;
 */
export function useDocument(key: string): ShownDocument {
  const store = useStore();
  const source = useMemo(() => (store === undefined ? undefined : new Source(store, key)), [store, key]);
  return useSyncExternalStore(source?.subscribe ?? never, source?.getSnapshot ?? getUnopened, getUnopened);
}

const never = (): Stop => () => {};

/** Opens with the first subscription; closes after the last, but not where React only mounts anew what it goes on to show. */
class Source {
  readonly #store: Store;
  readonly #key: string;
  readonly #hears = new Set<() => void>();
  #held: HeldDocument | undefined;
  #stopHearing: Stop = () => {};
  #shown: ShownDocument = unopened;

  constructor(store: Store, key: string) {
    this.#store = store;
    this.#key = key;
  }

  readonly getSnapshot = (): ShownDocument => this.#shown;

  readonly subscribe = (hear: () => void): Stop => {
    this.#hears.add(hear);
    if (this.#held === undefined && !this.#store.status().closed) this.#open();
    return () => {
      this.#hears.delete(hear);
      void Promise.resolve().then(() => {
        if (this.#hears.size === 0) this.#close();
      });
    };
  };

  #open(): void {
    const held = (this.#held = this.#store.holdDoc(this.#key));
    held.doc.then(
      (doc) => {
        if (this.#held === held) this.#follow(doc);
      },
      (error: unknown) => {
        if (this.#held !== held) return;
        if (!(error instanceof StoreError)) throw error;
        if (error.code === "closed" && this.#shown.doc !== undefined) return;
        this.#show({ ...unopened, problem: error });
      },
    );
  }

  #follow(doc: LiveDocument): void {
    const show = (): void => this.#show({ ...doc.status(), doc });
    // Whoever else had it has closed it: it is opened again for those who see it here.
    const reopen = (): void => {
      this.#letGo();
      if (this.#hears.size > 0) this.#open();
    };
    const stopStatus = doc.subscribeStatus(show);
    doc.on("update", show);
    doc.on("destroy", reopen);
    this.#stopHearing = () => {
      stopStatus();
      doc.off("update", show);
      doc.off("destroy", reopen);
    };
    show();
  }

  #close(): void {
    this.#letGo();
    this.#shown = unopened;
  }

  #letGo(): void {
    this.#stopHearing();
    this.#stopHearing = () => {};
    this.#held?.release();
    this.#held = undefined;
  }

  #show(shown: ShownDocument): void {
    this.#shown = Object.freeze(shown);
    for (const hear of this.#hears) hear();
  }
}
