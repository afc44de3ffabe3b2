/**
 * An export as its application takes it, piece by piece.
 * Invariant: all pieces are of one owner, for only together are they a whole export (`storage/export-stream.ts`).
 */
import { StoreError } from "../../errors.ts";
import { CreditedQueue } from "./credited-queue.ts";

export class ExportPieces {
  readonly #queue: CreditedQueue<Uint8Array>;
  #isBegun = false;

  constructor(grant: (credit: number) => void) {
    this.#queue = new CreditedQueue(grant);
  }

  /** The credit with which to ask an owner; undefined: an earlier one had begun, and it has failed. */
  begin(): number | undefined {
    if (!this.#isBegun) return this.#queue.begin();
    this.end(new StoreError("not-ready", "the tab that made the export is gone: export again"));
    return undefined;
  }

  hear(piece: Uint8Array): void {
    this.#isBegun = true;
    this.#queue.add(piece);
  }

  end(error?: StoreError): void {
    this.#queue.end(error);
  }

  stop(): void {
    this.#queue.stop();
  }

  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    return this.#queue[Symbol.asyncIterator]();
  }
}
