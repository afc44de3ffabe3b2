/**
 * Acknowledged writes outlive the browser's death. A kill at any moment would be blind: what acknowledgements a page has
 * told of lags behind the disk. So the page reports them inside an acknowledgement, synchronously, and is killed within it.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { launchChromium } from "./chromium.ts";
import { earlyAcknowledgements } from "./early-acknowledgements.ts";
import type { Functions, Report } from "./pages/storm.ts";
import { servePage } from "./page-server.ts";
import { plant, type PlantedBug } from "./plant.ts";
import { recordTransactions } from "./transactions.ts";

const entry = new URL("./pages/storm.js", import.meta.url);
const path = "/acknowledged";
const inFlight = 256;

interface Loss {
  readonly acknowledged: number;
  /** Acknowledged and not there. */
  readonly missing: readonly string[];
  readonly damaged: readonly string[];
  readonly reports: readonly Report[];
}

/** Up to so many deaths of browsers on one profile, until something is lost. */
async function lossOf(rounds: number, bug?: PlantedBug): Promise<Loss> {
  let reported = (_body: string): void => undefined;
  const never = new Promise<string>(() => undefined);
  const answers = { [path]: (body: string) => (reported(body), never) };
  await using server = await servePage(entry, { answers, plugins: bug === undefined ? [] : [plant(bug)] });
  let acknowledged: readonly string[] = [];
  let total = 0;
  const reports: Report[] = [];
  let profile: string | undefined;
  for (let round = 0; ; round++) {
    const browser = await launchChromium({ before: recordTransactions, ...(profile !== undefined && { profile }) });
    ({ profile } = browser);
    const tab = await browser.open<Functions>(server.url);
    const { whole, damaged } = await tab.call("takeRows");
    const there = new Set(whole);
    const missing = acknowledged.filter((id) => !there.has(id));
    if (missing.length > 0 || damaged.length > 0 || round === rounds) {
      await browser[Symbol.asyncDispose]();
      return { acknowledged: total, missing, damaged, reports };
    }
    let killed: Promise<void> | undefined;
    const report = new Promise<Report>((resolve) => {
      reported = (body) => {
        // The signal is sent before this returns: the page is still inside its acknowledgement.
        killed = browser.kill();
        resolve(JSON.parse(body) as Report);
      };
    });
    const reportAt = 300 + 37 * round;
    await tab.call("write", { round: String(round), inFlight, reportAt, path }).catch((error: unknown) => {
      if (killed === undefined) throw error;
    });
    await killed;
    const told = await report;
    reports.push(told);
    ({ acknowledged } = told);
    total += acknowledged.length;
  }
}

describe("a browser that is killed inside an acknowledgement", { timeout: 240_000 }, () => {
  test("has every acknowledged write when it starts again, and has written strictly", async () => {
    const { acknowledged, missing, damaged, reports } = await lossOf(5);
    assert.deepEqual({ missing, damaged }, { missing: [], damaged: [] });
    assert.equal(reports.length, 5);
    assert.ok(acknowledged > 1_000, `${acknowledged} writes were acknowledged`);
    for (const { transactions, bad } of reports) {
      assert.ok(transactions > 0);
      assert.deepEqual(bad, []);
    }
  });

  for (const bug of earlyAcknowledgements) {
    test(`loses writes that were ${bug.name}: this test sees it`, async () => {
      const { missing } = await lossOf(8, bug);
      assert.ok(missing.length > 0, "nothing was missing");
    });
  }
});
