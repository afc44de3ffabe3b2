/**
 * The changes that were made on this device since the page was opened, and how safe each is.
 * Invariant: one wait per cart: a write that has seen an earlier one counts for it, so all follow the last.
 */
import type { BucketReceipt } from "everwrite";
import { followWrite, type Saved } from "../store/saved.ts";
import { Observable } from "./observable.ts";

export interface ChangeEntry {
  readonly number: number;
  /** "Lamp added" */
  readonly what: string;
  readonly saved: Saved;
  /** Who had it when it was acknowledged; undefined before. */
  readonly receipt?: Pick<BucketReceipt, "durable" | "hinted" | "localOnly">;
}

const shownMax = 6;

export class Changes {
  /** Newest first. */
  readonly entries = new Observable<readonly ChangeEntry[]>([]);
  readonly #copies: number;
  #number = 0;
  #following = new AbortController();

  constructor(copies: number) {
    this.#copies = copies;
  }

  /** Notes a change, and what becomes of it. Never rejects: a failure is shown with the change. */
  async note(what: string, write: Promise<BucketReceipt>): Promise<boolean> {
    const number = (this.#number += 1);
    this.entries.update((entries) =>
      [{ number, what, saved: { kind: "saving" as const } }, ...entries].slice(0, shownMax),
    );
    try {
      const receipt = await write;
      this.#set(number, { receipt });
      this.#following.abort();
      const following = (this.#following = new AbortController());
      const { signal } = following;
      void followWrite(receipt, { copies: this.#copies, signal, tell: (saved) => this.#tell(number, saved) });
      return true;
    } catch (error: unknown) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#set(number, { saved: { kind: "failed", reason } });
      return false;
    }
  }

  /** Ends the waiting; what was written goes its way. */
  close(): void {
    this.#following.abort();
  }

  /** Also of those before it: this one has seen them. */
  #tell(number: number, saved: Saved): void {
    this.entries.update((entries) =>
      entries.map((entry) => {
        const isCovered = entry.number <= number && entry.saved.kind !== "failed" && entry.saved.kind !== "everywhere";
        return isCovered ? { ...entry, saved } : entry;
      }),
    );
  }

  #set(number: number, facts: Partial<ChangeEntry>): void {
    this.entries.update((entries) =>
      entries.map((entry) => (entry.number === number ? { ...entry, ...facts } : entry)),
    );
  }
}
