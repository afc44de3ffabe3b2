/**
 * How this node's own writes are stamped: what follows one that it has seen is stamped later, also where the copy is gone that
 * would tell. A context names own events without their stamps, for those may change until hosts have them (`mint-anew.ts`).
 * Of what hosts have acknowledged it is in memory alone, and ends with the run.
 */
import { Recent } from "../bytes/recent.ts";
import { type Stamp, STAMP_ZERO } from "../causality/hybrid-clock.ts";
import { compareDots, dotText } from "../causality/version-set.ts";
import type { Key, NodeId } from "../identity.ts";
import { dotOf, type Evidence } from "./evidence.ts";
import type { Outbox, OutboxWrite } from "./outbox.ts";

/** About 100 bytes each. */
const acknowledgedMax = 16_384;

export class OwnStamps {
  readonly #deps: { readonly self: NodeId; readonly outbox: Outbox };
  readonly #acknowledged = new Recent<string, Stamp>(acknowledgedMax, () => 1);

  constructor(deps: { readonly self: NodeId; readonly outbox: Outbox }) {
    this.#deps = deps;
  }

  acknowledged(writes: readonly OutboxWrite[]): void {
    for (const { dot, row } of writes) this.#acknowledged.set(dotText(dot), row.value.stamp);
  }

  /** The highest of own events of the key. */
  highest(key: Key, own: Evidence["own"]): Stamp {
    const { self: edge, outbox } = this.#deps;
    const waiting = outbox.of(key);
    const stamps = own.map((event) => {
      const dot = dotOf({ edge, key }, event);
      const write = waiting.find((each) => compareDots(each.dot, dot) === 0);
      return write?.row.value.stamp ?? this.#acknowledged.get(dotText(dot)) ?? STAMP_ZERO;
    });
    return Math.max(STAMP_ZERO, ...stamps);
  }
}
