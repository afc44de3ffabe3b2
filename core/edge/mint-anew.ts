/**
 * An edge's write, minted by a clock that was wrong or not yet measured, as the hosts' time would have had it (PROTOCOL 3,
 * *lww*). Only for a write that was never sent: nobody has seen its stamp or its expiry. Its dot stays.
 * Invariant: of one key own writes keep their order, and each is later than what it has seen, and than what was known of
 * hosts when it was made.
 */
import { type Stamp, stampOfMs } from "../causality/hybrid-clock.ts";
import { covers, stampOfRenewal, type Versioned } from "../causality/version-set.ts";
import type { HostsTime } from "./contact.ts";
import { dotOf, stampOfOwn } from "./evidence.ts";
import type { OutboxRow, OutboxWrite } from "./outbox.ts";

export interface KnownOfKey {
  readonly copy: Versioned;
  /** Of the key, in order; those before the one in question have been minted anew already. */
  readonly writes: readonly OutboxWrite[];
}

export function mintedAnew(
  { row, coverage, sequence, subject }: OutboxWrite,
  { copy, writes }: KnownOfKey,
  time: HostsTime,
): OutboxRow {
  // A clock that has been set back since would have it made in the time to come.
  const acceptedMs = Math.max(0, Math.min(row.clockMs + time.wallMs - time.clockMs, time.wallMs));
  const stampOf = (write: OutboxWrite): Stamp => write.row.value.stamp;
  const before = writes.filter((other) => other.sequence < sequence && other.isPending);
  const seen = before.filter(({ dot }) => covers(coverage.vector, dot));
  const actors = new Set(seen.map(({ dot }) => dot.actor));
  const others = row.own.filter((event) => !actors.has(dotOf(subject, event).actor));
  const stamp = Math.max(
    coverage.stamp,
    stampOfOwn(subject, others, copy, time.wallMs),
    ...(row.renews ? seen.map(stampOf) : [row.floor, ...before.map(stampOf)]),
  );
  const above = stampOfRenewal(copy, { ...coverage, stamp });
  const { expiresAtMs } = row.value;
  const value = {
    ...row.value,
    stamp: row.renews ? above : Math.max(stampOfMs(acceptedMs), above),
    ...(expiresAtMs === undefined ? {} : { expiresAtMs: expiresAtMs + acceptedMs - row.acceptedMs }),
  };
  return { ...row, value, acceptedMs };
}
