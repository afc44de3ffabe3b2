/**
 * What a store in a page has acknowledged reaches the hosts, each write once, though the browser is killed inside an
 * acknowledgement (durability.test.ts says why there) and hosts while they take what it has to deliver.
 */
import assert from "node:assert/strict";
import { dirname } from "node:path";
import { after, before, describe, test } from "node:test";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/host-processes.ts";
import { kv } from "../support/http-client.ts";
import { pageHosts, type PageHosts } from "../support/page-hosts.ts";
import { launchChromium, type Chromium, type Tab } from "./chromium.ts";
import { earlyAcknowledgements } from "./early-acknowledgements.ts";
import type { Functions, Report, Storm } from "./pages/store.ts";
import { servePage, type PageServer } from "./page-server.ts";
import { plant, type PlantedBug } from "./plant.ts";
import { idOf, valueOf } from "./storm-values.ts";
import { recordTransactions } from "./transactions.ts";

const entry = new URL("./pages/store.js", import.meta.url);
const path = "/acknowledged";
const writes = 500;
/** Of the first writes; those beside which the browser is killed have a key each, so that they wait for one flush together. */
const keys = 50;
/** And so much of them that the flush takes longer than a kill: then what is acknowledged too early is seen to be lost. */
const largeBytes = 40_000;
const smallBytes = 100;
const oneFlush: PlantedBug = {
  name: "all in one flush",
  file: "core/storage/record-store.js",
  find: "flushBytesMax: 1024 * 1024,\n    flushOperationsMax: 256",
  replace: `flushBytesMax: ${writes * largeBytes * 2}, flushOperationsMax: ${writes}`,
};
/** Against hanging only. */
const flushMs = 120_000;

interface Round {
  readonly storms: readonly [Storm, Storm];
  /** Of writes that were acknowledged. */
  readonly resolved: readonly string[];
  readonly report: Report;
}

interface Opened {
  readonly browser: Chromium;
  readonly tab: Tab<Functions>;
}

/** A browser's profile with one store, opened and killed again and again. */
class Profile implements AsyncDisposable {
  readonly #server: PageServer;
  readonly #seeds: readonly string[];
  readonly #told: { report: (report: Report) => void };
  #folder: string | undefined;

  private constructor(server: PageServer, seeds: readonly string[], told: { report: (report: Report) => void }) {
    this.#server = server;
    this.#seeds = seeds;
    this.#told = told;
  }

  static async of(seeds: readonly string[], ...bugs: readonly PlantedBug[]): Promise<Profile> {
    const told = { report: (_report: Report): void => undefined };
    const never = new Promise<string>(() => undefined);
    const answers = { [path]: (body: string) => (told.report(JSON.parse(body) as Report), never) };
    const server = await servePage(entry, { answers, plugins: [oneFlush, ...bugs].map(plant) });
    return new Profile(server, seeds, told);
  }

