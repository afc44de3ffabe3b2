/**
 * How membership grows with the number of hosts: how fast changes reach all, with gossip and without, and what it costs a
 * host in bytes, memory and processor time. Simulated time and bytes are a function of the code; memory and processor
 * time are of the machine.
 *
 * A thousand hosts run the core's membership in one process, but only long enough for the rest and one change: each looks
 * at all its peers ten times a second, so that a simulated second is several of the machine, and joins and silent machines
 * take many.
 */
import { type Costs, costsOf } from "../scale/costs.ts";
import { type Spread, Study } from "../scale/study.ts";
import type { Bench, Context, Table } from "../tools/trial.ts";

/** The default Q: enough for some 100 hosts; more hosts want a larger one, see the last table. */
const partitions = 1_024;
/** Every host draws a mark so often (PROTOCOL 9): n changes an hour. */
const markIntervalS = 3_600;

type Row = Record<string, string | number>;

export const bench: Bench = {
  name: "scale",
  summary:
    "membership of 10 to 1,000 hosts: time until all know of a change, bytes, memory and processor time of a host",
  async run(context) {
    const sizes = context.short ? [10, 50] : [10, 50, 200, 1_000];
    const spreads: Row[] = [];
    const bytes: Row[] = [];
    for (const hosts of sizes) {
      for (const gossips of [true, false]) {
        if (context.signal.aborted) break;
        const measured = await studied(context, hosts, gossips);
        spreads.push(measured.spread);
        bytes.push(measured.bytes);
      }
    }
    const tables: Table[] = [
      { title: "simulated ms until the last host knows; 5 to 50 ms one way, Q = 1,024, N = 3", rows: spreads },
      { title: "bytes that a host sends; as many arrive", rows: bytes },
      { title: "one host: memory, and what it computes; Q as given", rows: await costRows(context) },
    ];
    return tables;
  },
};

async function studied({ log }: Context, hosts: number, gossips: boolean): Promise<{ spread: Row; bytes: Row }> {
  log(`${hosts} hosts, ${gossips ? "with" : "without"} gossip`);
  const isLarge = hosts >= 1_000;
  const study = await Study.begin({ hosts, partitions, gossips });
  const restBytes = await study.rest(isLarge ? 2_000 : 10_000);
  const change = await study.change();
  const join = isLarge ? undefined : await study.join();
  const silence = isLarge ? undefined : await study.silence();
  const all = (spread: Pick<Spread, "allMs"> | undefined): number | string => (spread ? Math.round(spread.allMs) : "");
  const of = { hosts, gossip: gossips ? "on" : "off" };
  return {
    spread: {
      ...of,
      "a changed record": all(change),
      "a new member's record": all(join?.record),
      "its tokens": all(join?.tokens),
      "a silent machine is avoided": all(silence),
    },
    bytes: {
      ...of,
      "at rest, a second": Math.round(restBytes),
      "for a changed record": Math.round(change.bytesPerHost),
      "for hourly marks, a second": Math.round((change.bytesPerHost * hosts) / markIntervalS),
      "for a join": join ? Math.round(join.tokens.bytesPerHost) : "",
    },
  };
}

async function costRows({ short }: Context): Promise<Row[]> {
  const rows: Row[] = [];
  for (const hosts of short ? [10, 200] : [10, 50, 200, 1_000, 3_000]) {
    // 32 tokens a host keep the balance above 0.97; at most 65,536 can be.
    const balanced = Math.min(65_536, 2 ** Math.ceil(Math.log2(32 * hosts)));
    for (const each of new Set([partitions, Math.max(partitions, balanced)])) {
      if (each < hosts) continue;
      rows.push(costRow(hosts, each, await costsOf({ hosts, partitions: each })));
    }
  }
  return rows;
}

function costRow(hosts: number, q: number, costs: Costs): Row {
  const changesPerSecond = hosts / markIntervalS;
  return {
    hosts,
    Q: q,
    "roster on disk, kB": costs.rosterBytes / 1_000,
    "roster and ring in memory, kB": costs.memoryBytes / 1_000,
    "owners of all partitions, ms": costs.ringMs,
    "plan of a join, ms": costs.planJoinMs,
    "a changed record, ms": costs.changeMs,
    "hourly marks: processor, %": (costs.changeMs * changesPerSecond) / 10,
    "hourly marks: disk, kB/s": (costs.rosterBytes * changesPerSecond) / 1_000,
  };
}
