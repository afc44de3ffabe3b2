/**
 * What clients notice of hints and anti-entropy. By turns in one run: a host is resumed when the clients' load begins
 * which was paused after many keys had been written, so that it missed nothing, or while they were written. Both turns write
 * the same, and in both the others take the host in again: they differ by the background work alone.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { roundsOf } from "../support/convergence.ts";
import { eventually } from "../support/eventually.ts";
import { failuresOf, loadAverage, median, slowerThan } from "../support/figures.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { metric } from "../support/http-client.ts";
import { load, type LoadResult, type LoadSpec } from "../support/load.ts";
import type { Context, Figure, Trial } from "../tools/trial.ts";

/** Missed by one of three hosts, so each of them is owed it by one of the others, as a hint and as a difference. */
const behind = 2;
/** After what was written in one go: the disk sorts it for some seconds, in one kind of turn before the load and in the other beside it. */
const restMs = 5_000;
/** Far above any bar: it ends a trial that hangs. */
const limitMs = 300_000;

interface Turn {
  readonly result: LoadResult;
  /** Hints that the others held when the load began, and when it ended. */
  readonly hints: readonly [number, number];
  /** Of anti-entropy and hints together, both ways, until all was done. */
  readonly bytes: number;
  /** From the resumption to the last hint. */
  readonly seconds: number;
}

export const trial: Trial = {
  name: "background",
  summary: "p99 of clients while hints and anti-entropy run within 1.25 times the p99 without, and they finish",
  async run(context) {
    const { short, folder, log } = context;
    await using hosts = await HostProcesses.of(3, folder);
    await turn(context, hosts, "warm-up", true); // compiles, connects, and writes the clients' keys
    const quiet: Turn[] = [];
    const busy: Turn[] = [];
    for (let pair = 1; pair <= (short ? 1 : 5); pair++) {
      // Which comes first changes, since a disk gets slower with what was written to it.
      for (const isBehind of pair % 2 === 0 ? [true, false] : [false, true]) {
        (isBehind ? busy : quiet).push(await turn(context, hosts, `pair${pair}-${isBehind}`, isBehind));
      }
      log(`pair ${pair}: p99 ${quiet.at(-1)!.result.p99Ms} ms without, ${busy.at(-1)!.result.p99Ms} ms with`);
    }
    return { figures: figuresOf(quiet, busy), failures: failures(quiet, busy) };
  },
};

async function turn(
  { short, signal }: Context,
  hosts: HostProcesses,
  bucket: string,
  isBehind: boolean,
): Promise<Turn> {
  const targets = hosts.addresses.filter((_address, i) => i !== behind);
  const base = { protocol: "native", targets, valueBytes: 200 } as const;
  const fill = { ...base, operation: "fill", inFlight: 64, keys: short ? 4_000 : 50_000, bucket, ms: 0 } as const;
  const front: LoadSpec = {
    ...base,
    operation: "mixed",
    inFlight: 0,
    perSecond: 300,
    keys: 1_000,
    bucket: "front",
    ms: short ? 3_000 : 12_000,
  };
  if (!isBehind) await load(fill, signal);
  await hosts.signal(behind, "SIGSTOP");
  // Until then they wait for it instead of keeping hints, and their requests reach it as soon as it goes on.
  await eventually(() => isLeftOut(hosts), "the others to notice the pause");
  if (isBehind) await load(fill, signal);
  await sleep(restMs, undefined, { signal });
  const bytesBefore = await backgroundBytes(hosts);
  const hintsBefore = await hintsOf(hosts);
  let resumedAtMs = performance.now();
  const result = await load(front, signal, () => {
    resumedAtMs = performance.now();
    void hosts.signal(behind, "SIGCONT");
  });
  const hints = [hintsBefore, await hintsOf(hosts)] as const;
  await eventually(async () => (await hintsOf(hosts)) === 0, "all hints to be delivered", limitMs);
  const seconds = (performance.now() - resumedAtMs) / 1_000;
  return { result, hints, seconds, bytes: (await backgroundBytes(hosts)) - bytesBefore };
}

async function isLeftOut(hosts: HostProcesses): Promise<boolean> {
  const views = await Promise.all([...hosts.urls.keys()].filter((i) => i !== behind).map((i) => hosts.status(i)));
  return views.every(({ members }) => members.some(({ alive }) => !alive));
}

/** Those of the hosts that were up all the time. */
async function hintsOf(hosts: HostProcesses): Promise<number> {
  const others = hosts.urls.filter((_url, i) => i !== behind);
  const hints = await Promise.all(others.map((url) => metric(url, "everwrite_hints")));
  return hints.reduce((sum, count) => sum + count, 0);
}

async function backgroundBytes(hosts: HostProcesses): Promise<number> {
  const others = hosts.urls.filter((_url, i) => i !== behind);
  const each = await Promise.all(
    others.map(
      async (url) => (await roundsOf(url)).bytes + (await metric(url, "everwrite_hints_delivered_bytes_total")),
    ),
  );
  return each.reduce((sum, bytes) => sum + bytes, 0);
}

function figuresOf(quiet: readonly Turn[], busy: readonly Turn[]): Figure[] {
  const without = { name: "without", value: p99Of(quiet) };
  const moved = (turns: readonly Turn[]): number => median(turns.map(({ bytes }) => bytes)) / 1e6;
  const share = median(busy.map(({ hints: [before, after] }) => (before - after) / before));
  return [
    { name: "p99 with background work", value: p99Of(busy), unit: "ms", reference: without },
    { name: "p99 with, times without", value: p99Of(busy) / without.value, unit: "x", bar: { atMost: 1.25 } },
    {
      name: "background bytes of a turn",
      value: moved(busy),
      unit: "MB",
      reference: { ...without, value: moved(quiet) },
    },
    { name: "hints owed when the load began", value: median(busy.map(({ hints }) => hints[0])), unit: "" },
    { name: "share of them delivered under load", value: share, unit: "" },
    {
      name: "all delivered after",
      value: Math.max(...busy.map(({ seconds }) => seconds)),
      unit: "s",
      bar: { atMost: 60 },
    },
    loadAverage(),
  ];
}

/** Of all requests of all turns: 36 of a turn's 3,600 alone lie above its p99, and a single bad moment moves that by half. */
function p99Of(turns: readonly Turn[]): number {
  return slowerThan(
    turns.map(({ result }) => result),
    0.01,
  );
}

function failures(quiet: readonly Turn[], busy: readonly Turn[]): string[] {
  const idle = busy.some(({ hints }) => hints[0] === 0) ? ["nothing was owed to the host that was paused"] : [];
  return [...idle, ...[...quiet, ...busy].flatMap(({ result }) => failuresOf("clients", result))];
}
