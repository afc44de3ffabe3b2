/**
 * All chance of a simulation: one seed, and a stream of its own for each thing that draws, so that what one part draws
 * does not change what another one gets. That is what lets a failure be shrunk: without one fault the rest stays the same.
 */
import type { Random } from "../../core/ports.ts";

export class Chance implements Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;
  readonly #name: string;

  /** The name is the whole seed: `chance.fork("disk h3")` is the stream "…/disk h3". */
  constructor(name: string) {
    this.#name = name;
    this.#a = hash(`${name}/a`);
    this.#b = hash(`${name}/b`);
    this.#c = hash(`${name}/c`);
    for (let i = 0; i < 12; i++) this.#next32();
  }

  fork(name: string): Chance {
    return new Chance(`${this.#name}/${name}`);
  }

  next(): number {
    return this.#next32() / 2 ** 32;
  }

  bytes(count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    for (let i = 0; i < count; i++) bytes[i] = this.#next32() & 255;
    return bytes;
  }

  /** A whole number from `min` to `max`, both included. */
  whole(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  between(min: number, max: number): number {
    return min + this.next() * (max - min);
  }

  /** From `min` to `max` so that each order of magnitude is as likely as the next. */
  logarithmic(min: number, max: number): number {
    return min * (max / min) ** this.next();
  }

  is(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.next() * items.length)]!;
  }

  /** Each with its weight. */
  weighted<T>(items: readonly (readonly [T, number])[]): T {
    let left = this.next() * items.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [item, weight] of items) {
      left -= weight;
      if (left < 0) return item;
    }
    return items.at(-1)![0];
  }

  shuffled<T>(items: readonly T[]): T[] {
    const order = [...items];
    for (let i = order.length - 1; i > 0; i--) {
      const j = this.whole(0, i);
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    return order;
  }

  /** sfc32 (Doty-Humphrey): small, fast, passes PractRand. */
  #next32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }
}

/** FNV-1a with a final mix. */
export function hash(text: string, start = 0x811c9dc5): number {
  let state = start;
  for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), 0x01000193);
  state = Math.imul(state ^ (state >>> 16), 0x7feb352d);
  return (state ^ (state >>> 15)) >>> 0;
}
