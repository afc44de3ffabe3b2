/** In a process of its own, in which nobody has loaded Yjs yet. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadDocuments } from "../../../core/load-documents.ts";
import { StoreError } from "../../../core/errors.ts";
import { loadCopiedYjs } from "../../support/copied-yjs.ts";

test("a copy of Yjs that was loaded before everwrite's is detected and named, each time a document is asked for", async () => {
  await loadCopiedYjs();
  const isNamed = (error: unknown): boolean =>
    error instanceof StoreError && error.code === "bad-request" && /two copies of Yjs/.test(error.message);
  for (let i = 0; i < 2; i++) await assert.rejects(loadDocuments(), isNamed);
});
