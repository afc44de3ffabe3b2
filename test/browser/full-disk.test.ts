/**
 * A browser whose disk another program has filled: its profile is on a small tmpfs. Where this process may not mount one the
 * browser's quota stands in for it, which the test says.
 *
 * Chromium keeps some of a disk free, and looks every half minute whether it is. What is filled to the last byte within that
 * time is another matter: then LevelDB below it fails in the middle of a file, and Chromium 156 may take the remains for
 * damaged, and delete them.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { eventually } from "../support/eventually.ts";
import { pageHosts } from "../support/page-hosts.ts";
import { SmallDisk } from "../support/small-disk.ts";
import { launchChromium, type Chromium, type Tab } from "./chromium.ts";
import type { Functions } from "./pages/store.ts";
import { servePage } from "./page-server.ts";

const diskMebibytes = 500;
/** Less than the hundredth that Chromium keeps free of it, and enough for what it writes until it looks. */
const leftBytes = 3.5 * 1024 * 1024;
const looksMs = 90_000;
const quotaBytes = 12e6;
const name = "shop";

type ShopTab = Tab<Functions>;

/** What can get full. */
interface Room {
  readonly profile: string;
  /** How much is written, and how often, until it is found to be full. */
  readonly stepBytes: number;
  readonly stepMs: number;
  fill(browser: Chromium, tab: ShopTab): Promise<void>;
  /** After the browser was killed and launched again. */
  relieve(): void;
}

function diskOf(path: string): SmallDisk | string {
  try {
    return new SmallDisk(path, diskMebibytes);
  } catch (error: unknown) {
    return String(error);
  }
}

function onDisk(disk: SmallDisk): Room {
  return {
    profile: join(disk.path, "profile"),
    stepBytes: 100,
    stepMs: 500,
    fill: async () => disk.crowd(leftBytes),
    relieve: () => disk.relieve(),
  };
}

function underQuota(profile: string, url: string): Room {
  const { origin } = new URL(url);
  return {
    profile,
    stepBytes: 20_000,
    stepMs: 0,
    async fill({ context }, { page }) {
      const session = await context.newCDPSession(page);
      await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: quotaBytes });
    },
    // What was set ends with the browser that is killed.
    relieve: () => {},
  };
}

test("a page whose disk is full refuses writes as storage-full, reads, and writes again when there is room; no acknowledged write is lost", async (t) => {
  await using server = await servePage(new URL("./pages/store.js", import.meta.url));
  await using hosts = await pageHosts(1, name, temporaryDirectory());
  const disk = diskOf(join(temporaryDirectory(), "disk"));
  if (typeof disk === "string") t.diagnostic(`no tmpfs, so the browser's quota is filled instead: ${disk}`);
  using _mounted = typeof disk === "string" ? undefined : disk;
  const room = typeof disk === "string" ? underQuota(temporaryDirectory(), server.url) : onDisk(disk);
  let browser = await launchChromium({ profile: room.profile });
  try {
    const open = async (seeds: readonly string[] = []): Promise<ShopTab> => {
      const tab = await browser.open<Functions>(server.url);
      const opened = await tab.call("open", { name, seeds });
      assert.equal(typeof opened, "number", String(opened));
      return tab;
    };
    const written = new Map<string, string>();
    const write = async (tab: ShopTab, bytes = 100): Promise<string> => {
      const [key, value] = [`k${written.size}`, randomBytes(bytes).toString("base64")];
      const outcome = await tab.call("tryPut", key, value);
      if (outcome === "written") written.set(key, value);
      return outcome;
    };
    const expectAll = async (tab: ShopTab): Promise<void> => {
      for (const [key, value] of written) assert.ok((await tab.call("get", key)).values.includes(value), key);
    };

    const tab = await open();
    for (let i = 0; i < 20; i++) assert.equal(await write(tab, 20_000), "written");
    await room.fill(browser, tab);
    let refusal = "written";
    const isRefused = async (): Promise<boolean> => {
      refusal = await write(tab, room.stepBytes);
      await sleep(room.stepMs);
      return refusal !== "written";
    };
    await eventually(isRefused, "a write to be refused", looksMs);
    assert.match(refusal, /^storage-full: /);
    t.diagnostic(`full after ${written.size} writes: ${refusal}`);
    for (let i = 0; i < 5; i++) assert.match(await write(tab), /^storage-full: /);
    await expectAll(tab);

    await browser.kill();
    browser = await launchChromium({ profile: room.profile });
    const again = await open();
    await expectAll(again);
    if (typeof disk !== "string") assert.match(await write(again), /^storage-full: /);
    room.relieve();
    await eventually(async () => (await write(again)) === "written", "a write to be taken", looksMs);

    await browser.kill();
    browser = await launchChromium({ profile: room.profile });
    const online = await open(hosts.seeds);
    await online.call("flush", 60_000);
    await expectAll(online);
  } finally {
    await browser[Symbol.asyncDispose]();
  }
});
