import assert from "node:assert/strict";
import { mkdirSync, readdirSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openClassicStorage } from "../../node-host/classic-storage.ts";
import { SpareLinks } from "../../node-host/spare-links.ts";
import { eventually } from "../support/eventually.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

function emptyDirectory(): string {
  const directory = temporaryDirectory();
  mkdirSync(directory);
  return directory;
}

const linksIn = (directory: string): string[] => readdirSync(join(directory, "links")).toSorted();

test("each file of the database gets a second name, which goes soon after the first", async () => {
  const directory = emptyDirectory();
  for (const name of ["000001.log", "000002.ldb", "MANIFEST-000001"]) writeFileSync(join(directory, name), name);
  const links = new SpareLinks(directory);
  await links.open();
  await eventually(() => linksIn(directory).length === 2, "the second names");
  assert.equal(statSync(join(directory, "000002.ldb")).nlink, 2);
  unlinkSync(join(directory, "000002.ldb"));
  await eventually(() => linksIn(directory).length === 1, "the last name to go");
  assert.deepEqual(linksIn(directory), ["000001.log"]);
  await links.close();
  assert.deepEqual(readdirSync(directory).toSorted(), ["000001.log", "MANIFEST-000001"]);
});

test("what a killed run left is forgotten, and a directory that cannot be made is done without", async () => {
  const directory = emptyDirectory();
  mkdirSync(join(directory, "links"));
  writeFileSync(join(directory, "links", "000000.ldb"), "");
  writeFileSync(join(directory, "000001.ldb"), "");
  const links = new SpareLinks(directory);
  await links.open();
  await eventually(() => linksIn(directory).join() === "000001.ldb", "the second name");
  await links.close();
  const gone = new SpareLinks(join(directory, "no", "such", "directory"));
  await gone.open();
  await gone.close();
});

test("a database that compacts deletes as before, and keeps every row", async () => {
  const path = temporaryDirectory();
  const storage = await openClassicStorage({ directory: path });
  const value = new Uint8Array(100_000).fill(7);
  const key = (i: number): Uint8Array => Uint8Array.of(i >> 8, i & 255);
  for (let i = 0; i < 400; i++) {
    await storage.batch([{ kind: "put", ns: "objects", key: key(i % 100), value }], "buffered");
  }
  const files = (): string[] => readdirSync(path).filter((name) => /^\d+\.(ldb|log)$/.test(name));
  await eventually(() => {
    const linked = linksIn(path);
    return linked.length > 0 && linked.every((name) => files().includes(name)) && linked.length === files().length;
  }, "second names of exactly the files that are in use");
  for (let i = 0; i < 100; i++) assert.deepEqual(await storage.get("objects", key(i)), Buffer.from(value));
  await storage.close();
  assert.ok(!readdirSync(path).includes("links"));
});
