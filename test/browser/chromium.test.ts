import assert from "node:assert/strict";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { findChromium } from "../support/chromium.ts";
import { launchChromium, type Chromium } from "./chromium.ts";
import type { Functions } from "./pages/greeting.ts";
import { servePage, type PageServer } from "./page-server.ts";

const entry = new URL("./pages/greeting.js", import.meta.url);

describe("a page in Chromium", () => {
  let server: PageServer;
  let browser: Chromium;
  before(async () => {
    server = await servePage(entry, {
      answers: {
        "/upper": (body) => body.toUpperCase(),
        "/broken": () => Promise.reject(new Error("as asked")),
      },
    });
    browser = await launchChromium();
  });
  after(async () => {
    await browser[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  test("has functions that the test calls, and tells what they throw", async () => {
    const tab = await browser.open<Functions>(server.url);
    assert.deepEqual(await tab.call("greet", "you", 16), { text: "hello you", chance: 16 });
    assert.ok((await tab.call("passTime", 20)) >= 19);
    await assert.rejects(tab.call("fail"), /RangeError: as asked/);
    assert.deepEqual(tab.problems, []);
  });

  test("is answered by the test's own server", async () => {
    const tab = await browser.open<Functions>(server.url);
    assert.equal(await tab.call("tell", "/upper", "loud"), "LOUD");
    assert.match(await tab.call("tell", "/broken", ""), /as asked/);
    assert.match(await tab.call("tell", "/none", ""), /nothing at/);
  });

  test("tells its uncaught errors", async () => {
    const tab = await browser.open<Functions>(server.url);
    const told = tab.page.waitForEvent("pageerror");
    await tab.call("failLater");
    await told;
    assert.deepEqual(tab.problems, ["Error: out of hand"]);
  });
});

test("a killed Chromium is gone, and another goes on with its profile", async () => {
  await using server = await servePage(entry);
  const killed = await launchChromium();
  const tab = await killed.open<Functions>(server.url);
  await tab.call("remember", "me");
  await killed.kill();
  assert.throws(() => process.kill(killed.pid, 0), { code: "ESRCH" });
  await using next = await launchChromium({ profile: killed.profile });
  assert.notEqual(next.pid, killed.pid);
  assert.equal(await (await next.open<Functions>(server.url)).call("remembered"), "me");
});

test("Chromium is what CHROME names, else what lies on the PATH; where there is none nothing is found", () => {
  const empty = temporaryDirectory();
  const folder = temporaryDirectory();
  for (const each of [empty, folder]) mkdirSync(each);
  const program = join(folder, "chromium");
  writeFileSync(program, "");
  assert.equal(findChromium({ CHROME: "/opt/chrome", PATH: folder }), "/opt/chrome");
  const before = findChromium({ PATH: `${empty}:${folder}` });
  chmodSync(program, 0o755);
  const found = findChromium({ PATH: `${empty}:${folder}` });
  // Playwright's own, where it is installed, comes first.
  assert.ok(found === program ? before === undefined : found === before);
});
