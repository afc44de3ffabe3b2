/**
 * A Y.Doc that is in step with a key, and says so itself.
 */
import { Awareness } from "y-protocols/awareness";
import * as Y from "yjs";
import type { Stop } from "../ports.ts";
import { type DocumentDeps, DocumentLink, type DocumentName, type DocumentStatus } from "./document-link.ts";

/** Made by `Store.doc`. Any binding for Yjs works on it; `destroy` closes it, after what is unwritten. */
export class LiveDocument extends Y.Doc {
  readonly key: string;
  readonly #link: DocumentLink;
  #presence: Awareness | undefined;
  #closed: Promise<void> | undefined;

  constructor(deps: DocumentDeps, where: DocumentName) {
    super({ guid: `${where.bucket}/${where.name}` });
    this.clientID = new DataView(deps.random.bytes(4).buffer).getUint32(0);
    this.#link = new DocumentLink(deps, where, this);
    this.key = this.#link.key;
  }

  /** Resolves when what this node has of the document is in it. @throws StoreError `closed` before that */
  get loaded(): Promise<void> {
    return this.#link.loaded;
  }

  /** Resolves when every edit made here is acknowledged by hosts. @throws StoreError `closed` before that, or why one is refused */
  get settled(): Promise<void> {
    return this.#link.settled;
  }

  /** Who has the document open now, with what each shows of itself: an Awareness of y-protocols. Never stored. */
  get presence(): Awareness {
    if (this.#presence === undefined) this.#link.share((this.#presence = new Awareness(this)));
    return this.#presence;
  }

  status(): DocumentStatus {
    return this.#link.status();
  }

  /** Tells each change of `status()`. */
  subscribeStatus(hear: (status: DocumentStatus) => void): Stop {
    return this.#link.subscribeStatus(hear);
  }

  /** Resolves when every edit so far is stored by this node. Never rejects: see `status().problem`. */
  flush(): Promise<void> {
    return this.#link.flush();
  }

  get isClosing(): boolean {
    return this.#closed !== undefined;
  }

  /** Stores what is unwritten, and ends it: see `DocumentLink.close`. */
  close(): Promise<void> {
    this.#closed ??= this.#link.close().then(() => super.destroy());
    return this.#closed;
  }

  override destroy(): void {
    void this.close();
  }
}
