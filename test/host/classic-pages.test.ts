/**
 * Pages of a LevelDB of which a block is damaged.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { KeyRange } from "../../core/ports.ts";
import { type ClassicStorage, openClassicStorage } from "../../node-host/classic-storage.ts";
import { put, text } from "../conformance/storage.ts";
import { endOfBlock } from "./table-blocks.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

/** Of each page of 10 rows, in order: whether it was told as damaged. */
async function toldBy(storage: ClassicStorage, reverse: boolean): Promise<boolean[]> {
  const told: boolean[] = [];
  for (let range: KeyRange | undefined = {}; range !== undefined;) {
    const page = await storage.page("objects", { ...range, limit: 10, reverse });
    told.push(page.damaged ?? false);
    const { next }: { next: Uint8Array | null } = page;
    range = next === null ? undefined : reverse ? { lt: next } : { gte: next };
  }
  return told;
}

// The records of the format lie before and behind all others: in the first and in the last block.
for (const [where, needle] of [
  ["first", Buffer.of(0x00, ...Buffer.from("format"))],
  ["last", Buffer.of(0xff, ...Buffer.from("format"))],
] as const) {
  test(`damage in the ${where} block is told of the pages that it lies in, and of no others`, async () => {
    const directory = temporaryDirectory();
    const storage = await openClassicStorage({ directory });
    const rows = Array.from({ length: 300 }, (_, i) => put(text(`${1_000 + i}`), new Uint8Array(200).fill(i)));
    await storage.batch(rows, "synced");
    await storage.close();
    // Opening turns the log into a table.
    await (await openClassicStorage({ directory })).close();
    const table = join(
      directory,
      readdirSync(directory).find((name) => name.endsWith(".ldb"))!,
    );
    const content = readFileSync(table);
    const end = endOfBlock(content, content.indexOf(needle));
    writeFileSync(table, content.fill(0xff, end - 4, end));

    const damaged = await openClassicStorage({ directory });
    for (const reverse of [false, true]) {
      const told = await toldBy(damaged, reverse);
      const count = told.filter(Boolean).length;
      assert.ok(count >= 1 && count <= 2 && told.length > 20, `${count} of ${told.length} pages`);
    }
    await damaged.close();
  });
}
