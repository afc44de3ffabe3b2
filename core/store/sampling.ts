/**
 * Which of many are looked at: the first ones, and then one now and then, so that looking costs little for ever.
 */
const firstAll = 20;
const thenOneOf = 50;

export class Sampling {
  #count = 0;

  isDue(): boolean {
    this.#count += 1;
    return this.#count <= firstAll || this.#count % thenOneOf === 0;
  }
}
