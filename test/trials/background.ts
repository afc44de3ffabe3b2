/**
 * What clients notice of hints and of anti-entropy, of each by itself and of both at once. By turns in one run: a host is
 * resumed when the clients' load begins that missed nothing, that was paused while many keys were written (hints), whose disk
 * lacks them and nobody knows (anti-entropy), or both with half of the keys each: one of the others is owed all of its hints,
 * and holds no round with it until they are gone; the other one does meanwhile. All turns write the same, wait for their disks
 * to rest from that, and in all of them the others take the host in again: they differ by the background work alone. That
 * goes on after the load, which is too short for it; in a last turn of each kind a minute of load has to be enough for some
 * thousands of keys.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { roundsOf } from "../support/convergence.ts";
import { eventually } from "../support/eventually.ts";
import { failuresOf, loadAverage, median, slowerThan } from "../support/figures.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { metric } from "../support/http-client.ts";
import { load, type LoadResult, type LoadSpec } from "../support/load.ts";
import { dropBucket } from "../support/rows.ts";
import type { Context, Figure, Trial } from "../tools/trial.ts";

/** Missed by one of three hosts, so each of them is owed it by one of the others. */
const behind = 2;
/**
 * What was written in one go is sorted for some seconds, into one table after the other: a disk rests that has made none for
 * so long. Else some kinds of turns would have that before the load, and others beside it.
 */
const restMs = { short: 500, full: 3_000 };
/**
 * So long is a host paused at least, whatever is written meanwhile: by then the others have given up its connections, and
 * in each turn they are made anew beside the clients.
 */
const pauseMs = { short: 0, full: 15_000 };
/** Far above any bar: it ends a trial that hangs. */
const limitMs = 300_000;

type Way = "hints" | "anti-entropy";
type Work = "nothing" | Way | "both";

/** What is to be done beside the clients. */
const ways: Readonly<Record<Work, readonly Way[]>> = {
  nothing: [],
  hints: ["hints"],
  "anti-entropy": ["anti-entropy"],
  both: ["hints", "anti-entropy"],
};
/** Of each way, where both are asked for: far more than the digests of rounds that find nothing. */
const movedMbMin = 0.01;

interface Turn {
  readonly result: LoadResult;
  /** Keys that the host lacked when the load began, and when it ended. */
  readonly lacking: readonly [number, number];
  /** MB, there and back, of rounds that had ended: while there was load, and until all was done. */
  readonly moved: Readonly<Record<Way, readonly [number, number]>>;
  /** From the resumption until all was done. */
  readonly seconds: number;
}

interface Turns {
  readonly busy: readonly Turn[];
  readonly nothing: readonly Turn[];
}

interface Size {
  readonly keys: number;
  readonly ms: number;
}

export const trial: Trial = {
  name: "background",
  summary: "p99 of clients while hints, anti-entropy or both run within 1.25 times the p99 without, and they finish",
  async run(context) {
    const { short, folder, log } = context;
    await using hosts = await HostProcesses.of(3, folder);
    const size = short ? { keys: 4_000, ms: 3_000 } : { keys: 50_000, ms: 12_000 };
    await turn(context, hosts, { bucket: "warm-up", work: "hints", size }); // compiles, connects, and writes the clients' keys
    const turns: Record<Work, Turn[]> = { nothing: [], hints: [], "anti-entropy": [], both: [] };
    const kinds = Object.keys(turns) as Work[];
    for (let round = 0; round < (short ? 1 : 4); round++) {
      // Which comes first changes, since a disk gets slower with what was written to it.
      for (const work of [...kinds.slice(round), ...kinds.slice(0, round)]) {
        const each = await turn(context, hosts, { bucket: `${work}${round}`, work, size });
        turns[work].push(each);
        log(`${work}: p99 ${each.result.p99Ms} ms, ${each.lacking.join(" keys, then ")} to be sent`);
      }
    }
    const last = short ? { keys: 500, ms: 6_000 } : { keys: 4_000, ms: 60_000 };
    const all = Object.values(turns).flat();
    const figures: Figure[] = [];
    for (const work of kinds.filter((each) => each !== "nothing")) {
      const end = await turn(context, hosts, { bucket: `last-${work}`, work, size: last });
      all.push(end);
      figures.push(...figuresOf(work, { busy: turns[work], nothing: turns.nothing }, short));
      figures.push(...figuresOfEnd(work, end, { ...last, short }));
    }
    const idle = kinds.some((work) => work !== "nothing" && turns[work].some(({ lacking }) => lacking[0] === 0));
    return {
      figures: [...figures, loadAverage()],
      failures: [
        ...(idle ? ["nothing was owed to the host that was paused"] : []),
        ...all.flatMap(({ result }) => failuresOf("clients", result)),
      ],
    };
  },
};

