/**
 * A browser that has lost a part of what it keeps: its data, but not who it is; or who it is, but not its data. Whatever it does
 * afterwards, no event's name is used again, and hosts have what they have acknowledged.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { kv } from "../support/http-client.ts";
import { pageHosts, type PageHosts } from "../support/page-hosts.ts";
import { launchChromium, type Chromium, type Tab } from "./chromium.ts";
import type { Functions } from "./pages/store.ts";
import { servePage, type PageServer } from "./page-server.ts";

type ShopTab = Tab<Functions>;
type Lost = "data" | "identity";

const keys = ["a", "b", "c"];

let server: PageServer;
let browser: Chromium;
before(async () => {
  server = await servePage(new URL("./pages/store.js", import.meta.url));
  browser = await launchChromium();
});
after(async () => {
  await browser[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

/** Deletes rows of a closed store: all but its identity, or that alone. */
function lose(tab: ShopTab, store: string, lost: Lost): Promise<void> {
  return tab.page.evaluate(
    ({ store, lost }) =>
      new Promise<void>((resolve, reject) => {
        const opening = indexedDB.open(`everwrite/${store}`);
        opening.addEventListener("success", () => {
          const { result: database } = opening;
          const losing = database.transaction([...database.objectStoreNames], "readwrite");
          losing.addEventListener("complete", () => (database.close(), resolve()));
          losing.addEventListener("abort", () => reject(losing.error));
          const identity = new TextEncoder().encode("page-identity");
          const meta = losing.objectStore("meta");
          if (lost === "identity") return meta.delete(identity);
          const kept = meta.get(identity);
          kept.addEventListener("success", () => {
            for (const name of database.objectStoreNames) losing.objectStore(name).clear();
            meta.put(kept.result, identity);
          });
        });
      }),
    { store, lost },
  );
}

describe("an edge in a page", () => {
  let all: PageHosts;
  before(async () => {
    all = await pageHosts(3, "shop", temporaryDirectory());
  });
  after(() => all[Symbol.asyncDispose]());

  const dotsAt = async (key: string): Promise<string[]> => {
    const { siblings = [] } = (await kv(all.hosts.url(0)).get(`notes/${key}`, "r=3")).json;
    return siblings.map(({ dot }) => dot);
  };

  for (const lost of ["data", "identity"] as const) {
    test(`that has lost its ${lost} alone writes under new names beside what hosts have, and loses none of that`, async () => {
      const tab = await browser.open<Functions>(server.url);
      const online = { name: "shop", database: lost, seeds: all.seeds };
      const offline = { name: "shop", database: lost };
      await tab.call("open", online);
      const { id } = await tab.call("status");
      for (const key of keys) await tab.call("put", `${lost}-${key}`, "before");
      const before = (await Promise.all(keys.map((key) => dotsAt(`${lost}-${key}`)))).flat();
      await tab.call("close");
      await tab.call("open", offline);
      const { dot: unsent } = await tab.call("put", `${lost}-unsent`, "unsent");
      await tab.call("close");
      await lose(tab, lost, lost);

      await tab.call("open", online);
      const { id: now, parked } = await tab.call("status");
      assert.equal(now === id, lost === "data");
      // The write that hosts have not acknowledged is lost with the data; without its identity it is the application's to decide.
      assert.equal(parked, lost === "data" ? 0 : 1);
      const written = await Promise.all(keys.map((key) => tab.call("put", `${lost}-${key}`, "after")));
      await tab.call("flush", 60_000);
      const names = [...before, unsent, ...written.map(({ dot }) => dot)];
      assert.equal(new Set(names).size, names.length, names.join());
      for (const [i, key] of keys.entries()) {
        assert.deepEqual((await dotsAt(`${lost}-${key}`)).toSorted(), [before[i]!, written[i]!.dot].toSorted());
        assert.deepEqual((await tab.call("get", `${lost}-${key}`)).values.toSorted(), ["after", "before"]);
      }
      assert.deepEqual(await dotsAt(`${lost}-unsent`), []);
      await tab.call("close");
    });
  }
});

describe("a host in a page", () => {
  for (const lost of ["data", "identity"] as const) {
    test(`that has lost its ${lost} alone fills from the others: no name is used again, nothing acknowledged is lost`, async () => {
      await using all = await pageHosts(2, "ring", temporaryDirectory());
      const { hosts, seeds } = all;
      const opening = { name: "ring", database: `host-${lost}`, role: "host", seeds, capacity: 100 } as const;
      const tab = await browser.open<Functions>(server.url);
      const open = async (): Promise<string> => {
        const opened = await tab.call("open", opening);
        assert.equal(typeof opened, "number", String(opened));
        await hosts.settled();
        return (await tab.call("status")).id;
      };
      const id = await open();
      const before: string[] = [];
      for (const key of keys) before.push((await tab.call("put", key, "before")).dot);
      await tab.call("close");
      const named = await tab.page.evaluate(
        async ({ store, lost }) => {
          const prefix = `everwrite/${store}`;
          const found = (await indexedDB.databases())
            .map(({ name }) => name!)
            .filter((name) => name.startsWith(prefix));
          const own = found.filter((name) => (name === prefix) === (lost === "identity"));
          for (const name of own) {
            await new Promise<void>((resolve, reject) => {
              const deleting = indexedDB.deleteDatabase(name);
              deleting.addEventListener("success", () => resolve());
              deleting.addEventListener("blocked", () => reject(new Error(`${name} is open`)));
            });
          }
          return found.filter((name) => name !== prefix);
        },
        { store: opening.database, lost },
      );
      assert.equal(named.length, 1);

      const now = await open();
      assert.equal(now === id, lost === "data");
      const written: string[] = [];
      for (const key of keys) written.push((await tab.call("put", key, "after")).dot);
      const names = [...before, ...written];
      assert.equal(new Set(names).size, names.length, names.join());
      for (const key of keys) {
        assert.deepEqual((await tab.call("get", key)).values.toSorted(), ["after", "before"]);
        const { values } = await kv(hosts.url(0)).get(`notes/${key}`, "r=2");
        assert.deepEqual(values?.toSorted(), ['"after"', '"before"']);
      }
      // Data of an identity that is gone is kept for a while, and told of.
      const { notices } = (await tab.call("status")).browser!;
      const isTold = notices.some((notice) => notice.includes(named[0]!));
      assert.equal(isTold, lost === "identity", notices.join());
      await tab.call("close");
    });
  }
});