  async open(): Promise<Opened> {
    const profile = this.#folder === undefined ? {} : { profile: this.#folder };
    const browser = await launchChromium({ before: recordTransactions, ...profile });
    this.#folder = browser.profile;
    const tab = await browser.open<Functions>(this.#server.url);
    assert.equal(typeof (await tab.call("open", { name: "deaths", seeds: this.#seeds })), "number");
    return { browser, tab };
  }

  /** `writes` that are acknowledged; then as many, in one of whose acknowledgements the browser is killed. */
  async round(name: string, reportAt: number, between?: (opened: Opened) => Promise<void>): Promise<Round> {
    const opened = await this.open();
    const { tab, browser } = opened;
    const first = stormOf(`${name}a`, keys, smallBytes);
    const second = stormOf(`${name}b`, writes, largeBytes);
    const early = await tab.call("write", first);
    await between?.(opened);
    let killed: Promise<void> | undefined;
    const reported = new Promise<Report>((resolve) => {
      this.#told.report = (report) => {
        // The signal is sent before this returns: the page is still inside its acknowledgement.
        killed = browser.kill();
        resolve(report);
      };
    });
    try {
      await tab.call("writeUntilKilled", { ...second, reportAt, path });
    } catch (error: unknown) {
      if (killed === undefined) throw error;
    }
    await killed;
    const report = await reported;
    return { storms: [first, second], resolved: [...early, ...report.acknowledged], report };
  }

  /** Which acknowledged writes of the round are not there after the death. */
  async missing({ storms, resolved }: Round): Promise<readonly string[]> {
    const { browser, tab } = await this.open();
    const there = new Set<string>();
    for (const { keys, valueBytes } of storms) {
      const { whole } = await tab.call("known", keys, valueBytes);
      for (const id of whole) there.add(id);
    }
    await browser[Symbol.asyncDispose]();
    return resolved.filter((id) => !there.has(id));
  }

  /** Until hosts have all that is left. */
  async deliver(): Promise<void> {
    const { browser, tab } = await this.open();
    await tab.call("connected");
    await tab.call("flush", flushMs);
    const { pending, parked } = await tab.call("status");
    assert.deepEqual({ pending, parked }, { pending: 0, parked: 0 });
    await browser[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
  }
}

function stormOf(name: string, keys: number, valueBytes: number): Storm {
  const named = (count: number): string[] => Array.from({ length: count }, (_, i) => `${name}${i}`);
  return { ids: named(writes), keys: named(keys), valueBytes };
}

/** What the hosts have of a round: each acknowledged write once, the others once or not at all, each whole, nothing else. */
async function checkHosts(url: string, { storms, resolved, report }: Round): Promise<void> {
  const found: string[] = [];
  const look = async (key: string, valueBytes: number): Promise<void> => {
    const { json } = await kv(url).get(`notes/${key}`, "r=all");
    assert.notEqual(json.degraded, true);
    for (const { value } of json.siblings ?? []) {
      const text = JSON.parse(value) as string;
      assert.ok(text === valueOf(idOf(text), valueBytes), `a value of ${key} is not whole`);
      found.push(idOf(text));
    }
  };
  for (const { keys, valueBytes } of storms) await Promise.all(keys.map((key) => look(key, valueBytes)));
  const there = new Set(found);
  const begun = new Set(storms.flatMap(({ ids }) => ids));
  const wrong = {
    missing: resolved.filter((id) => !there.has(id)),
    twice: found.filter((id, i) => found.indexOf(id) !== i),
    invented: found.filter((id) => !begun.has(id)),
  };
  assert.deepEqual(wrong, { missing: [], twice: [], invented: [] });
  assert.ok(report.transactions > 0);
  assert.deepEqual(report.bad, []);
}

describe("a page that is killed inside an acknowledgement", { timeout: 280_000 }, () => {
  let all: PageHosts;
  before(async () => {
    all = await pageHosts(3, "deaths", dirname(temporaryDirectory()));
  });
  after(() => all.hosts.stop());

  test("offline, five times, brings every acknowledged write to the hosts, once, and nothing else", async () => {
    const { hosts, seeds } = all;
    await using profile = await Profile.of(seeds);
    const signalAll = (signal: "SIGSTOP" | "SIGCONT") => Promise.all([0, 1, 2].map((i) => hosts.signal(i, signal)));
    for (let i = 0; i < 5; i += 1) {
      await signalAll("SIGSTOP");
      const round = await profile.round(`offline${i}`, 60 + 37 * i);
      await signalAll("SIGCONT");
      await profile.deliver();
      await checkHosts(hosts.url(i % 3), round);
    }
  });

  test("beside hosts of which one was killed while it took what the page had to deliver, does so, too", async (t) => {
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

  for (const bug of earlyAcknowledgements) {
    test(`loses writes that were ${bug.name}: this test sees it`, async (t) => {
      // Nobody answers at its address.
      const seeds = [`/ip4/127.0.0.1/tcp/${await freePort()}/ws`];
      await using profile = await Profile.of(seeds, bug);
      let missing: readonly string[] = [];
      let deaths = 0;
      // After three the outbox is full of what was not lost.
      for (; deaths < 3 && missing.length === 0; deaths += 1) {
        missing = await profile.missing(await profile.round(`bug${deaths}`, 60 + 37 * deaths));
      }
      t.diagnostic(`${missing.length} writes were missing after ${deaths} deaths`);
      assert.ok(missing.length > 0, "nothing was missing");
    });
  }
});
