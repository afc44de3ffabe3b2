/** In a process of its own, in which nobody has loaded Yjs yet. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadDocuments } from "../../../core/load-documents.ts";
import { StoreError } from "../../../core/errors.ts";

test("a second copy of Yjs is detected and named, each time a document is asked for", async () => {
  // The mark that a copy leaves when it is loaded.
  (globalThis as { "__ $YJS$ __"?: boolean })["__ $YJS$ __"] = true;
  const isNamed = (error: unknown): boolean => error instanceof StoreError && /two copies of Yjs/.test(error.message);
  for (let i = 0; i < 2; i++) await assert.rejects(loadDocuments(), isNamed);
});
