/** First in, first out, both ends in constant time (an array's `shift` is linear). */
export class Fifo<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  get size(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  peek(): T | undefined {
    return this.#items[this.#head];
  }

  shift(): T | undefined {
    if (this.size === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head] = undefined;
    this.#head += 1;
    // Amortised: each item is moved at most once per halving.
    if (this.#head >= 1024 && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    } else if (this.size === 0) {
      this.#items.length = 0;
      this.#head = 0;
    }
    return item;
  }

  /** Drops the items that `keep` refuses; linear, so call it when many go at once. */
  filter(keep: (item: T) => boolean): void {
    const items = this.#items.slice(this.#head) as T[];
    this.#items = items.filter(keep);
    this.#head = 0;
  }
}
