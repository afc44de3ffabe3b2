/** Two tabs of one store that write under `lww()`, one of them with a wrong clock. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { eventually } from "../support/eventually.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { kv } from "../support/http-client.ts";
import { freePort } from "../support/ports.ts";
import { launchChromium } from "./chromium.ts";
import { servePage } from "./page-server.ts";
import type { Functions } from "./pages/tabs.ts";

const hourMs = 3_600_000;
/** Two writes so far apart that half a round trip on a busy machine does not turn them round. */
const apartMs = 1_000;

test("the last write wins in both tabs though a clock is an hour ahead, and each tab is told once of each that lost", async () => {
  const address = `/ip4/127.0.0.1/tcp/${await freePort()}/ws`;
  await using hosts = new HostProcesses(temporaryDirectory());
  await hosts.add({ flags: ["--p2p", address, "--cluster", "shop"] });
  await using server = await servePage(new URL("./pages/tabs.js", import.meta.url));
  await using browser = await launchChromium();
  const [first, second] = [await browser.open<Functions>(server.url), await browser.open<Functions>(server.url)];
  const options = { name: "shop", seeds: [address] };
  await first.call("openSkewed", hourMs, options);
  await second.call("openSkewed", 0, options);
  assert.ok(await first.call("owns", "shop"));
  await second.call("connected");
  const client = kv(hosts.url(0));
  const lww = { headers: { "Everwrite-Kind": "lww", "Content-Type": "application/json" } };

  await first.call("cut");
  await eventually(async () => !(await second.call("status")).connected, "the tabs to be offline");
  const lost = [await first.call("putSession", "here", "first"), await first.call("putSession", "there", "first")];
  await second.call("putSession", "here", "second");
  await sleep(apartMs);
  assert.equal((await client.put("sessions/there", '"of a host"', lww)).status, 200);
  await first.call("heal");
  await second.call("flush");

  const winners = Object.entries({ here: "second", there: "of a host" });
  const expectRead = async (tabs: readonly (typeof first)[]): Promise<void> => {
    for (const [key, value] of winners) {
      for (const tab of tabs) assert.equal(await tab.call("session", key), value);
      assert.deepEqual(
        (await client.get(`sessions/${key}`)).json.siblings?.map((each) => each.value),
        [`"${value}"`],
      );
    }
  };
  await expectRead([first, second]);
  const tellsOnce = async (tab: typeof first): Promise<void> => {
    await eventually(async () => (await tab.call("discarded")).length >= lost.length, "the lost values to be told");
    assert.deepEqual((await tab.call("discarded")).toSorted(), lost.toSorted());
  };
  for (const tab of [first, second]) await tellsOnce(tab);

  await first.call("close");
  await eventually(() => second.call("owns", "shop"), "the second tab to run the node");
  await second.call("connected");
  await expectRead([second]);
  await tellsOnce(second);
  await second.call("putSession", "there", "after all");
  await second.call("flush");
  assert.deepEqual(
    (await client.get("sessions/there")).json.siblings?.map((each) => each.value),
    ['"after all"'],
  );
});
