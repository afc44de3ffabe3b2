/**
 * An application of its own: writes numbered notes to a store until killed, and prints each number once it is acknowledged.
 *   store-app <data directory> <cluster> [seed...]
 */
import { writeSync } from "node:fs";
import { openStore } from "../../node-host/index.ts";

const [data = "", name = "", ...seeds] = process.argv.slice(2);
const store = await openStore<{ notes: number }>({ name, data, seeds });
const notes = store.bucket("notes");
const lanes = Array.from({ length: 8 }, async (_, lane) => {
  for (let i = lane; ; i += 8) {
    await notes.put(String(i), i);
    writeSync(1, `${i}\n`);
  }
});
await Promise.all(lanes);
