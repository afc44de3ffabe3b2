/**
 * A Yjs document as a value of a bucket: the bytes of one update, which holds all of it. What is stored is what live documents
 * store, so `Store.doc` and a bucket with this rule may use one key.
 */
import type * as Yjs from "yjs";
import { StoreError } from "../errors.ts";
import { bytes } from "../values/codecs.ts";
import type { ConflictRule } from "../values/conflict-rules.ts";
import { documentType, problemOfUpdate } from "../values/yjs-update.ts";
import { atOnce } from "./fold-plan.ts";

/** Loaded with the first value that is read: hosts and pages that import `everwrite` may have no documents. */
let Y: typeof Yjs;

/**
 * All updates of a key, merged into one. A put adds an update to them. An update takes their place: what it returns needs to
 * hold no more than what is new, for it is merged with what was read.
 *
 * @example
 * import { yjs } from "everwrite";
 * const plans = store.bucket("plans", { conflict: yjs() });
 * await plans.update("trip", (present) => {
 *   const doc = new Y.Doc();
 *   if (present !== undefined) Y.applyUpdate(doc, present);
 *   doc.getText("body").insert(0, "Oslo");
 *   return Y.encodeStateAsUpdate(doc);
 * });
 */
export function yjs(): ConflictRule<Uint8Array> {
  return {
    name: "yjs",
    kind: "yjs",
    codec: { ...bytes, contentType: documentType, decode: checked },
    load: loadYjs,
    resolve: (candidates) => Y.mergeUpdates(candidates.map(({ value }) => value)),
    seal: (value, present) => (present === undefined ? value : whole([present, checked(value)])),
    // What expires stays beside what lasts, which holds it too.
    foldsOf: (read) => atOnce(read.filter(({ expiresAtMs }) => expiresAtMs === undefined)).map(({ dot }) => dot),
  };
}

/** @throws StoreError `bad-request`: it is not installed */
async function loadYjs(): Promise<void> {
  try {
    Y ??= await import("yjs");
  } catch (cause: unknown) {
    const text = `\`yjs()\` needs the package yjs: npm install yjs (${String(cause)})`;
    throw new StoreError("bad-request", text, { cause });
  }
}

/** Beside documents there may be other values under a key. */
function checked(update: Uint8Array): Uint8Array {
  const problem = problemOfUpdate(update);
  if (problem !== undefined) throw new TypeError(`this is no update of a Yjs document: ${problem}`);
  return update.slice();
}

/** As an open document writes it, without what was deleted. All at once, for one alone may lack what it builds on. */
function whole(updates: Uint8Array[]): Uint8Array {
  const doc = new Y.Doc();
  Y.applyUpdate(doc, Y.mergeUpdates(updates));
  return Y.encodeStateAsUpdate(doc);
}
