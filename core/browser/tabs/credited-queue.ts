/**
 * What an owner tells piece by piece, on its way to an application that takes it at its own pace.
 * Invariant: no more than `creditMax` pieces are on their way or wait here.
 */
import type { StoreError } from "../../errors.ts";

/** Enough that the channel does not slow a long list down. */
const creditMax = 64;
const creditStep = creditMax / 2;

export class CreditedQueue<Piece> {
  readonly #pieces: Piece[] = [];
  readonly #grant: (credit: number) => void;
  /** Taken, or of no use, since credit was given last. */
  #used = 0;
  #end: { readonly error?: StoreError } | undefined;
  #wake: () => void = () => {};

  /** `grant`: gives the owner of the moment more credit. */
  constructor(grant: (credit: number) => void) {
    this.#grant = grant;
  }

  /** How many pieces an owner may send that is asked now. */
  begin(): number {
    this.#used = 0;
    return Math.max(1, creditMax - this.#pieces.length);
  }

  add(piece: Piece): void {
    this.#pieces.push(piece);
    this.#wake();
  }

  /** One was taken, or is of no use: another may come. */
  makeRoom(): void {
    this.#used += 1;
    if (this.#used < creditStep) return;
    this.#grant(this.#used);
    this.#used = 0;
  }

  /** After the pieces that wait here. */
  end(error?: StoreError): void {
    this.#end ??= error === undefined ? {} : { error };
    this.#wake();
  }

  /** Nobody wants what waits here. */
  stop(): void {
    this.#pieces.length = 0;
    this.end();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Piece> {
    for (;;) {
      const next = this.#pieces.shift();
      if (next !== undefined) {
        this.makeRoom();
        yield next;
      } else if (this.#end?.error !== undefined) {
        throw this.#end.error;
      } else if (this.#end !== undefined) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}
