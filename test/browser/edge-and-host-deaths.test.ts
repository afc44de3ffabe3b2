/** Browser and host are both killed while the page delivers what it wrote: each acknowledged write reaches the hosts, once. */
import assert from "node:assert/strict";
import { dirname } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { eventually } from "../support/eventually.ts";
import { pageHosts } from "../support/page-hosts.ts";
import { checkHosts, Profile, writes } from "./mortal-profile.ts";

test("a page killed inside an acknowledgement, beside hosts of which one was killed while it took what the page had to deliver, loses nothing", async (t) => {
  await using all = await pageHosts(3, "deaths", dirname(temporaryDirectory()));
  const { hosts, seeds } = all;
  await using profile = await Profile.of(seeds);
  let strikes = 0;
  for (let i = 0; i < 2; i += 1) {
    await hosts.killAll();
    const round = await profile.round(`online${i}`, 200 + 37 * i, async ({ tab }) => {
      const pending = async (): Promise<number> => (await tab.call("status")).pending;
      await hosts.startAll();
      await eventually(async () => (await pending()) < writes, "the delivery to begin");
      await hosts.signal(i, "SIGKILL");
      strikes += Number((await pending()) > 0);
    });
    await hosts.startAll();
    await profile.deliver();
    await checkHosts(hosts.url(i), round);
  }
  t.diagnostic(`${strikes} of 2 hosts were killed in the middle`);
  assert.ok(strikes > 0);
});
