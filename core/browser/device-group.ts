/**
 * All stores of one browser profile are on one device: two copies there would be lost together (PROTOCOL 2). So each is of
 * the group that is drawn once for a profile and an origin; pages of other origins cannot know of each other.
 */
import { openDB, unwrap, wrap } from "idb";
import { type Random, StorageError } from "../ports.ts";
import { toHex } from "../bytes/hex.ts";

const database = "everwrite-device";
const rows = "device";

/** The group, 32 hex digits. @throws StorageError `full`; DOMException where the browser has no database to give */
export async function deviceGroup(random: Random): Promise<string> {
  const opened = await openDB(database, 1, { upgrade: (created) => void created.createObjectStore(rows) });
  try {
    const drawn = toHex(random.bytes(16));
    // Another tab may draw one at the same moment: the first row stays. Each transaction is committed in the task that opens it.
    const adding = unwrap(opened).transaction(rows, "readwrite", { durability: "strict" });
    const added = wrap(adding.objectStore(rows).add(drawn, "group")).catch(() => undefined);
    adding.commit();
    await added;
    const reading = unwrap(opened).transaction(rows, "readonly");
    const found = wrap(reading.objectStore(rows).get("group"));
    reading.commit();
    const group: unknown = await found;
    if (typeof group !== "string")
      throw new StorageError("full", `${database} has no room for the group of this device`);
    return group;
  } finally {
    opened.close();
  }
}
