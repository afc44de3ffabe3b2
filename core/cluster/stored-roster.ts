/**
 * The roster as a host keeps it on its disk.
 */
import { encodeUtf8 } from "lib0/string";
import { RosterMessage, rosterFrom } from "../membership/exchange.ts";
import type { Roster } from "../membership/roster.ts";
import type { RecordStore } from "../storage/record-store.ts";

/** In `meta`. */
export const rosterRow = encodeUtf8("roster");

/** That of an earlier run, or undefined when the storage never belonged to a host. */
export async function loadRoster(records: RecordStore): Promise<Roster | undefined> {
  const stored = await records.get("meta", rosterRow);
  return stored === undefined ? undefined : rosterFrom(RosterMessage.decode(stored));
}
