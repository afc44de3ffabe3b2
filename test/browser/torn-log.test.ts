/**
 * A browser's end, or that of power, in the middle of a write: the last record of LevelDB's log is cut off. Here it is put
 * there by hand, between two lives of a browser (on a full disk: the trial `browser-full-disk`).
 */
import assert from "node:assert/strict";
import { appendFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { launchChromium } from "./chromium.ts";
import type { Functions } from "./pages/store.ts";
import { servePage } from "./page-server.ts";
import { plant, type PlantedBug } from "./plant.ts";

const never: PlantedBug = {
  name: "the log goes on behind it",
  file: "core/browser/indexeddb-storage.js",
  find: "await endTornLog();",
  replace: "",
};

/** A record of 1,000 bytes, as its head says, of which 100 got to the disk. */
function tearLog(profile: string): void {
  const folder = join(profile, "Default", "IndexedDB");
  const [database] = readdirSync(folder).filter((name) => name.endsWith(".leveldb"));
  const log = readdirSync(join(folder, database!))
    .filter((name) => name.endsWith(".log"))
    .toSorted()
    .at(-1);
  const record = Buffer.alloc(7 + 100, 0x5a);
  record.writeUInt16LE(1_000, 4);
  record.writeUInt8(1, 6); // a record that is not divided
  appendFileSync(join(folder, database!, log!), record);
}

/** Keys that are not found after each of three lives has written one, and the log was torn before the second. */
async function missing(bug?: PlantedBug): Promise<string[]> {
  const plugins = bug === undefined ? [] : [plant(bug)];
  await using server = await servePage(new URL("./pages/store.js", import.meta.url), { plugins });
  const written: string[] = [];
  let profile: string | undefined;
  const live = async (): Promise<string[]> => {
    await using browser = await launchChromium(profile === undefined ? {} : { profile });
    ({ profile } = browser);
    const tab = await browser.open<Functions>(server.url);
    assert.equal(typeof (await tab.call("open", { name: "torn" })), "number");
    const found = await Promise.all(written.map((key) => tab.call("get", key, { r: "local" })));
    const gone = written.filter((_key, i) => found[i]!.values.length === 0);
    await tab.call("put", `life ${written.length}`, "1");
    written.push(`life ${written.length}`);
    return gone;
  };
  await live();
  tearLog(profile!);
  assert.deepEqual(await live(), []);
  return await live();
}

describe("a log whose last record was cut off", () => {
  test("loses nothing else: not at the next start, nor at those after", async () => {
    assert.deepEqual(await missing(), []);
  });

  test(`costs all data where ${never.name}: this test sees it`, async () => {
    assert.deepEqual(await missing(never), ["life 0", "life 1"]);
  });
});
