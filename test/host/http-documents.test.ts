/** Documents over HTTP: updates go in one by one, and one document comes out. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as Y from "yjs";
import { HostProcesses } from "../support/host-processes.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

test("updates that are put one by one are read as one document; what is no update is refused", async () => {
  await using hosts = new HostProcesses(temporaryDirectory());
  await hosts.add();
  const url = `${hosts.url(0)}/kv/notes/plan`;
  const put = (body: Uint8Array<ArrayBuffer>) =>
    fetch(url, { method: "PUT", body, headers: { "everwrite-kind": "yjs" } });
  const doc = new Y.Doc();
  const updates: Uint8Array<ArrayBuffer>[] = [];
  doc.on("update", (update: Uint8Array) => updates.push(Uint8Array.from(update)));
  for (let i = 0; i < 120; i++) doc.getText("body").insert(i, String(i % 10));
  for (const update of updates) assert.equal((await put(update)).status, 200);
  assert.equal((await put(Uint8Array.of(1, 2, 3))).status, 400);
  const answer = await fetch(url);
  assert.equal(answer.status, 200);
  const read = new Y.Doc();
  Y.applyUpdate(read, new Uint8Array(await answer.arrayBuffer()));
  assert.equal(read.getText("body").toJSON(), doc.getText("body").toJSON());
  const listed = (await (await fetch(url, { headers: { accept: "application/json" } })).json()) as {
    readonly siblings: readonly unknown[];
  };
  assert.equal(listed.siblings.length, 1);
});
