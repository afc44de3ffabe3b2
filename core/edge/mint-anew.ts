/**
 * An edge's write, minted by a clock that was wrong or not yet measured, as the hosts' time would have had it (PROTOCOL 3,
 * *lww*). Only for a write that was never sent: nobody has seen its stamp or its expiry. Its dot stays.
 * Invariant: of one key, own writes keep their order, and each is later than what was known when it was made.
 */
import { stampOfMs } from "../causality/hybrid-clock.ts";
import type { HostsTime } from "./contact.ts";
import type { OutboxRow, OutboxWrite } from "./outbox.ts";

/** `all`: the outbox's writes of the key, in order. */
export function mintedAnew({ row, sequence }: OutboxWrite, all: readonly OutboxWrite[], time: HostsTime): OutboxRow {
  // A clock that has been set back since would have it made in the time to come.
  const acceptedMs = Math.max(0, Math.min(row.clockMs + time.wallMs - time.clockMs, time.wallMs));
  const before = all.filter((other) => other.sequence < sequence && other.isPending);
  const floor = Math.max(row.floor, ...before.map((other) => other.row.value.stamp));
  const { stamp, expiresAtMs, ...rest } = row.value;
  const above = Math.min(Math.max(stampOfMs(acceptedMs), floor + 1), Number.MAX_SAFE_INTEGER);
  const value = {
    ...rest,
    stamp: row.renews ? stamp : above,
    ...(expiresAtMs === undefined ? {} : { expiresAtMs: expiresAtMs + acceptedMs - row.acceptedMs }),
  };
  return { ...row, value, acceptedMs };
}
