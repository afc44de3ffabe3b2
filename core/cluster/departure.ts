/**
 * Whether the others know that this node has left. It is `left` on its own disk before anybody hears of it; after a crash
 * in between the next start must tell, or they would count on it, and wait for its consents, for ever.
 */
import { encodeUtf8 } from "lib0/string";
import { field, message, varint } from "../bytes/codec.ts";
import type { NodeId } from "../identity.ts";
import type { Roster } from "../membership/roster.ts";
import type { RecordStore } from "../storage/record-store.ts";

const row = encodeUtf8("departure");
const Departure = message("Departure", {
  /** The life of which the others know that it has ended. */
  toldLife: field(1, varint),
});

/** Durable when it resolves. */
export function noteTold(records: RecordStore, life: number): Promise<void> {
  return records.commit([{ kind: "put", ns: "meta", key: row, value: Departure.encode({ toldLife: life }) }]);
}

/** It has left by its own disk, and may not have told it. */
export async function owesFarewell(id: NodeId, stored: Roster, records: RecordStore): Promise<boolean> {
  const own = stored.members.get(id);
  if (own?.status !== "left") return false;
  const told = await records.get("meta", row);
  return told === undefined || Departure.decode(told).toldLife < own.life;
}
