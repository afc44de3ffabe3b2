/**
 * All entries of a bucket: pages of names, each read by itself, some ahead of who asks for them.
 */
import type { StoreGetOptions, StoreList, StoreNode, StoreRead } from "../store-node.ts";

const pageNames = 1_000;
/** Reads under way at once: enough to hide round trips, few beside what a host takes. */
const readsAhead = 16;

export async function* entries(
  node: StoreNode,
  bucket: string,
  { prefix, getOptions }: { readonly prefix: string; readonly getOptions: StoreGetOptions },
): AsyncGenerator<{ readonly name: string; readonly read: StoreRead }> {
  const { signal, timeoutMs } = getOptions;
  const limits = { ...(signal === undefined ? {} : { signal }), ...(timeoutMs === undefined ? {} : { timeoutMs }) };
  let after: string | null = null;
  do {
    const page = { prefix, limit: pageNames, ...limits, ...(after === null ? {} : { after }) };
    const { keys, next }: StoreList = await node.list(bucket, page);
    for (let from = 0; from < keys.length; from += readsAhead) {
      const names = keys.slice(from, from + readsAhead);
      const reads = await Promise.all(names.map((name) => node.get(bucket, name, getOptions)));
      for (const [i, read] of reads.entries()) {
        // It may have been deleted since it was listed.
        if (read.siblings.length > 0) yield { name: names[i]!, read };
      }
    }
    after = next;
  } while (after !== null);
}
