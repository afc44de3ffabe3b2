/**
 * lww values that a merge or a write has discarded although what won had not seen them: nothing is discarded silently
 * (PROTOCOL 11). Each replica tells those that it meets, once: merging the same again discards nothing more.
 */
import { stampToMs } from "../causality/hybrid-clock.ts";
import { compareDots, covers, type Dot, dotText, type LiveValue, type Versioned } from "../causality/version-set.ts";
import type { Key } from "../identity.ts";
import type { Telemetry } from "../telemetry.ts";

/** What a side of a merge has, and what it has seen. A write has seen its context, and holds nothing else. */
interface Side {
  readonly vector: readonly Dot[];
  readonly values: readonly LiveValue[];
}

export function tellLwwLosers(telemetry: Telemetry, key: Key, [a, b]: readonly [Side, Side], after: Versioned): void {
  for (const { dot, stamp } of [...losersOf(a, b, after), ...losersOf(b, a, after)]) {
    telemetry.event({ kind: "conflict", key, discardedDot: dotText(dot), timeMs: stampToMs(stamp) });
  }
}

function losersOf({ values }: Side, other: Side, after: Versioned): readonly LiveValue[] {
  return values.filter((value) => {
    if (value.kind !== "lww" || value.tombstone || covers(other.vector, value.dot)) return false;
    return !after.values.some(({ dot }) => compareDots(dot, value.dot) === 0);
  });
}
