/** Browser and host are both killed while the page delivers what it wrote: each acknowledged write reaches the hosts, once. */
import assert from "node:assert/strict";
import { dirname } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { eventually } from "../support/eventually.ts";
import { pageHosts } from "../support/page-hosts.ts";
import { asInLife, checkHosts, type Opened, Profile, type Round, writes } from "./mortal-profile.ts";

test("a page killed inside an acknowledgement, beside hosts of which one was killed while it took what the page had to deliver, loses nothing, five times", async (t) => {
  await using all = await pageHosts(3, "deaths", dirname(temporaryDirectory()));
  const { hosts, seeds } = all;
  await using profile = await Profile.of(seeds, asInLife);
  const rounds: Round[] = [];
  for (let i = 0; i < 5; i += 1) {
    const victim = i % 3;
    await hosts.killAll();
    const between = async ({ tab }: Opened): Promise<void> => {
      const pending = async (): Promise<number> => (await tab.call("status")).pending;
      // So that the kill finds it on its way, however fast the machine is.
      await tab.call("slow", 400);
      await hosts.startAll();
      await eventually(async () => (await pending()) < writes, "the delivery to begin");
      await hosts.signal(victim, "SIGKILL");
      const left = await pending();
      t.diagnostic(`killed when ${left} of ${writes} writes were still to be delivered`);
      assert.ok(left > 0);
      await tab.call("slow", 0);
    };
    rounds.push(await profile.round(`online${i}`, 200 + 37 * i, between));
    await hosts.startAll();
    await profile.deliver();
    await checkHosts(hosts.url(victim), rounds);
  }
});
