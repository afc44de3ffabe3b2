/**
 * The keys of a bucket: as hosts list them, with what this node alone has; offline what it has a copy of.
 */
import type { ListOptions } from "../api.ts";
import { compareBytes } from "../bytes/compare.ts";
import { bucketOf, makeKey, nameOf } from "../bytes/key.ts";
import type { Key } from "../identity.ts";
import { listLimitOf } from "../limits.ts";
import { edgeMethods } from "../rpc/edge-methods.ts";
import type { StoreList, StoreRead } from "../store-node.ts";
import type { Contact } from "./contact.ts";

interface ListDeps {
  readonly contact: Contact;
  readonly keys: () => Iterable<Key>;
  /** With writes that hosts do not have. */
  readonly pending: () => Iterable<Key>;
  readonly read: (key: Key) => Promise<StoreRead>;
}

/** @throws StoreError `bad-request`; while hosts are connected as they answer */
export async function listKnown(
  deps: ListDeps,
  bucket: string,
  { prefix = "", after, timeoutMs, ...options }: ListOptions & { readonly timeoutMs: number },
): Promise<StoreList> {
  const limit = listLimitOf(options);
  makeKey(bucket, prefix || "x"); // only to check both
  const { contact } = deps;
  const rowOf = (name: string): Uint8Array => contact.locate(makeKey(bucket, name)).row;
  const afterRow = after === undefined ? undefined : rowOf(after);
  const isIn = (key: Key): boolean => bucketOf(key) === bucket && nameOf(key).startsWith(prefix);
  const isAfter = (name: string): boolean => afterRow === undefined || compareBytes(rowOf(name), afterRow) > 0;
  const namesOf = (keys: Iterable<Key>): string[] => [...new Set(keys)].filter(isIn).map(nameOf).filter(isAfter);
  const isLive = async (name: string): Promise<boolean> => (await deps.read(makeKey(bucket, name))).siblings.length > 0;

  let told: { readonly keys: readonly string[]; readonly next?: string } | undefined;
  if (contact.isConnected) {
    const request = { bucket, prefix, limit, timeoutMs, after };
    told = await contact.ask(contact.hosts(), edgeMethods.edgeList, request, timeoutMs);
  }
  const lastRow = told?.next === undefined ? undefined : rowOf(told.next);
  const isOnPage = (name: string): boolean => lastRow === undefined || compareBytes(rowOf(name), lastRow) <= 0;
  const own = namesOf(told === undefined ? deps.keys() : deps.pending()).filter(isOnPage);
  const isOwn = new Set(own);
  const names = [...new Set([...(told?.keys ?? []), ...own])].toSorted((a, b) => compareBytes(rowOf(a), rowOf(b)));
  const live: string[] = [];
  for (const name of names) {
    if (live.length === limit)
      return { keys: live, next: live.at(-1)!, source: told === undefined ? "local" : "quorum" };
    if (!isOwn.has(name) || (await isLive(name))) live.push(name);
  }
  return { keys: live, next: told?.next ?? null, source: told === undefined ? "local" : "quorum" };
}
