/**
 * A Yjs provider: what bindings and applications made for other providers expect of one, over a store.
 */
import { Awareness } from "y-protocols/awareness";
import type * as Y from "yjs";
import type { Store } from "../store/store.ts";
import type { DocumentLink } from "./document-link.ts";

type Events = {
  /** The document holds what this node has of it, from its own storage or from hosts. */
  readonly synced: boolean;
  readonly status: { readonly status: "connecting" | "connected" | "disconnected" };
};

/**
 * @example
 * const doc = new Y.Doc();
 * const provider = new EverwriteProvider(store, "notes/plan", doc);
 * yCollab(doc.getText("body"), provider.awareness);
 */
export class EverwriteProvider {
  readonly doc: Y.Doc;
  readonly awareness: Awareness;
  /** Rejects as `Store.doc` does. */
  readonly whenSynced: Promise<void>;
  readonly #store: Store;
  readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>();
  readonly #linking: Promise<DocumentLink>;
  readonly #stopStatus: () => void;
  /** Ends an awareness that was made here; an application ends its own. */
  readonly #endAwareness: () => void;
  #synced = false;

  constructor(store: Store, key: string, doc: Y.Doc, options: { awareness?: Awareness } = {}) {
    const awareness = options.awareness ?? new Awareness(doc);
    this.doc = doc;
    this.awareness = awareness;
    this.#endAwareness = options.awareness === undefined ? () => awareness.destroy() : () => {};
    this.#store = store;
    this.#linking = store.link(key, doc).then((link) => {
      link.share(awareness);
      return link;
    });
    this.whenSynced = this.#linking.then(async (link) => {
      await link.loaded;
      this.#synced = true;
      this.#tell("synced", true);
    });
    // Whoever does not wait for it hears of a failure by `linked`.
    this.whenSynced.catch(() => undefined);
    this.#stopStatus = store.subscribeStatus(() => this.#tell("status", { status: this.#connection }));
  }

  get synced(): boolean {
    return this.#synced;
  }

  /** The link behind it, with `settled` and `status()`. */
  get linked(): Promise<DocumentLink> {
    return this.#linking;
  }

  on<Kind extends keyof Events>(kind: Kind, hear: (event: Events[Kind]) => void): void {
    const listeners = this.#listeners.get(kind) ?? new Set();
    this.#listeners.set(kind, listeners.add(hear));
  }

  off<Kind extends keyof Events>(kind: Kind, hear: (event: Events[Kind]) => void): void {
    this.#listeners.get(kind)?.delete(hear);
  }

  /** Stores what is unwritten, and ends the link. The document stays, and so does an awareness that was given. */
  destroy(): void {
    this.#stopStatus();
    this.#listeners.clear();
    void this.#linking
      .then((link) => link.close())
      .catch(() => undefined)
      .finally(this.#endAwareness);
  }

  get #connection(): Events["status"]["status"] {
    const { connected, closed } = this.#store.status();
    if (closed) return "disconnected";
    return connected ? "connected" : "connecting";
  }

  #tell<Kind extends keyof Events>(kind: Kind, event: Events[Kind]): void {
    for (const hear of this.#listeners.get(kind) ?? []) (hear as (event: Events[Kind]) => void)(event);
  }
}
