/**
 * What became of the replicas that a request was sent to: so that a missed quorum says why, and after how long.
 */
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";

type Fate = "waiting" | "answered" | "refused" | "unreachable";

export class Attempts {
  /** One host may be asked to hold a state and to stand in for another: what it did last counts. */
  readonly #fates = new Map<NodeId, Fate>();

  asked(node: NodeId): void {
    this.#fates.set(node, "waiting");
  }

  answered(node: NodeId): void {
    this.#fates.set(node, "answered");
  }

  failed(node: NodeId, error: unknown): void {
    this.#fates.set(node, error instanceof StoreError ? "refused" : "unreachable");
  }

  /** Known to be away, so that it was not even asked. */
  away(node: NodeId): void {
    if (!this.#fates.has(node)) this.#fates.set(node, "unreachable");
  }

  /** Of those that did not answer: `1 refused, 2 unreachable, 1 silent after 12 ms`. */
  tell(ms: number): string {
    const count = (fate: Fate): number => [...this.#fates.values()].filter((each) => each === fate).length;
    const parts = [
      [count("refused"), "refused"],
      [count("unreachable"), "unreachable"],
      [count("waiting"), "silent"],
    ] as const;
    const told = parts.flatMap(([number, what]) => (number === 0 ? [] : [`${number} ${what}`]));
    return `${told.map((part) => `, ${part}`).join("")} after ${Math.round(ms)} ms`;
  }
}
