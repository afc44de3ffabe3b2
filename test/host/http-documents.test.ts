/** Documents over HTTP: updates go in one by one, and one document comes out. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as Y from "yjs";
import { eventually } from "../support/eventually.ts";
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

test("a document takes any number of updates through any host, under write ids too", async () => {
  await using hosts = await HostProcesses.of(4, temporaryDirectory());
  const updates = updatesOf(240);
  for (const [i, update] of updates.entries()) {
    const headers = { "everwrite-kind": "yjs", "everwrite-write-id": i.toString(16).padStart(16, "0") };
    const answer = await fetch(`${hosts.url(i % 4)}/kv/notes/plan`, { method: "PUT", body: update, headers });
    assert.equal(answer.status, 200, await answer.text());
  }
  assert.equal(await textOf(`${hosts.url(3)}/kv/notes/plan`), "x".repeat(240));
});

test("what expires of a document takes nothing else with it, and does not live on in it", async () => {
  await using hosts = new HostProcesses(temporaryDirectory());
  await hosts.add();
  const url = `${hosts.url(0)}/kv/notes/plan`;
  const put = async (body: Uint8Array<ArrayBuffer>, query = "") => {
    const answer = await fetch(url + query, { method: "PUT", body, headers: { "everwrite-kind": "yjs" } });
    assert.equal(answer.status, 200, await answer.text());
  };
  const updates = updatesOf(21);
  for (const update of updates.slice(0, 10)) await put(update);
  await put(updates.at(-1)!, "?ttlMs=8000"); // of the last character: it builds on all before it
  for (const update of updates.slice(10, 20)) await put(update);
  assert.equal(await textOf(url), "x".repeat(21));
  await eventually(async () => (await textOf(url)).length < 21, "the update to expire");
  assert.equal(await textOf(url), "x".repeat(20));
});

/** Of a text that grows by one character each. */
function updatesOf(count: number): Uint8Array<ArrayBuffer>[] {
  const doc = new Y.Doc();
  const updates: Uint8Array<ArrayBuffer>[] = [];
  doc.on("update", (update: Uint8Array) => updates.push(Uint8Array.from(update)));
  for (let i = 0; i < count; i++) doc.getText("body").insert(i, "x");
  return updates;
}

async function textOf(url: string): Promise<string> {
  const read = new Y.Doc();
  Y.applyUpdate(read, new Uint8Array(await (await fetch(url)).arrayBuffer()));
  return read.getText("body").toJSON();
}
