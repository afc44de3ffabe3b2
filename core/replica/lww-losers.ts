/**
 * lww values that a merge or a write has discarded although what won had not seen them: nothing is discarded silently
 * (PROTOCOL 11). Each node tells those that it meets, once: merging the same again discards nothing more. A value that is
 * equal to what won is not lost.
 */
import { equalBytes } from "../bytes/compare.ts";
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
  const isKept = (value: LiveValue): boolean =>
    after.values.some((live) => compareDots(live.dot, value.dot) === 0 || isEqual(live, value));
  return values.filter(
    (value) => value.kind === "lww" && !value.tombstone && !covers(other.vector, value.dot) && !isKept(value),
  );
}

function isEqual(winner: LiveValue, { contentType, body }: LiveValue): boolean {
  return (
    winner.kind === "lww" && !winner.tombstone && winner.contentType === contentType && equalBytes(winner.body, body)
  );
}
