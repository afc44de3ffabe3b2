import assert from "node:assert/strict";
import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { storageSuite } from "../conformance/storage.ts";
import { launchChromium, type Chromium, type Tab } from "./chromium.ts";
import type { Functions } from "./pages/storage.ts";
import { servePage, type PageServer } from "./page-server.ts";
import { recordTransactions } from "./transactions.ts";

const entry = new URL("./pages/storage.js", import.meta.url);
const { rules } = storageSuite(() => Promise.reject(new Error("it runs in the page")));

let browser: Chromium;
before(async () => {
  browser = await launchChromium({ before: recordTransactions });
});
after(() => browser[Symbol.asyncDispose]());

describe("IndexedDbStorage in Chromium is a Storage", { timeout: 120_000 }, () => {
  let server: PageServer;
  let tab: Tab<Functions>;
  before(async () => {
    server = await servePage(entry);
    tab = await browser.open(server.url);
    await tab.call("openSuite");
  });
  after(async () => {
    await tab.call("closeSuite");
    await server[Symbol.asyncDispose]();
  });

  for (const { name } of rules) test(name, () => tab.call("check", name));

  test("whose every transaction is committed at once, and strict if it writes", async () => {
    const { seen, bad } = await tab.call("transactions");
    assert.ok(seen > 300, `${seen} transactions were seen`);
    assert.deepEqual(bad, []);
  });

  test("and no page error comes of it", () => assert.deepEqual(tab.problems, []));
});

describe("IndexedDbStorage in Chromium", { timeout: 120_000 }, () => {
  let server: PageServer;
  before(async () => {
    server = await servePage(entry);
  });
  after(() => server[Symbol.asyncDispose]());

  /** Two tabs, of which the first has the store open. */
  async function twoTabs(store: string) {
    const first = await browser.open<Functions>(server.url);
    const second = await browser.open<Functions>(server.url);
    assert.equal(await first.call("open", store), "done");
    assert.equal(await first.call("put", "a", 10), "done");
    return { first, second };
  }

  test("makes way for a newer format that another tab brings: closed at once, and then a version that it refuses", async () => {
    const { first, second } = await twoTabs("newer");
    assert.equal(await second.call("openRaw", "everwrite/newer", 2), "done");
    assert.equal(await first.call("put", "b", 10), "closed");
    assert.equal(await first.call("has", "a", 10), "closed");
    assert.equal(await first.call("open", "newer"), "version");
  });

  test("makes way for its deletion by another tab, and begins anew only when it is opened again", async () => {
    const { first, second } = await twoTabs("deleted");
    assert.equal(await second.call("deleteRaw", "everwrite/deleted"), "done");
    assert.equal(await first.call("put", "b", 10), "closed");
    assert.equal(await second.call("open", "deleted"), "done");
    assert.equal(await second.call("has", "a", 10), false);
  });

  test("refuses a database that is not of Everwrite", async () => {
    const tab = await browser.open<Functions>(server.url);
    assert.equal(await tab.call("openRaw", "everwrite/foreign", 1), "done");
    assert.equal(await tab.call("open", "foreign"), "version");
  });

  test("does not come back empty when the user clears the site's data under it", async () => {
    const { first } = await twoTabs("cleared");
    const session = await browser.context.newCDPSession(first.page);
    await session.send("Storage.clearDataForOrigin", { origin: new URL(server.url).origin, storageTypes: "indexeddb" });
    assert.equal(await first.call("put", "b", 10), "closed");
    assert.equal(await first.call("has", "a", 10), "closed");
    assert.equal(await first.call("open", "cleared"), "done");
    assert.equal(await first.call("has", "a", 10), false);
  });

  test("says full at its quota; reads go on, deletes make room, and then writes go on, with nothing lost", async () => {
    await using ownServer = await servePage(entry);
    const tab = await browser.open<Functions>(ownServer.url);
    const session = await browser.context.newCDPSession(tab.page);
    const { origin } = new URL(ownServer.url);
    // Of it the store keeps 5.2 MB for its next opening.
    await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 12e6 });
    assert.equal(await tab.call("open", "filled"), "done");

    const size = 65_536;
    const written: string[] = [];
    let outcome = "done";
    for (let at = 0; at < 200 && outcome === "done"; at++) {
      outcome = await tab.call("put", `row ${at}`, size);
      if (outcome === "done") written.push(`row ${at}`);
    }
    assert.equal(outcome, "storage-full");
    assert.ok(written.length > 10, `${written.length} rows fitted`);
    assert.equal(await tab.call("put", "small", 10), "storage-full");
    for (const name of written) assert.equal(await tab.call("has", name, size), true, name);
    assert.equal(await tab.call("has", "small", 10), false);

    for (const name of written.splice(0, 8)) assert.equal(await tab.call("remove", name), "done");
    assert.equal(await tab.call("put", "small", 10), "done");
    for (const name of written) assert.equal(await tab.call("has", name, size), true, name);
  });

  test("tells of a value that the disk has lost, reads the others, and takes the value anew", async () => {
    const size = 300_000;
    await using own = await launchChromium();
    const tab = await own.open<Functions>(server.url);
    assert.equal(await tab.call("open", "damaged"), "done");
    for (const name of ["a", "b", "c"]) assert.equal(await tab.call("put", name, size), "done");
    await own[Symbol.asyncDispose]();
    removeOneFile(join(own.profile, "Default", "IndexedDB"), size);

    await using next = await launchChromium({ profile: own.profile });
    const again = await next.open<Functions>(server.url);
    assert.equal(await again.call("open", "damaged"), "done");
    const rows = await again.call("scan", size);
    assert.deepEqual(
      rows.map(({ name }) => name),
      ["a", "b", "c"],
    );
    const damaged = rows.filter(({ whole }) => whole === "damaged").map(({ name }) => name);
    assert.equal(damaged.length, 1);
    assert.equal(rows.filter(({ whole }) => whole === true).length, 2);
    for (const name of damaged) {
      assert.equal(await again.call("has", name, size), "corrupt");
      assert.equal(await again.call("put", name, size), "done");
      assert.equal(await again.call("has", name, size), true);
    }
  });

  test("tells the room that the browser leaves it", async () => {
    const { first } = await twoTabs("room");
    assert.ok(((await first.call("freeBytes")) ?? 0) > 0);
  });
});

/** Large values have files of their own. */
function removeOneFile(folder: string, bytes: number): void {
  const file = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    // Not one that is kept for the next opening: these are larger.
    .find(
      (path) => path.includes(".indexeddb.blob") && statSync(path).size >= bytes && statSync(path).size < 2 * bytes,
    );
  assert.ok(file !== undefined, "no large value lies in a file");
  rmSync(file);
}
