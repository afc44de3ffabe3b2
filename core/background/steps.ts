/**
 * Background work in pieces of which each is only a share of a step: as many as make up one go together, after one turn.
 * A thousand little partitions, asked for one by one, would wait a thousand times (`admission.ts`).
 * Invariant: a piece begins only while the step's pieces so far come to less than one, so a step overruns by one piece at most.
 */
import type { Admission } from "./admission.ts";

export class Steps {
  readonly #admission: Pick<Admission, "turn">;
  /** Of the step under way; a piece may take more than is left. */
  #shareLeft = 0;

  constructor(admission: Pick<Admission, "turn">) {
    this.#admission = admission;
  }

  /** True when the next piece may begin. False: it had to wait for a turn, and none came by `deadlineMs`. */
  async turn(deadlineMs?: number): Promise<boolean> {
    if (this.#shareLeft > 0) return true;
    if (!(await this.#admission.turn(deadlineMs))) return false;
    this.#shareLeft = 1;
    return true;
  }

  /** A piece was done that is this share of a step. */
  did(share: number): void {
    this.#shareLeft -= share;
  }
}
