/** A store in a real page: how it opens, what it says of itself, how it goes on offline, after a reload, and among others. */
import assert from "node:assert/strict";
import { dirname } from "node:path";
import { after, before, describe, test } from "node:test";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { eventually } from "../support/eventually.ts";
import { kv } from "../support/http-client.ts";
import { pageHosts, type PageHosts } from "../support/page-hosts.ts";
import { freePort } from "../support/ports.ts";
import { launchChromium, type Chromium, type Tab } from "./chromium.ts";
import type { Functions } from "./pages/store.ts";
import { servePage, type PageServer } from "./page-server.ts";
import { msToJoin } from "./two-writers.ts";

const entry = new URL("./pages/store.js", import.meta.url);
const nobody = async (): Promise<string> => `/ip4/127.0.0.1/tcp/${await freePort()}/ws`;

let server: PageServer;
let browser: Chromium;
before(async () => {
  server = await servePage(entry);
  browser = await launchChromium();
});
after(async () => {
  await browser[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

describe("a store without seeds", () => {
  test("reads and writes at once, loads no network, says that it has no hosts, and is found again", async () => {
    const tab = await browser.open<Functions>(server.url);
    assert.equal(typeof (await tab.call("open", { name: "alone" })), "number");
    const { localOnly, context } = await tab.call("put", "a", "1");
    assert.ok(localOnly);
    await tab.call("put", "a", "2", context);
    assert.deepEqual((await tab.call("get", "a")).values, ["2"]);
    const { loaded, connected, pending, id, browser: page } = await tab.call("status");
    assert.deepEqual([loaded, connected, pending], [true, false, 2]);
    assert.match(page!.notices.join(), /no seeds/);
    assert.match(id, /^12D3Koo/);
    await tab.call("close");
    await tab.page.reload();
    await tab.call("open", { name: "alone" });
    const again = await tab.call("status");
    assert.deepEqual([again.id, again.pending], [id, 2]);
    assert.deepEqual((await tab.call("get", "a")).values, ["2"]);
    const scripts = await tab.call("scripts");
    assert.ok(!scripts.some((url) => /network|identity/.test(url)), scripts.join());
    assert.deepEqual(tab.problems, []);
    await tab.call("close");
  });

  test("has a database for each name", async () => {
    const tab = await browser.open<Functions>(server.url);
    await tab.call("open", { name: "one" });
    await tab.call("put", "a", "1");
    const { id } = await tab.call("status");
    await tab.call("close");
    await tab.call("open", { name: "two" });
    assert.deepEqual((await tab.call("get", "a")).values, []);
    assert.notEqual((await tab.call("status")).id, id);
    await tab.call("close");
  });
});

test("a store whose data is deleted under it refuses every call, and begins anew, as somebody else, when it is opened again", async () => {
  const tab = await browser.open<Functions>(server.url);
  await tab.call("open", { name: "deleted" });
  await tab.call("put", "a", "1");
  const { id } = await tab.call("status");
  await tab.page.evaluate(
    () =>
      new Promise<void>((resolve, reject) => {
        const request = indexedDB.deleteDatabase("everwrite/deleted");
        request.addEventListener("success", () => resolve());
        request.addEventListener("blocked", () => reject(new Error("the store does not let go of it")));
      }),
  );
  await assert.rejects(tab.call("put", "a", "2"), /another tab deletes everwrite\/deleted/);
  await tab.call("close");
  await tab.call("open", { name: "deleted" });
  assert.deepEqual((await tab.call("get", "a")).values, []);
  assert.notEqual((await tab.call("status")).id, id);
  await tab.call("close");
});

test("a host whose opening had a signal runs again after it was frozen, though the signal has aborted since", async () => {
  const tab = await browser.open<Functions>(server.url);
  const host = { name: "signalled", role: "host", found: true, partitions: 16 } as const;
  assert.equal(typeof (await tab.call("openThenAbort", host)), "number");
  await tab.call("put", "a", "1");
  await tab.call("dispatch", "freeze");
  await tab.call("dispatch", "resume");
  assert.deepEqual((await tab.call("get", "a")).values, ["1"]);
  await tab.call("close");
});

describe("how its data is kept", () => {
  const keptIn = async ({ before, grant }: { before?: () => void; grant?: boolean }): Promise<string> => {
    await using other = await launchChromium(before === undefined ? {} : { before });
    const tab = await other.open<Functions>(server.url);
    if (grant) {
      const session = await other.context.newCDPSession(tab.page);
      await session.send("Browser.grantPermissions", { permissions: ["durableStorage"], origin: server.url });
    }
    await tab.call("open", { name: "kept" });
    await tab.call("put", "a", "1");
    assert.deepEqual((await tab.call("get", "a")).values, ["1"]);
    const kept = async (): Promise<string> => (await tab.call("status")).browser!.storage;
    if (grant) await eventually(async () => (await kept()) === "persistent", "the browser's promise to be told");
    return await kept();
  };

  test("is evictable unless the browser grants more, and then persistent", async () => {
    assert.equal(await keptIn({}), "evictable");
    assert.equal(await keptIn({ grant: true }), "persistent");
  });

  test("is memory where the browser has no IndexedDB, or refuses it", async () => {
    const missing = (): void => {
      Object.defineProperty(globalThis, "indexedDB", { value: undefined });
    };
    const refused = (): void => {
      IDBFactory.prototype.open = () => {
        throw new DOMException("access is denied in this context", "SecurityError");
      };
    };
    assert.equal(await keptIn({ before: missing }), "memory");
    assert.equal(await keptIn({ before: refused }), "memory");
  });
});

describe("what cannot be opened is refused", () => {
  const refusals: readonly (readonly [why: string, options: object, refusal: RegExp])[] = [
    ["no name", { name: "" }, /^bad-request: .*name/],
    ["a database without a name", { name: "x", database: "" }, /^bad-request: .*database/],
    ["a role that there is not", { name: "x", role: "server" }, /^bad-request: .*"edge" or "host", not server/],
    ["a host that nobody lets in and that may not found", { name: "x", role: "host" }, /^bad-request: .*seeds.*found/],
    ["a seed that a page cannot reach", { name: "x", seeds: ["/ip4/127.0.0.1/tcp/4001"] }, /^bad-request: .*4001.*wss/],
    ["a seed that is none", { name: "x", seeds: ["wss://host.example"] }, /^bad-request: .*host\.example/],
  ];
  for (const [why, options, refusal] of refusals) {
    test(why, async () => {
      const tab = await browser.open<Functions>(server.url);
      assert.match(String(await tab.call("open", options as { name: string })), refusal);
      assert.deepEqual(tab.problems, []);
    });
  }

  test("the data of the other role", async () => {
    const tab = await browser.open<Functions>(server.url);
    const host = { name: "roles", role: "host", found: true, partitions: 16 } as const;
    for (const [first, second] of [
      [host, { name: "roles" }],
      [{ name: "roles-too" }, { ...host, name: "roles-too" }],
    ] as const) {
      assert.equal(typeof (await tab.call("open", first)), "number");
      await tab.call("put", "a", "1");
      await tab.call("close");
      assert.match(String(await tab.call("open", second)), /^bad-request: .*that of an? (?:edge|host): open it so/);
      assert.equal(typeof (await tab.call("open", first)), "number");
      assert.deepEqual((await tab.call("get", "a")).values, ["1"]);
      await tab.call("close");
    }
    assert.deepEqual(tab.problems, []);
  });

  test("a database that a newer version has made", async () => {
    const tab = await browser.open<Functions>(server.url);
    await tab.page.evaluate(
      () =>
        new Promise<void>((resolve) => {
          const request = indexedDB.open("everwrite/newer", 99);
          request.addEventListener("success", () => {
            request.result.close();
            resolve();
          });
        }),
    );
    assert.match(String(await tab.call("open", { name: "newer" })), /^not-ready: .*VersionError/);
  });

  test("one that does not open in time, and one whose opening is aborted; it is closed when it opens later", async () => {
    const tab = await browser.open<Functions>(server.url);
    // Another tab that does not let go of an older version.
    await tab.page.evaluate(
      () =>
        new Promise<void>((resolve) => {
          const request = indexedDB.open("everwrite/held", 99);
          request.addEventListener("success", () => {
            const deleting = indexedDB.deleteDatabase("everwrite/held");
            Object.assign(globalThis, { release: () => request.result.close() });
            deleting.addEventListener("blocked", () => resolve());
          });
        }),
    );
    assert.match(String(await tab.call("open", { name: "held", timeoutMs: 200 })), /^not-ready: .*200 ms/);
    assert.match(String(await tab.call("openAborted", { name: "held" }, 100)), /^aborted: /);
    await tab.page.evaluate(() => (globalThis as unknown as { release: () => void }).release());
    assert.equal(typeof (await tab.call("open", { name: "held" })), "number");
    await tab.call("close");
  });
});

describe("a store with hosts", () => {
  let all: PageHosts;
  before(async () => {
    all = await pageHosts(3, "shop", dirname(temporaryDirectory()));
  });
  after(() => all.hosts.stop());

  const opened = async (chromium: Chromium, name = "shop"): Promise<Tab<Functions>> => {
    const tab = await chromium.open<Functions>(server.url);
    assert.equal(typeof (await tab.call("open", { name, seeds: all.seeds })), "number");
    return tab;
  };

  test("writes what hosts have, and loads nothing of other roles", async () => {
    const tab = await opened(browser);
    const { dot, localOnly } = await tab.call("put", "plain", "1");
    assert.equal(localOnly, false);
    const { json } = await kv(all.hosts.url(0)).get("notes/plain");
    assert.deepEqual(
      json.siblings?.map((sibling) => sibling.dot),
      [dot],
    );
    const scripts = await tab.call("scripts");
    assert.ok(
      scripts.some((url) => /network/.test(url)),
      scripts.join(),
    );
    assert.ok(!scripts.some((url) => /webrtc|gossip|host|document|yjs/.test(url)), scripts.join());
    assert.deepEqual(tab.problems, []);
    await tab.call("close");
  });

  test("reloaded while no host answers it goes on reading and writing, and tells how many writes wait since when", async () => {
    const seeds = [await nobody()];
    const tab = await browser.open<Functions>(server.url);
    await tab.call("open", { name: "reloaded", seeds });
    const { context } = await tab.call("put", "a", "1");
    const { oldestPendingMs } = await tab.call("status");
    await tab.page.reload();
    await tab.call("open", { name: "reloaded", seeds });
    assert.deepEqual(await tab.call("get", "a").then(({ values, source, pending }) => [values, source, pending]), [
      ["1"],
      "local",
      true,
    ]);
    await tab.call("put", "a", "2", context);
    const status = await tab.call("status");
    assert.deepEqual([status.connected, status.settled, status.pending], [false, false, 2]);
    assert.ok(status.oldestPendingMs! >= oldestPendingMs!);
    await assert.rejects(tab.call("flush", 100), /quorum-not-met|2 of 2 writes still wait/);
    await tab.call("close");
  });

  test("flush resolves when hosts have what was written offline", async () => {
    const tab = await browser.open<Functions>(server.url);
    await tab.call("open", { name: "shop" });
    assert.ok((await tab.call("put", "flushed", "1")).localOnly);
    await tab.call("close");
    await tab.call("open", { name: "shop", seeds: all.seeds });
    await tab.call("flush", 60_000);
    const { pending, oldestPendingMs } = await tab.call("status");
    assert.deepEqual([pending, oldestPendingMs], [0, null]);
    assert.deepEqual((await kv(all.hosts.url(1)).get("notes/flushed")).values, ['"1"']);
    await tab.call("close");
  });

  test("the code of its network is loaded when there is a network", async () => {
    const tab = await browser.open<Functions>(server.url);
    const session = await browser.context.newCDPSession(tab.page);
    await session.send("Network.enable");
    const network = (offline: boolean): Promise<unknown> =>
      session.send("Network.emulateNetworkConditions", {
        offline,
        latency: 0,
        downloadThroughput: -1,
        uploadThroughput: -1,
      });
    // Its identity is made at the first start, which needs that code, too.
    await tab.call("open", { name: "shop", seeds: all.seeds });
    await tab.call("close");
    await tab.page.reload();
    await network(true);
    await tab.call("open", { name: "shop", seeds: all.seeds });
    assert.ok((await tab.call("put", "late", "1")).localOnly);
    assert.match((await tab.call("status")).browser!.notices.join(), /network of this page cannot be opened/);
    await network(false);
    await tab.call("flush", 60_000);
    assert.deepEqual((await tab.call("status")).browser!.notices, []);
    await tab.call("close");
  });

  test("two browsers that wrote one key offline see the same two siblings, and what one makes of them the other sees", async (t) => {
    await using other = await launchChromium();
    const tabs: Tab<Functions>[] = [];
    for (const each of [browser, other]) {
      const tab = await each.open<Functions>(server.url);
      await tab.call("open", { name: "shop" });
      assert.ok((await tab.call("put", "both", `of ${tabs.length}`)).localOnly);
      await tab.call("close");
      tabs.push(tab);
    }
    for (const tab of tabs) await tab.call("open", { name: "shop", seeds: all.seeds });
    const [one, two] = tabs as [Tab<Functions>, Tab<Functions>];
    t.diagnostic(`it was seen after ${await msToJoin([one, two], "both", ["of 0", "of 1"])} ms`);
    for (const tab of tabs) await tab.call("close");
  });

  test("subscriptions miss nothing though one host after the other is killed, also the one they hang on", async () => {
    const tab = await opened(browser);
    await tab.call("connected");
    await tab.call("watch", "seen-");
    await tab.call("subscribe", "seen");
    const { hosts } = all;
    const written: string[] = [];
    let context: string | undefined;
    const write = async (through: number): Promise<void> => {
      const value = `"${written.length}"`;
      await kv(hosts.url(through)).put(`notes/seen-${written.length}`, value);
      const answer = await kv(hosts.url(through)).put("notes/seen", value, { context });
      assert.equal(answer.status, 200);
      ({ context } = answer);
      written.push(`${written.length}`);
    };
    for (let killed = 0; killed < 3; killed += 1) {
      const [through] = [0, 1, 2].filter((i) => i !== killed) as [number];
      for (let i = 0; i < 5; i += 1) await write(through);
      await hosts.signal(killed, "SIGKILL");
      for (let i = 0; i < 10; i += 1) await write(through);
      const told = async (): Promise<ReadonlySet<string>> =>
        new Set((await tab.call("told")).map(({ key, values }) => `${key}=${values.join()}`));
      await eventually(async () => {
        const seen = await told();
        return written.every((n) => seen.has(`seen-${n}=${n}`)) && seen.has(`seen=${written.at(-1)}`);
      }, "every change to be told");
      await hosts.startAll();
    }
    await tab.call("close");
  });
});
