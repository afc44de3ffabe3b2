/**
 * The way from a store to its live documents, which need Yjs: a peer dependency, loaded with the first document.
 */
import type * as DocumentLinks from "./documents/document-link.ts";
import type * as LiveDocuments from "./documents/live-document.ts";
import { StoreError } from "./errors.ts";

type Documents = typeof LiveDocuments & typeof DocumentLinks;

/** Yjs leaves this mark when it is loaded, and warns on the console when it finds one. */
const yjsMark = "__ $YJS$ __";
let loading: Promise<Documents> | undefined;

/** @throws StoreError `bad-request`: Yjs is not installed, or there are two copies of it */
export function loadDocuments(): Promise<Documents> {
  loading ??= load().catch((error: unknown) => {
    // It stays so: what was loaded once is not loaded again, and a second look would find nothing.
    if (error instanceof StoreError) throw error;
    loading = undefined;
    const text = `documents need the package yjs: npm install yjs (${String(error)})`;
    throw new StoreError("bad-request", text, { cause: error });
  });
  return loading;
}

/** What is loaded already is not loaded again: so a mark that comes anew beside an older one is of a second copy. */
async function load(): Promise<Documents> {
  const marks = globalThis as { [yjsMark]?: boolean };
  const isMarked = marks[yjsMark] === true;
  delete marks[yjsMark];
  try {
    const [live, link] = [await import("./documents/live-document.ts"), await import("./documents/document-link.ts")];
    if (isMarked && marks[yjsMark] === true) throw link.secondCopy();
    return { ...live, ...link };
  } finally {
    if (isMarked) marks[yjsMark] = true;
  }
}