async function turn(
  context: Context,
  hosts: HostProcesses,
  { bucket, work, size }: { readonly bucket: string; readonly work: Work; readonly size: Size },
): Promise<Turn> {
  const { short, signal } = context;
  const targets = hosts.addresses.filter((_address, i) => i !== behind);
  const base = { protocol: "native", targets, valueBytes: 200 } as const;
  const fill = { ...base, operation: "fill", inFlight: 64, keys: size.keys, bucket, ms: 0 } as const;
  const clients = { operation: "mixed", inFlight: 0, perSecond: 300, keys: 1_000, bucket: "front" } as const;
  const front: LoadSpec = { ...base, ...clients, ms: size.ms };
  const [isHinted, isDropped] = [ways[work].includes("hints"), ways[work].includes("anti-entropy")];
  const missed = isHinted ? size.keys / ways[work].length : 0;
  if (missed < size.keys) await load({ ...fill, keys: size.keys - missed }, signal);
  await disksRest(hosts, context);
  const whole = (await hosts.status(behind)).keys + missed;
  // In each turn: a process that has just begun is slower.
  await hosts.signal(behind, "SIGTERM");
  const dropped = isDropped ? await dropBucket(join(hosts.data(behind), "store"), bucket) : 0;
  hosts.start(behind);
  await hosts.ready(behind);
  await hosts.signal(behind, "SIGSTOP");
  const pausedUntilMs = performance.now() + (short ? pauseMs.short : pauseMs.full);
  // Until then they wait for it instead of keeping hints, and their requests reach it as soon as it goes on.
  await eventually(() => isLeftOut(hosts), "the others to notice the pause");
  // Who takes a write keeps its hint.
  const takers = isDropped ? targets.slice(0, 1) : targets;
  if (isHinted) await load({ ...fill, targets: takers, keys: missed, bucket: `${bucket}-missed` }, signal);
  await sleep(Math.max(0, pausedUntilMs - performance.now()), undefined, { signal });
  await disksRest(hosts, context);

  // A key that is owed may have come by anti-entropy meanwhile.
  const lacking = async (): Promise<number> =>
    isDropped ? Math.max(0, whole - (await hosts.status(behind)).keys) : hintsOf(hosts);
  const bytesBefore = await backgroundBytes(hosts, othersOf(hosts));
  const before = dropped + (await hintsOf(hosts));
  let resumedAtMs = performance.now();
  const result = await load(front, signal, () => {
    resumedAtMs = performance.now();
    void hosts.signal(behind, "SIGCONT");
  });
  const [left, bytes] = [await lacking(), await backgroundBytes(hosts)];
  await eventually(async () => (await lacking()) === 0 && (await hintsOf(hosts)) === 0, "all to be sent", limitMs);
  const seconds = (performance.now() - resumedAtMs) / 1_000;
  const bytesAfter = await backgroundBytes(hosts);
  const movedMb = (way: Way) =>
    [(bytes[way] - bytesBefore[way]) / 1e6, (bytesAfter[way] - bytesBefore[way]) / 1e6] as const;
  const moved = { hints: movedMb("hints"), "anti-entropy": movedMb("anti-entropy") };
  return { result, lacking: [before, left], moved, seconds };
}

