/**
 * The live documents of a store, one for a key.
 * Invariant: one that `open` has handed out stays open until it is closed by whoever has it; one that is only held is closed
 * when nobody holds it any more.
 */
import type { LiveDocument } from "../documents/live-document.ts";
import type { Stop } from "../ports.ts";

/** A document for a while. */
export interface HeldDocument {
  /** Rejects as `Store.doc`. */
  readonly doc: Promise<LiveDocument>;
  /** Once; the last one closes it. */
  readonly release: Stop;
}

interface Opened {
  readonly opening: Promise<LiveDocument>;
  doc: LiveDocument | undefined;
  holds: number;
  isKept: boolean;
}

export class Documents {
  readonly #make: (key: string) => Promise<LiveDocument>;
  readonly #opened = new Map<string, Opened>();
  /** Of documents that are not handed out any more. */
  readonly #closing = new Set<Promise<void>>();

  constructor(make: (key: string) => Promise<LiveDocument>) {
    this.#make = make;
  }

  open(key: string): Promise<LiveDocument> {
    const opened = this.#openedFor(key);
    opened.isKept = true;
    return opened.opening;
  }

  hold(key: string): HeldDocument {
    const opened = this.#openedFor(key);
    opened.holds += 1;
    let isHeld = true;
    const release = (): void => {
      if (!isHeld) return;
      isHeld = false;
      opened.holds -= 1;
      if (opened.holds === 0 && !opened.isKept) this.#close(key, opened);
    };
    return { doc: opened.opening, release };
  }

  async closeAll(): Promise<void> {
    for (const { opening } of this.#opened.values()) this.#end(opening);
    await Promise.all(this.#closing);
  }

  #openedFor(key: string): Opened {
    const known = this.#opened.get(key);
    // What is edited in one that is ending would not be stored any more.
    if (known !== undefined && known.doc?.isClosing !== true) return known;
    if (known !== undefined) this.#end(known.opening);
    const opened: Opened = { opening: this.#make(key), doc: undefined, holds: 0, isKept: false };
    this.#opened.set(key, opened);
    const forget = (): void => this.#forget(key, opened);
    opened.opening.then((doc) => {
      opened.doc = doc;
      doc.once("destroy", forget);
    }, forget);
    return opened;
  }

  /** At once forgotten: who asks for it from now on gets another one. */
  #close(key: string, opened: Opened): void {
    this.#forget(key, opened);
    this.#end(opened.opening);
  }

  #end(opening: Promise<LiveDocument>): void {
    const closing = opening
      .then((doc) => doc.close())
      .catch(() => undefined)
      .finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  #forget(key: string, opened: Opened): void {
    if (this.#opened.get(key) === opened) this.#opened.delete(key);
  }
}
