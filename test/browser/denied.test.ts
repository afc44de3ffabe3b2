/** What browsers deny pages: storage, locks, a secure origin, their data in the middle of a start, the right time. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { eventually } from "../support/eventually.ts";
import { kv } from "../support/http-client.ts";
import { pageHosts, type PageHosts } from "../support/page-hosts.ts";
import { type Chromium, type ChromiumOptions, launchChromium, type Tab } from "./chromium.ts";
import type { Functions } from "./pages/store.ts";
import { servePage, type PageServer } from "./page-server.ts";

type StoreTab = Tab<Functions>;

const entry = new URL("./pages/store.js", import.meta.url);
let server: PageServer;
let all: PageHosts;
before(async () => {
  server = await servePage(entry);
  all = await pageHosts(1, "denied", temporaryDirectory());
});
after(async () => {
  await all[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

/** Where it keeps a store that it opens, writes to and reads, and what it says of that. */
async function keptBy(tab: StoreTab, key: string): Promise<{ readonly storage: string; readonly notices: string }> {
  const opened = await tab.call("open", { name: "denied", seeds: all.seeds });
  assert.equal(typeof opened, "number", String(opened));
  await tab.call("put", key, "1");
  await tab.call("flush", 60_000);
  assert.deepEqual((await tab.call("get", key)).values, ["1"]);
  const { storage, notices } = (await tab.call("status")).browser!;
  await tab.call("close");
  return { storage, notices: notices.join("; ") };
}

/** Else it is what it was refused with. */
function assertOpened(answer: number | string): void {
  assert.ok(typeof answer === "number", String(answer));
}

describe("a store in a page that may keep nothing is kept in memory, says so, and writes to hosts", () => {
  const denials: readonly (readonly [why: string, options: () => ChromiumOptions])[] = [
    [
      "a private window of a browser whose databases can be opened by nobody there",
      () => ({
        before: () => {
          IDBFactory.prototype.open = () => {
            throw new DOMException("a mutation was attempted on a database that allows none", "InvalidStateError");
          };
        },
      }),
    ],
    [
      "site data is forbidden by the user",
      () => {
        const profile = temporaryDirectory();
        mkdirSync(join(profile, "Default"), { recursive: true });
        const settings = { profile: { default_content_setting_values: { cookies: 2 } } };
        writeFileSync(join(profile, "Default/Preferences"), JSON.stringify(settings));
        return { profile };
      },
    ],
  ];
  for (const [why, options] of denials) {
    test(why, async () => {
      await using browser = await launchChromium(options());
      const { storage, notices } = await keptBy(await browser.open<Functions>(server.url), why);
      assert.equal(storage, "memory");
      assert.match(notices, /keeps nothing/);
    });
  }

  test("a sandbox, which has no origin", async () => {
    await using browser = await launchChromium();
    const headers = { "content-security-policy": "sandbox allow-scripts", "access-control-allow-origin": "*" };
    await using sandbox = await servePage(entry, { headers });
    const { storage, notices } = await keptBy(await browser.open<Functions>(sandbox.url), "sandbox");
    assert.equal(storage, "memory");
    assert.match(notices, /keeps nothing/);
  });
});

describe("a store in a page over plain http, without locks and cryptography of the browser's", () => {
  const origin = "http://plain.test";
  let browser: Chromium;
  before(async () => {
    browser = await launchChromium({ arguments: ["--host-resolver-rules=MAP plain.test 127.0.0.1"] });
  });
  after(() => browser[Symbol.asyncDispose]());

  const opened = async (name: string): Promise<StoreTab> => {
    const tab = await browser.open<Functions>(`${origin}:${new URL(server.url).port}/`);
    assert.ok(await tab.page.evaluate(() => !isSecureContext && (crypto.subtle as unknown) === undefined));
    assertOpened(await tab.call("open", { name, database: `plain ${name}`, seeds: all.seeds }));
    return tab;
  };

  test("keeps what it writes, and delivers it", async () => {
    const tab = await opened("denied");
    await tab.call("put", "plain", "1");
    await tab.call("flush", 60_000);
    assert.deepEqual((await kv(all.hosts.url(0)).get("notes/plain")).values, ['"1"']);
    const { id, browser: page } = await tab.call("status");
    assert.equal(page!.storage, "evictable");
    await tab.page.close();
    const again = await opened("denied");
    assert.equal((await again.call("status")).id, id);
    assert.deepEqual((await again.call("get", "plain", { r: "local" })).values, ["1"]);
    await again.page.close();
  });

  test("is the last tab's that opened it: the one before is told that it is closed, and nothing acknowledged is lost", async () => {
    const first = await opened("denied");
    assert.match((await first.call("status")).browser!.notices.join(), /the one that opens it last has it alone/);
    await first.call("put", "first", "1");
    const second = await opened("denied");
    await assert.rejects(first.call("put", "late", "1"), /another tab has opened/);
    assert.deepEqual((await second.call("get", "first")).values, ["1"]);
    await second.call("put", "second", "2");
    await second.call("flush", 60_000);
    assert.deepEqual((await second.call("get", "late")).values, []);
    for (const tab of [first, second]) await tab.page.close();
  });
});

