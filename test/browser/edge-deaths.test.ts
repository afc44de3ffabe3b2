/**
 * What a store in a page has acknowledged offline reaches the hosts, each write once, though the browser is killed inside an
 * acknowledgement.
 */
import assert from "node:assert/strict";
import { dirname } from "node:path";
import { after, before, describe, test, type TestContext } from "node:test";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { pageHosts, type PageHosts } from "../support/page-hosts.ts";
import { freePort } from "../support/ports.ts";
import { earlyAcknowledgements } from "./early-acknowledgements.ts";
import { allInOne, asInLife, checkHosts, Profile, type Round } from "./mortal-profile.ts";
import type { PlantedBug } from "./plant.ts";

describe("a page that is killed inside an acknowledgement", { timeout: 280_000 }, () => {
  let all: PageHosts;
  before(async () => {
    all = await pageHosts(3, "deaths", dirname(temporaryDirectory()));
  });
  after(() => all.hosts.stop());

  test("offline, five times, brings every acknowledged write to the hosts, once, and nothing else", async () => {
    const { hosts, seeds } = all;
    await using profile = await Profile.of(seeds, asInLife);
    const rounds: Round[] = [];
    const signalAll = (signal: "SIGSTOP" | "SIGCONT") => Promise.all([0, 1, 2].map((i) => hosts.signal(i, signal)));
    for (let i = 0; i < 5; i += 1) {
      await signalAll("SIGSTOP");
      rounds.push(await profile.round(`offline${i}`, 60 + 37 * i));
      await signalAll("SIGCONT");
      await profile.deliver();
      await checkHosts(hosts.url(i % 3), rounds);
    }
  });

  /** Which acknowledged writes are missing after a death; of up to three, then the outbox is full of what was not lost. */
  const missing = async (t: TestContext, ...bugs: readonly PlantedBug[]): Promise<readonly string[]> => {
    // Nobody answers at its address.
    const seeds = [`/ip4/127.0.0.1/tcp/${await freePort()}/ws`];
    await using profile = await Profile.of(seeds, allInOne, ...bugs);
    let found: readonly string[] = [];
    let deaths = 0;
    for (; deaths < 3 && found.length === 0; deaths += 1) {
      found = await profile.missing(await profile.round(`death${deaths}`, 60 + 37 * deaths));
    }
    t.diagnostic(`${found.length} writes were missing after ${deaths} deaths`);
    return found;
  };

  test("in one flush of all, as those below, loses nothing", async (t) => {
    assert.deepEqual(await missing(t), []);
  });

  for (const bug of earlyAcknowledgements) {
    test(`loses writes that were ${bug.name}: this test sees it`, async (t) => {
      assert.ok((await missing(t, bug)).length > 0, "nothing was missing");
    });
  }
});
