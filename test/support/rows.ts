/** What is done to the rows of a host that does not run. */
import { bucketOf } from "../../core/bytes/key.ts";
import { keyOfRow } from "../../core/placement/locate.ts";
import { RecordStore } from "../../core/storage/record-store.ts";
import { openClassicStorage } from "../../node-host/classic-storage.ts";

/** The host in `directory` has missed all writes of the bucket; how many keys that are. Its co-owners think it has them. */
export async function dropBucket(directory: string, bucket: string): Promise<number> {
  const records = new RecordStore(await openClassicStorage({ directory }));
  let dropped = 0;
  try {
    for (let gte: Uint8Array | null = new Uint8Array(0); gte !== null;) {
      const page = await records.page("objects", { gte, limit: 10_000, maxBytes: 16_777_216 });
      const keys = page.rows.map(({ key }) => key).filter((key) => bucketOf(keyOfRow(key)) === bucket);
      await records.commit(keys.map((key) => ({ kind: "delete", ns: "objects", key })));
      dropped += keys.length;
      gte = page.next;
    }
  } finally {
    await records.close();
  }
  return dropped;
}
