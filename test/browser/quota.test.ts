/** A store in a page whose origin has no room left, by the browser's own limit. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { kv } from "../support/http-client.ts";
import { pageHosts } from "../support/page-hosts.ts";
import { launchChromium } from "./chromium.ts";
import type { Functions } from "./pages/store.ts";
import { servePage } from "./page-server.ts";

// A full disk is another matter, for Chromium writes on to its last byte: `npm run trials -- browser-full-disk`.
test("a store that has filled its quota offline opens all the same, reads all that was acknowledged, and delivers what waited; when there is room again it writes", async () => {
  await using all = await pageHosts(3, "shop", temporaryDirectory());
  await using server = await servePage(new URL("./pages/store.js", import.meta.url));
  await using browser = await launchChromium();
  const tab = await browser.open<Functions>(server.url);
  const session = await browser.context.newCDPSession(tab.page);
  const { origin } = new URL(server.url);
  await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 12e6 });
  const reopen = async (seeds: readonly string[] = []): Promise<void> => {
    await tab.call("close");
    await tab.page.reload();
    const opened = await tab.call("open", { name: "shop", seeds });
    assert.equal(typeof opened, "number", String(opened));
  };
  // Nothing that gets shorter on the disk.
  const written: string[] = [];
  const fill = async (bytes: number): Promise<void> => {
    for (;;) {
      const value = randomBytes(bytes).toString("base64");
      const refusal = await tab.call("refusal", `filled-${written.length}`, value);
      if (refusal !== undefined) return assert.equal(refusal, "storage-full");
      written.push(value);
    }
  };
  const expectAll = async (read: (key: string) => Promise<readonly string[]>): Promise<void> => {
    const found = await Promise.all(written.map((_, i) => read(`filled-${i}`)));
    const wrong = written.flatMap((value, i) => (found[i]!.join() === value ? [] : [`filled-${i}`]));
    assert.deepEqual(wrong, []);
  };
  const readHere = async (key: string): Promise<readonly string[]> => (await tab.call("get", key)).values;
  const readAtHost = async (key: string): Promise<readonly string[]> => {
    const { values } = await kv(all.hosts.url(1)).get(`notes/${key}`);
    return values.map((value) => JSON.parse(value) as string);
  };

  assert.equal(typeof (await tab.call("open", { name: "shop" })), "number");
  for (const bytes of [30_000, 3_000, 1]) await fill(bytes);
  await expectAll(readHere);
  await reopen();
  await expectAll(readHere);
  assert.equal((await tab.call("status")).pending, written.length);
  // Opening takes some of what was kept for it.
  for (const bytes of [30_000, 3_000, 1]) await fill(bytes);
  await reopen(all.seeds);
  await tab.call("flush", 60_000);
  assert.equal((await tab.call("status")).pending, 0);
  await session.send("Storage.overrideQuotaForOrigin", { origin });
  await expectAll(readAtHost);
  await tab.call("put", "after", "1");
  assert.deepEqual((await tab.call("get", "after")).values, ["1"]);
  await tab.call("close");
});
