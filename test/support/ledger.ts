/**
 * Remembers what was written and what was acknowledged, and judges what is read.
 * Every value carries its number and a checksum. A write knows the numbers that its context had seen, so the history is
 * a graph: what may be gone is exactly what a live value, directly or through others, had seen.
 */
import { createHash, randomBytes } from "node:crypto";

interface Write {
  readonly key: string;
  /** Values that the writer's context covered. */
  readonly seen: readonly number[];
  acknowledged: boolean;
}

/** A value that nobody wrote, or not so, or not here. */
export class CorruptValue extends Error {
  override readonly name = "CorruptValue";
}

export class Ledger {
  readonly #writes: Write[] = [];
  readonly #ofKey = new Map<string, number[]>();
  /** Its own: another ledger's values would look corrupt here. */
  readonly bucket: string;
  readonly #valueBytes: number;

  constructor(bucket: string, valueBytes = 200) {
    this.bucket = bucket;
    this.#valueBytes = valueBytes;
  }

  get acknowledged(): number {
    return this.#writes.reduce((sum, write) => sum + Number(write.acknowledged), 0);
  }

  get keys(): readonly string[] {
    return [...this.#ofKey.keys()];
  }

  /** To be called before the write is sent: it may take effect whatever the answer is. */
  begin(key: string, seen: readonly number[]): { readonly number: number; readonly body: Uint8Array } {
    const number = this.#writes.length;
    this.#writes.push({ key, seen, acknowledged: false });
    this.#ofKey.set(key, [...(this.#ofKey.get(key) ?? []), number]);
    const text = `${key} ${number} ${randomBytes(this.#valueBytes / 2).toString("hex")}`;
    return { number, body: Buffer.from(`${text} ${checksum(text)}`) };
  }

  acknowledge(number: number): void {
    this.#writes[number]!.acknowledged = true;
  }

  /** The numbers of values that were read. @throws CorruptValue when one is not, byte for byte, what was written to this key */
  numbersOf(key: string, bodies: readonly Uint8Array[]): number[] {
    return bodies.map((body) => {
      const text = Buffer.from(body).toString();
      const end = text.lastIndexOf(" ");
      const [ofKey, number] = text.split(" ");
      const isOurs = text.slice(end + 1) === checksum(text.slice(0, end)) && ofKey === key;
      if (!isOurs || this.#writes[Number(number)] === undefined)
        throw new CorruptValue(`${key} is corrupt: ${text.slice(0, 80)}`);
      return Number(number);
    });
  }

  /** What is wrong with `live` as the values of `key` after all its writes have ended; empty when nothing is. */
  complaints(key: string, live: readonly number[]): string[] {
    const numbers = this.#ofKey.get(key) ?? [];
    const acknowledged = numbers.filter((number) => this.#writes[number]!.acknowledged);
    const accounted = this.#ancestors(live);
    const replaced = this.#ancestors(acknowledged);
    const missing = acknowledged.filter((number) => !live.includes(number) && !accounted.has(number));
    const risen = live.filter((number) => replaced.has(number));
    return [
      ...missing.map(
        (number) => `${key}: acknowledged write ${number} is missing; live are ${live.join(", ") || "none"}`,
      ),
      ...risen.map((number) => `${key}: write ${number} is back, though an acknowledged write had seen it`),
    ];
  }

  /** What the writers of these had seen, and what the writers of those had seen, and so on. */
  #ancestors(numbers: readonly number[]): ReadonlySet<number> {
    const found = new Set<number>();
    const open = [...numbers];
    for (let number = open.pop(); number !== undefined; number = open.pop()) {
      for (const seen of this.#writes[number]!.seen) {
        if (found.has(seen)) continue;
        found.add(seen);
        open.push(seen);
      }
    }
    return found;
  }
}

function checksum(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}
