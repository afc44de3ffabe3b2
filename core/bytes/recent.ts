/**
 * What was used lately, within a bound of memory, in two generations: a hit in the young one is a single look-up (a list in
 * order of use would be rewritten at each), a hit in the old one moves its entry over. When the young one holds half of the
 * bound it becomes the old one, and what was in the old one is forgotten.
 * Invariant: the sizes of all entries together stay within the bound.
 */
export class Recent<Key, Value> {
  readonly #generationMax: number;
  readonly #sizeOf: (key: Key, value: Value) => number;
  #young = new Map<Key, Value>();
  #youngSize = 0;
  #old = new Map<Key, Value>();
  #oldSize = 0;

  /** `sizeMax` in the unit of `sizeOf`. */
  constructor(sizeMax: number, sizeOf: (key: Key, value: Value) => number) {
    this.#generationMax = sizeMax / 2;
    this.#sizeOf = sizeOf;
  }

  /** Of all entries, in the unit of `sizeOf`. */
  get size(): number {
    return this.#youngSize + this.#oldSize;
  }

  get(key: Key): Value | undefined {
    const value = this.#young.get(key);
    if (value !== undefined || this.#old.size === 0) return value;
    const older = this.#old.get(key);
    if (older !== undefined) this.set(key, older);
    return older;
  }

  set(key: Key, value: Value): void {
    this.delete(key);
    const size = this.#sizeOf(key, value);
    if (size > this.#generationMax) return;
    if (this.#youngSize + size > this.#generationMax) {
      this.#old = this.#young;
      this.#oldSize = this.#youngSize;
      this.#young = new Map();
      this.#youngSize = 0;
    }
    this.#young.set(key, value);
    this.#youngSize += size;
  }

  delete(key: Key): void {
    this.#youngSize -= this.#remove(this.#young, key);
    this.#oldSize -= this.#remove(this.#old, key);
  }

  clear(): void {
    this.#young = new Map();
    this.#youngSize = 0;
    this.#old = new Map();
    this.#oldSize = 0;
  }

  /** The size of what was there. */
  #remove(generation: Map<Key, Value>, key: Key): number {
    const value = generation.get(key);
    if (value === undefined) return 0;
    generation.delete(key);
    return this.#sizeOf(key, value);
  }
}
