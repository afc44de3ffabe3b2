/**
 * A browser's profile with one store that writes much and is killed inside an acknowledgement (durability.test.ts says why
 * there), again and again; and what hosts must have of it in the end.
 */
import assert from "node:assert/strict";
import { eventually } from "../support/eventually.ts";
import { keysOf, kv, type KvAnswer } from "../support/http-client.ts";
import { launchChromium, type Chromium, type Tab } from "./chromium.ts";
import type { Functions, Report, Storm } from "./pages/store.ts";
import { servePage, type PageServer } from "./page-server.ts";
import { plant, type PlantedBug } from "./plant.ts";
import { idOf, valueOf } from "./storm-values.ts";
import { recordTransactions } from "./transactions.ts";

const entry = new URL("./pages/store.js", import.meta.url);
const path = "/acknowledged";
export const writes = 500;
/** Of the first writes; those beside which the browser is killed have a key each, so that they wait for flushes together. */
const keys = 50;
const smallBytes = 100;

/** How the writes beside which the browser is killed get to the disk. */
export interface Flushes {
  readonly valueBytes: number;
  readonly plants: readonly PlantedBug[];
}

/** As in any page: in several flushes, of which the kill may find each on its way. */
export const asInLife: Flushes = { valueBytes: 8_000, plants: [] };
const oneFlushBytes = 40_000;
/** So much in one flush that it takes longer than a kill: then what is acknowledged too early is seen to be lost. */
export const allInOne: Flushes = {
  valueBytes: oneFlushBytes,
  plants: [
    {
      name: "all in one flush",
      file: "core/storage/record-store.js",
      find: "flushBytesMax: 1024 * 1024,\n    flushOperationsMax: 256",
      replace: `flushBytesMax: ${writes * oneFlushBytes * 2}, flushOperationsMax: ${writes}`,
    },
  ],
};
/** Against hanging only. */
const flushMs = 120_000;

export interface Round {
  readonly storms: readonly [Storm, Storm];
  /** Of writes that were acknowledged. */
  readonly resolved: readonly string[];
  readonly report: Report;
}

export interface Opened {
  readonly browser: Chromium;
  readonly tab: Tab<Functions>;
}

/** A browser's profile with one store, opened and killed again and again. */
export class Profile implements AsyncDisposable {
  readonly #server: PageServer;
  readonly #seeds: readonly string[];
  readonly #valueBytes: number;
  readonly #told: { report: (report: Report) => void };
  #folder: string | undefined;

  private constructor(
    server: PageServer,
    seeds: readonly string[],
    valueBytes: number,
    told: { report: (report: Report) => void },
  ) {
    this.#server = server;
    this.#seeds = seeds;
    this.#valueBytes = valueBytes;
    this.#told = told;
  }

  static async of(seeds: readonly string[], flushes: Flushes, ...bugs: readonly PlantedBug[]): Promise<Profile> {
    const told = { report: (_report: Report): void => undefined };
    const never = new Promise<string>(() => undefined);
    const answers = { [path]: (body: string) => (told.report(JSON.parse(body) as Report), never) };
    const server = await servePage(entry, { answers, plugins: [...flushes.plants, ...bugs].map(plant) });
    return new Profile(server, seeds, flushes.valueBytes, told);
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
    const second = stormOf(`${name}b`, writes, this.#valueBytes);
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

/**
 * What the hosts have of the last of all rounds there were: each acknowledged write once, the others once or not at all, each
 * whole, and no other key but those of the earlier rounds.
 */
export async function checkHosts(url: string, rounds: readonly Round[]): Promise<void> {
  const { storms, resolved, report } = rounds.at(-1)!;
  const found: string[] = [];
  const keysFound: string[] = [];
  const look = async (key: string, valueBytes: number): Promise<void> => {
    let answer: KvAnswer | undefined;
    // A host that was slow for a moment is left out of the answer, or of all that could: that says nothing of a loss.
    await eventually(async () => {
      answer = await kv(url).get(`notes/${key}`, "r=all");
      return [200, 404].includes(answer.status) && answer.json.degraded !== true;
    }, `all owners of ${key} to answer`);
    const { json } = answer!;
    if (json.siblings !== undefined && json.siblings.length > 0) keysFound.push(key);
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
  const earlier = new Set(rounds.slice(0, -1).flatMap((round) => round.storms.flatMap((storm) => storm.keys)));
  const listed = (await keysOf(url, "notes", "")).filter((key) => !earlier.has(key));
  assert.deepEqual(listed.toSorted(), keysFound.toSorted());
  assert.ok(report.transactions > 0);
  assert.deepEqual(report.bad, []);
}
