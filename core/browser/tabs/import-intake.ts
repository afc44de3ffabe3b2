/**
 * An import at the tab that runs the node: another tab gives it piece by piece, the next when the node has taken the last.
 * Invariant: no more than one piece waits here.
 */
import type { CancelSignal } from "../../ports.ts";
import type { ImportResult, SharedNode } from "../../store-node.ts";

interface Piece {
  readonly chunks: readonly Uint8Array[];
  readonly isLast: boolean;
  readonly taken: () => void;
}

export class ImportIntake {
  readonly #result: Promise<ImportResult>;
  #next: Promise<Piece>;
  #give!: (piece: Piece) => void;

  /** `end`: nobody gives the rest. */
  constructor(node: Pick<SharedNode, "import">, end: CancelSignal) {
    this.#next = this.#given();
    const abandon = (): void => void this.give([], true);
    end.addEventListener("abort", abandon);
    this.#result = node.import(this.#chunks(end)).finally(() => end.removeEventListener("abort", abandon));
    // Whoever gives the next piece is told.
    this.#result.catch(() => undefined);
  }

  /** Resolves when the node has taken it, to the result when it was the last. @throws StoreError as `import` */
  give(chunks: readonly Uint8Array[], isLast: boolean): Promise<ImportResult | undefined> {
    const taken = new Promise<undefined>((resolve) => {
      this.#give({ chunks, isLast, taken: () => resolve(undefined) });
    });
    return isLast ? this.#result : Promise.race([taken, this.#result]);
  }

  async *#chunks(end: CancelSignal): AsyncGenerator<Uint8Array> {
    for (;;) {
      const { chunks, isLast, taken } = await this.#next;
      this.#next = this.#given();
      yield* chunks;
      taken();
      if (isLast || end.aborted) return;
    }
  }

  #given(): Promise<Piece> {
    return new Promise((resolve) => {
      this.#give = resolve;
    });
  }
}
