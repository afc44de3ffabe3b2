/**
 * A page whose disk is full: Chromium's profile is on a small tmpfs, which a ballast file fills. Demanded of a store: writes
 * are refused as storage-full and go on by themselves when there is room, reads go on as long as Chromium has the database
 * open, and every acknowledged write is there: afterwards, and in the browsers that come after.
 *
 * Large values meet a full disk in files of their own, and nothing else happens. The last byte is another matter: it cuts
 * off a record of LevelDB's log. Chromium 156 then ends the connection; opened again it writes on behind the torn record, and
 * whoever opens that log next takes it for damaged: Chromium deletes the database. That is what plain code over IndexedDB
 * meets, here as the reference.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { launchChromium, type Chromium, type Tab } from "../browser/chromium.ts";
import type { Functions, Keeper } from "../browser/pages/full-disk.ts";
import { servePage } from "../browser/page-server.ts";
import { eventually } from "../support/eventually.ts";
import { SmallDisk } from "../support/small-disk.ts";
import type { Context, Trial } from "../tools/trial.ts";

const diskMebibytes = 200;
const largeBytes = 128 * 1024;
/** Some large values more, and what Chromium writes beside those that do not fit. */
const leftBytes = 3.5 * largeBytes;
/** Of these the last kilobytes take some more, and what Chromium leaves of them for others meanwhile. */
const smallBytes = 2_000;
const triesMax = 1_000;
/** So many are in LevelDB's log, and a full disk that breathes has room for less than it takes to end that. */
const smallRows = 300;
const breathBytes = 300_000;

export const trial: Trial = {
  name: "browser-full-disk",
  summary:
    "a page on a full disk refuses writes as storage-full, goes on when there is room, and loses nothing acknowledged",
  needs: ["chromium", "tmpfs"],
  async run(context) {
    const failures: string[] = [];
    const large = await meetingTheEnd("store", context, largeBytes, failures);
    const small = await meetingTheEnd("store", context, smallBytes, failures);
    const plain = await meetingTheEnd("plain", context, smallBytes, []);
    return {
      figures: [
        { name: "large values acknowledged", value: large.acknowledged, unit: "" },
        { name: "of these lost", value: large.lost, unit: "", bar: { atMost: 0 } },
        { name: "small values acknowledged, the disk full to the last byte", value: small.acknowledged, unit: "" },
        {
          name: "of these lost",
          value: small.lost,
          unit: "",
          bar: { atMost: 0 },
          reference: { name: `plain IndexedDB, of ${plain.acknowledged}`, value: plain.lost },
        },
      ],
      failures,
    };
  },
};

interface Outcome {
  readonly acknowledged: number;
  /** Of these. */
  readonly lost: number;
}

/** What a page has been told that it is kept. */
class Acknowledged {
  readonly #values = new Map<string, string>();
  readonly #valueBytes: number;
  #next = 0;

  constructor(valueBytes: number) {
    this.#valueBytes = valueBytes;
  }

  get count(): number {
    return this.#values.size;
  }

  /** `written`, or what it was refused with. */
  async put(tab: Tab<Functions>): Promise<string> {
    const [key, value] = [`key ${this.#next++}`, randomBytes(this.#valueBytes / 2).toString("hex")];
    const outcome = await tab.call("put", key, value);
    if (outcome === "written") this.#values.set(key, value);
    return outcome;
  }

  async lost(tab: Tab<Functions>): Promise<number> {
    return (await tab.call("lost", [...this.#values.keys()], [...this.#values.values()])).length;
  }
}

/** Fills the disk, twice: makes room again under the running page, and after it was killed. Complains to `failures`. */
async function meetingTheEnd(
  keeper: Keeper,
  { folder, log }: Context,
  valueBytes: number,
  failures: string[],
): Promise<Outcome> {
  const isLarge = valueBytes === largeBytes;
  const title = `${keeper}, values of ${valueBytes} bytes`;
  const expect = (isSo: boolean, text: string): void => void (isSo || failures.push(`${title}: ${text}`));
  const profile = join(folder, `${keeper} ${valueBytes}`);
  using disk = new SmallDisk(join(profile, "Default"), diskMebibytes);
  await using server = await servePage(new URL("../browser/pages/full-disk.js", import.meta.url));
  const acknowledged = new Acknowledged(valueBytes);
  let browser: Chromium | undefined;
  const opened = async (): Promise<Tab<Functions>> => {
    await browser?.[Symbol.asyncDispose]();
    browser = await launchChromium({ profile, arguments: [`--disk-cache-dir=${profile}/cache`] });
    const tab = await browser.open<Functions>(server.url);
    await tab.call("open", keeper);
    return tab;
  };
  const fill = async (tab: Tab<Functions>): Promise<void> => {
    disk.crowd(isLarge ? leftBytes : 0);
    let refusal = "written";
    for (let i = 0; refusal === "written" && i < triesMax; i++) refusal = await acknowledged.put(tab);
    log(`${title}: after ${acknowledged.count} ${refusal}`);
    expect(refusal.startsWith("storage-full: "), `a put on a full disk is ${refusal}`);
    // Others give some room back, and take it again: not enough to open a database, and to end what opening it begins.
    if (isLarge || keeper === "plain") return;
    disk.relieve();
    disk.crowd(breathBytes);
    for (let i = 0; i < 3; i++) {
      refusal = await acknowledged.put(tab);
      expect(refusal.startsWith("storage-full: "), `a put on a disk with hardly any room is ${refusal}`);
    }
  };
  try {
    const first = await opened();
    for (let i = 0; i < (isLarge ? 5 : smallRows); i++) await acknowledged.put(first);
    await fill(first);
    if (isLarge) expect((await acknowledged.lost(first)) === 0, "a read on a full disk is wrong");
    disk.relieve();
    // Plain code learns that its connection was ended, and opens another.
    if (keeper === "plain") await first.call("open", keeper);
    await eventually(async () => (await acknowledged.put(first)) === "written", `${title}: a put when there is room`);
    expect((await acknowledged.lost(first)) === 0, "lost when there is room");

    // The first is what wrote on behind a torn record, the second finds it; and between them the disk is full once more.
    const second = await opened();
    expect((await acknowledged.lost(second)) === 0, "lost at the next start");
    await fill(second);
    await browser!.kill();
    disk.relieve();
    const third = await opened();
    expect((await acknowledged.lost(third)) === 0, "lost after a kill on a full disk");
    await eventually(async () => (await acknowledged.put(third)) === "written", `${title}: a put after the kill`);
    return { acknowledged: acknowledged.count, lost: await acknowledged.lost(await opened()) };
  } finally {
    await browser?.[Symbol.asyncDispose]();
  }
}
