/**
 * An edge's write, minted by a clock that was wrong or not yet measured, as the hosts' time would have had it (PROTOCOL 3,
 * *lww*). Only for a write that was never sent: nobody has seen its stamp or its expiry. Its dot stays.
 * Invariant: of one key own writes keep their order, and each is later than what it has seen, and than what was known of
 * hosts when it was made.
 */
import { stampOfMs } from "../causality/hybrid-clock.ts";
import { stampOfRenewal, type Versioned } from "../causality/version-set.ts";
import type { HostsTime } from "./contact.ts";
import type { OwnStamps } from "./own-stamps.ts";
import type { OutboxRow, OutboxWrite } from "./outbox.ts";

export interface KnownOfKey {
  readonly copy: Versioned;
  /** Own writes in order, those before the one in question minted anew already. */
  readonly own: readonly OutboxWrite[];
  readonly stamps: Pick<OwnStamps, "highest">;
}

export function mintedAnew(
  { key, row, coverage, sequence }: OutboxWrite,
  { copy, own, stamps }: KnownOfKey,
  time: HostsTime,
): OutboxRow {
  // A clock that has been set back since would have it made in the time to come.
  const acceptedMs = Math.max(0, Math.min(row.clockMs + time.wallMs - time.clockMs, time.wallMs));
  const before = own.filter((other) => other.sequence < sequence && other.isPending);
  const others = row.renews ? [] : [row.floor, ...before.map((write) => write.row.value.stamp)];
  const stamp = Math.max(coverage.stamp, stamps.highest(key, row.own), ...others);
  const above = stampOfRenewal(copy, { ...coverage, stamp });
  const { expiresAtMs } = row.value;
  const value = {
    ...row.value,
    stamp: row.renews ? above : Math.max(stampOfMs(acceptedMs), above),
    ...(expiresAtMs === undefined ? {} : { expiresAtMs: expiresAtMs + acceptedMs - row.acceptedMs }),
  };
  return { ...row, value, acceptedMs };
}