describe("a page that is disturbed while it starts", () => {
  let browser: Chromium;
  before(async () => {
    browser = await launchChromium();
  });
  after(() => browser[Symbol.asyncDispose]());

  test("by the deletion of its data begins anew on the disk, not in memory", async () => {
    const tab = await browser.open<Functions>(server.url);
    for (let i = 0; i < 5; i++) {
      const name = `caught ${i}`;
      // What opens it asks first; the deletion is asked for while it waits.
      await tab.page.evaluate((database) => {
        const open = indexedDB.open.bind(indexedDB);
        indexedDB.open = (...args) => {
          const request = open(...args);
          if (args[0] === database) {
            indexedDB.open = open;
            indexedDB.deleteDatabase(database);
          }
          return request;
        };
      }, `everwrite/${name}`);
      assertOpened(await tab.call("open", { name }));
      await tab.call("put", "a", "1");
      const { id, browser: page } = await tab.call("status");
      assert.equal(page!.storage, "evictable", page!.notices.join());
      await tab.call("close");
      assertOpened(await tab.call("open", { name }));
      assert.equal((await tab.call("status")).id, id);
      assert.deepEqual((await tab.call("get", "a")).values, ["1"]);
      await tab.call("close");
    }
  });

  test("by its own reload, beside another that starts: both have one node, and what was written is there", async () => {
    const name = "reloaded";
    const first = await browser.open<Functions>(server.url);
    const second = await browser.open<Functions>(server.url);
    for (let i = 0; i < 10; i++) {
      // The opening that the reload ends answers nobody.
      first.call("open", { name }).catch(() => undefined);
      const opening = second.call("open", { name });
      await new Promise((resolve) => setTimeout(resolve, i * 5));
      await first.page.reload();
      await first.page.waitForFunction(() => "everwriteTest" in globalThis);
      assertOpened(await first.call("open", { name }));
      assertOpened(await opening);
      await first.call("put", `first ${i}`, "1");
      await second.call("put", `second ${i}`, "2");
      for (const [tab, other] of [
        [first, "second"],
        [second, "first"],
      ] as const) {
        const { values } = await tab.call("get", `${other} ${i}`);
        assert.deepEqual(values, [other === "first" ? "1" : "2"]);
      }
      assert.equal((await first.call("status")).id, (await second.call("status")).id);
      await second.call("close");
      await first.call("close");
    }
  });
});

test("a page beside which a newer release brings its format is told so, holds nobody up, and is refused when it opens again", async () => {
  await using browser = await launchChromium();
  const tab = await browser.open<Functions>(server.url);
  assertOpened(await tab.call("open", { name: "outgrown" }));
  await tab.call("put", "a", "1");
  const newer = await browser.open<Functions>(server.url);
  await newer.page.evaluate(
    () =>
      new Promise<void>((resolve, reject) => {
        const opening = indexedDB.open("everwrite/outgrown", 99);
        opening.addEventListener("success", () => resolve());
        opening.addEventListener("blocked", () => reject(new Error("the older release holds it")));
      }),
  );
  await assert.rejects(tab.call("put", "a", "2"), /brings a newer format/);
  await tab.page.reload();
  await tab.page.waitForFunction(() => "everwriteTest" in globalThis);
  assert.match(String(await tab.call("open", { name: "outgrown" })), /^not-ready: .*VersionError/);
});

test("a page whose clock goes back a day writes on, is told of changes, and delivers what waited", async () => {
  await using browser = await launchChromium();
  const tab = await browser.open<Functions>(server.url);
  assertOpened(await tab.call("open", { name: "denied", seeds: all.seeds }));
  await tab.call("subscribe", "day");
  const { context } = await tab.call("put", "day", "before");
  await tab.call("flush", 60_000);
  await tab.page.evaluate(() => {
    const now = Date.now.bind(Date);
    Date.now = () => now() - 86_400_000;
  });
  await tab.call("put", "day", "after", context);
  const { pending, oldestPendingMs } = await tab.call("status");
  assert.ok(pending === 0 || oldestPendingMs! < 60_000, String(oldestPendingMs));
  await tab.call("flush", 60_000);
  assert.deepEqual((await kv(all.hosts.url(0)).get("notes/day")).values, ['"after"']);
  const isTold = async (): Promise<boolean> => (await tab.call("told")).at(-1)?.values.join() === "after";
  await eventually(isTold, "the page's subscriber to be told");
  await tab.call("close");
});
