/**
 * How long hosts remember, as they tell edges: what an edge may repeat, and until when, hangs on it.
 */
import { field, message, varint } from "../bytes/codec.ts";
import { nodeDefaults } from "../config.ts";

/** After which hosts forget, ms: what was deleted; and, of long clocks, what was seen (PROTOCOL 10, 3). */
export interface Periods {
  readonly graceMs: number;
  readonly inFlightMs: number;
}

export const PeriodsRow = message("EdgePeriods", { graceMs: field(1, varint), inFlightMs: field(2, varint) });
/** Until a host has told. */
export const usualPeriods: Periods = { graceMs: nodeDefaults.graceMs, inFlightMs: nodeDefaults.inFlightMsMax };
