/**
 * Strict puts per second of RecordStore over IndexedDB in a real Chromium, beside a raw strict transaction for each put
 * in the same run, as it is mostly written and committed explicitly; gets; opening a store and reading what it holds.
 */
import { launchChromium } from "../browser/chromium.ts";
import { servePage } from "../browser/page-server.ts";
import type { Functions } from "../browser/pages/storage-speed.ts";
import type { Speed } from "../browser/speed.ts";
import type { Bench, Table } from "../tools/trial.ts";

const rowsRead = 10_000;

export const bench: Bench = {
  name: "indexeddb",
  summary: "strict puts and gets per second of one store in Chromium, beside a raw transaction for each put",
  async run({ short }) {
    const ms = short ? 500 : 2_000;
    const rounds = short ? 1 : 3;
    await using server = await servePage(new URL("../browser/pages/storage-speed.js", import.meta.url));
    await using browser = await launchChromium();
    const tab = await browser.open<Functions>(server.url);
    const subjects: Record<string, (inFlight: number) => Promise<Speed>> = {
      "raw transaction for each put": (inFlight) => tab.call("rawPuts", inFlight, ms, false),
      "the same with commit()": (inFlight) => tab.call("rawPuts", inFlight, ms, true),
      "RecordStore put": (inFlight) => tab.call("storePuts", inFlight, ms),
    };
    const puts: Row[] = [];
    for (const inFlight of [1, 16, 64]) {
      const speeds = Object.entries(subjects).map(([name, run]) => ({ name, run, rounds: [] as Speed[] }));
      // By turns, so that what disturbs one disturbs the others.
      for (let round = 0; round < rounds; round++) {
        for (const each of speeds) each.rounds.push(await each.run(inFlight));
      }
      const raw = median(speeds[0]!.rounds).perSecond;
      for (const each of speeds) {
        const speed = median(each.rounds);
        puts.push({ ...rowOf(each.name, inFlight, speed), ratio: Number((speed.perSecond / raw).toFixed(1)) });
      }
    }
    const gets: Row[] = [];
    for (const inFlight of [1, 16, 64]) {
      gets.push(rowOf("RecordStore get", inFlight, await tab.call("storeGets", inFlight, ms)));
    }
    const { ms: openMs, rows } = await tab.call("openAndRead", rowsRead);
    return [
      { title: "puts, strict", rows: puts },
      { title: "gets", rows: gets },
      { title: "opening a store and reading rows of 200 bytes in order", rows: [{ rows, ms: Math.round(openMs) }] },
    ];
  },
};

type Row = Table["rows"][number];

function rowOf(store: string, inFlight: number, { perSecond, p50Ms, p99Ms }: Speed): Row {
  return { store, "in flight": inFlight, "per second": Math.round(perSecond), "p50 ms": p50Ms, "p99 ms": p99Ms };
}

function median(speeds: readonly Speed[]): Speed {
  return speeds.toSorted((a, b) => a.perSecond - b.perSecond)[Math.floor(speeds.length / 2)]!;
}
