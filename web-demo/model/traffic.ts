/**
 * Puts and gets of one cart as they happen: those of this device, with who acknowledged or answered them, and what other
 * devices wrote, as the store's subscription tells of it.
 */
import type { BucketReceipt } from "everwrite";
import type { AskedCart } from "../store/cart-bucket.ts";
import { Observable } from "./observable.ts";

export interface Passage {
  readonly number: number;
  /** `heard`: a put of another device. */
  readonly kind: "put" | "get" | "heard";
  /** "Tea added", or what is in the version. */
  readonly what: string;
  /** Of a put: `actor:counter`, the name of the write, once there is one. */
  readonly dot?: string;
  /** Acknowledged by these, or answered; undefined: it is under way. */
  readonly hosts?: readonly string[];
  /** Who keeps it for whom. */
  readonly hinted?: BucketReceipt["hinted"];
  /** What else is to be said of it. */
  readonly note?: string;
}

const shownMax = 8;

export class Traffic {
  /** Newest first. */
  readonly passages = new Observable<readonly Passage[]>([]);
  /** Of this device's own puts. */
  readonly #own = new Set<string>();
  #number = 0;

  /** Of this device. Never rejects. */
  async put(what: string, write: Promise<BucketReceipt>): Promise<void> {
    const number = this.#begin({ kind: "put", what });
    try {
      const { dot, durable, hinted, localOnly } = await write;
      this.#own.add(dot);
      const kept = "kept on this device, no host could be asked";
      this.#set(number, localOnly ? { dot, hosts: [], note: kept } : { dot, hosts: durable, hinted });
    } catch (error: unknown) {
      this.#set(number, { hosts: [], note: wordsOf(error) });
    }
  }

  heard(dot: string, what: string): void {
    if (!this.#own.has(dot)) this.#begin({ kind: "heard", what, dot });
  }

  /** Of this device. Never rejects. */
  async get(asking: Promise<AskedCart>): Promise<void> {
    const beginMs = performance.now();
    const number = this.#begin({ kind: "get", what: "A read" });
    try {
      const asked = await asking;
      const note = `${Math.round(performance.now() - beginMs)} ms: ${askedWords(asked)}`;
      this.#set(number, { hosts: asked.answered, note });
    } catch (error: unknown) {
      this.#set(number, { hosts: [], note: wordsOf(error) });
    }
  }

  #begin(passage: Omit<Passage, "number">): number {
    const number = (this.#number += 1);
    this.passages.update((passages) => [{ ...passage, number }, ...passages].slice(0, shownMax));
    return number;
  }

  #set(number: number, facts: Partial<Passage>): void {
    this.passages.update((passages) => passages.map((each) => (each.number === number ? { ...each, ...facts } : each)));
  }
}

function askedWords({ versions, source, degraded }: AskedCart): string {
  const count = versions === 1 ? "one version" : `${versions} versions`;
  if (source === "local") return `${count}, of this device's own copy: no quorum of hosts answered`;
  return `${count}, from ${degraded ? "fewer replicas than R asks for: newer ones may exist" : "a quorum of its hosts"}`;
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