async function disksRest(hosts: HostProcesses, { short, signal }: Context): Promise<void> {
  let seen = "";
  const isSorting = async (): Promise<boolean> => {
    const tables = await Promise.all(hosts.urls.map((_url, i) => readdir(join(hosts.data(i), "store"))));
    const before = seen;
    seen = tables.flat().join();
    return seen !== before;
  };
  while (await isSorting()) await sleep(short ? restMs.short : restMs.full, undefined, { signal });
}

async function isLeftOut(hosts: HostProcesses): Promise<boolean> {
  const views = await Promise.all([...hosts.urls.keys()].filter((i) => i !== behind).map((i) => hosts.status(i)));
  return views.every(({ members }) => members.some(({ alive }) => !alive));
}

/** Those that were up all the time. */
function othersOf(hosts: HostProcesses): string[] {
  return hosts.urls.filter((_url, i) => i !== behind);
}

async function hintsOf(hosts: HostProcesses): Promise<number> {
  const hints = await Promise.all(othersOf(hosts).map((url) => metric(url, "everwrite_hints")));
  return hints.reduce((sum, count) => sum + count, 0);
}

/** The host that was behind has counted from 0 since it was started for this turn, and cannot tell while it is paused. */
async function backgroundBytes(hosts: HostProcesses, urls = hosts.urls): Promise<Record<Way, number>> {
  const sum = async (of: (url: string) => Promise<number>): Promise<number> =>
    (await Promise.all(urls.map(of))).reduce((total, bytes) => total + bytes, 0);
  return {
    hints: await sum((url) => metric(url, "everwrite_hints_delivered_bytes_total")),
    "anti-entropy": await sum(async (url) => (await roundsOf(url)).bytes),
  };
}

function figuresOf(work: Work, { busy, nothing }: Turns, short: boolean): Figure[] {
  const without = { name: "without", value: p99Of(nothing) };
  const middle = (of: (turn: Turn) => number): number => median(busy.map(of));
  return [
    { name: `${work}: p99`, value: p99Of(busy), unit: "ms", reference: without },
    { name: `${work}: p99, times without`, value: p99Of(busy) / without.value, unit: "x", bar: { atMost: 1.25 } },
    ...ways[work].flatMap((way): Figure[] => [
      {
        name: `${work}: moved by ${way} during the load of a turn`,
        value: middle(({ moved }) => moved[way][0]),
        unit: "MB",
        ...(work === "both" && !short ? { bar: { atLeast: movedMbMin } } : {}),
      },
      { name: `${work}: moved by ${way} in all`, value: middle(({ moved }) => moved[way][1]), unit: "MB" },
    ]),
    {
      name: `${work}: all done after`,
      value: Math.max(...busy.map(({ seconds }) => seconds)),
      unit: "s",
      bar: { atMost: 60 },
    },
  ];
}

/** A short run is too short for it. */
function figuresOfEnd(
  work: Work,
  { lacking, seconds }: Turn,
  { keys, short }: Size & { readonly short: boolean },
): Figure[] {
  const share = (lacking[0] - lacking[1]) / lacking[0];
  return [
    {
      name: `${work}: share of ${keys} keys that was sent under load`,
      value: share,
      unit: "",
      ...(short ? {} : { bar: { atLeast: 1 } }),
    },
    { name: `${work}: these were done after`, value: seconds, unit: "s" },
  ];
}

/** Of all requests of all turns: 36 of a turn's 3,600 alone lie above its p99, and a single bad moment moves that by half. */
function p99Of(turns: readonly Turn[]): number {
  return slowerThan(
    turns.map(({ result }) => result),
    0.01,
  );
}
