/**
 * An edge's write, minted by a clock that was wrong or not yet measured, as the hosts' time would have had it (PROTOCOL 3,
 * *lww*). Only for a write that was never sent: nobody has seen its stamp or its expiry. Its dot stays.
 * Invariant: of one key own writes keep their order, and each is later than what it has seen, and than what was known of
 * hosts when it was made.
 */
import { stampOfMs, type Stamp } from "../causality/hybrid-clock.ts";
import { covers, type Dot, type Versioned } from "../causality/version-set.ts";
import type { HostsTime } from "./contact.ts";
import type { OutboxRow, OutboxWrite } from "./outbox.ts";

/** `own`: writes of the key in order, those before this one minted anew already. */
export function mintedAnew(
  { row, coverage, sequence }: OutboxWrite,
  { copy, own }: { readonly copy: Versioned; readonly own: readonly OutboxWrite[] },
  time: HostsTime,
): OutboxRow {
  // A clock that has been set back since would have it made in the time to come.
  const acceptedMs = Math.max(0, Math.min(row.clockMs + time.wallMs - time.clockMs, time.wallMs));
  const before = own.filter((other) => other.sequence < sequence && other.isPending);
  const isSeen = ({ dot }: { readonly dot: Dot }): boolean => covers(coverage.vector, dot);
  const highest = (...stamps: readonly Stamp[]): Stamp => Math.min(Math.max(...stamps), Number.MAX_SAFE_INTEGER - 1);
  const stampOf = (write: OutboxWrite): Stamp => write.row.value.stamp;
  const seen = highest(
    coverage.stamp,
    ...copy.values.filter(isSeen).map(({ stamp }) => stamp),
    ...before.filter(isSeen).map(stampOf),
  );
  const known = highest(seen, row.floor, ...before.map(stampOf));
  const { stamp: _stamp, expiresAtMs, ...rest } = row.value;
  const value = {
    ...rest,
    stamp: row.renews ? seen + 1 : Math.max(stampOfMs(acceptedMs), known + 1),
    ...(expiresAtMs === undefined ? {} : { expiresAtMs: expiresAtMs + acceptedMs - row.acceptedMs }),
  };
  return { ...row, value, acceptedMs };
}
