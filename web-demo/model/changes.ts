/**
 * The changes that were made on this device since the page was opened, and how safe each is.
 * Invariant: one wait for each key: a write that has seen an earlier one counts for it, so all of a key follow its last.
 */
import type { BucketReceipt } from "everwrite";
import { followWrite, type Saved } from "../store/saved.ts";
import { Observable } from "./observable.ts";

export interface ChangeEntry {
  readonly number: number;
  /** "Lamp added" */
  readonly what: string;
  /** What was written: the cart itself, its settings, the visitor's orders. */
  readonly of: Written;
  readonly saved: Saved;
}

export type Written = "cart" | "settings" | "orders";

interface Following {
  readonly number: number;
  readonly end: AbortController;
}

const shownMax = 6;

export class Changes {
  /** Newest first. */
  readonly entries = new Observable<readonly ChangeEntry[]>([]);
  readonly #copies: number;
  #number = 0;
  readonly #followed = new Map<Written, Following>();

  constructor(copies: number) {
    this.#copies = copies;
  }

  /** Notes a change, and what becomes of it. Never rejects: a failure is shown with the change. */
  async note(what: string, write: Promise<BucketReceipt>, of: Written = "cart"): Promise<boolean> {
    const number = (this.#number += 1);
    this.entries.update((entries) =>
      [{ number, what, of, saved: { kind: "saving" as const } }, ...entries].slice(0, shownMax),
    );
    try {
      this.#follow(number, of, await write);
      return true;
    } catch (error: unknown) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#set(number, { kind: "failed", reason });
      return false;
    }
  }

  #follow(number: number, of: Written, receipt: BucketReceipt): void {
    const before = this.#followed.get(of);
    // Answers may come in another order than the writes: a later one counts for this one already.
    if (before !== undefined && before.number > number) return;
    before?.end.abort();
    const end = new AbortController();
    this.#followed.set(of, { number, end });
    const tell = (saved: Saved): void => this.#tell(number, of, saved);
    void followWrite(receipt, { copies: this.#copies, signal: end.signal, tell });
  }

  /** Ends the waiting; what was written goes its way. */
  close(): void {
    for (const { end } of this.#followed.values()) end.abort();
  }

  /** Also of those before it: this one has seen them. */
  #tell(number: number, of: Written, saved: Saved): void {
    this.entries.update((entries) =>
      entries.map((entry) => {
        const isSettled = entry.saved.kind === "failed" || entry.saved.kind === "everywhere";
        return entry.of === of && entry.number <= number && !isSettled ? { ...entry, saved } : entry;
      }),
    );
  }

  #set(number: number, saved: Saved): void {
    this.entries.update((entries) => entries.map((entry) => (entry.number === number ? { ...entry, saved } : entry)));
  }
}
