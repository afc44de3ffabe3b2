/**
 * What a full disk still takes, out of the room that is kept free on it: deletes, which make room, and rows of `meta`, which are
 * few and small. Without these its host could hear of no new ring, hand no partition over to it, and not leave.
 */
import type { StorageOperation } from "../ports.ts";

export function isEssential({ kind, ns }: StorageOperation): boolean {
  return kind === "delete" || ns === "meta";
}
