/**
 * Three hosts become six and three again, one by one, under load that never stops. What do their clients notice, is anything
 * lost, and how much moves beyond what has to? Clients use each host from when it is ready: those that are measured until it
 * is told to leave, the writers whose every write is accounted for until it is gone.
 */
import { efficiencyOf } from "../../core/placement/efficiency.ts";
import { type CheckedLoadResult, complaintsOf, writeUntil } from "../support/checked-load.ts";
import { ownersOf, rootsOnDisks, unequalKeys } from "../support/convergence.ts";
import { eventually } from "../support/eventually.ts";
import { loadAverage, median, slowerThan } from "../support/figures.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { Ledger } from "../support/ledger.ts";
import { load, type LoadResult, type LoadSpec } from "../support/load.ts";
import { loadsUntil } from "../support/loads.ts";
import { nativeClient, type NativeClient } from "../support/native-client.ts";
import { agreedSince, change, copiesMoved, moved, ringOf } from "../support/ring-changes.ts";
import type { Figure, Trial } from "../tools/trial.ts";

const least = 3;
const most = 6;
const n = 3;
/** 64 in flight: those that are measured, and those of which every acknowledged write is accounted for. */
const measured = 56;
const writers = 8;
/** Far above any bar: it ends a trial that hangs. */
const limitMs = 600_000;

interface Clients {
  /** What a load that begins knows. */
  readonly targets: string[];
  readonly writers: NativeClient;
}

interface Moves {
  /** By change: copies made, in times of what the share of one host makes necessary. */
  readonly shares: number[];
  readonly joinSeconds: number[];
  readonly leaveSeconds: number[];
}

export const trial: Trial = {
  name: "grow-and-shrink",
  summary: "from 3 to 6 hosts and back under load: nothing lost, hardly a request fails, no more moves than must",
  async run(context) {
    const { short, folder, signal, log } = context;
    await using hosts = await HostProcesses.of(least, folder);
    const base = { protocol: "native", targets: [...hosts.addresses], valueBytes: 200 } as const;
    const keys = short ? 3_000 : 200_000;
    const fill: LoadSpec = { ...base, operation: "fill", inFlight: 64, keys, ms: 0 };
    const filled = await load(fill, signal);

    const ledger = new Ledger("ledger");
    const store = await nativeClient(base.targets, { passesOn: true });
    const clients: Clients = { targets: [...base.targets], writers: store };
    const stop = new AbortController();
    const writing = writeUntil(stop.signal, store, { ledger, writers, keys: 500 });
    const ms = short ? 1_500 : 5_000;
    const mixed = { operation: "mixed", inFlight: measured, keys: 2_000, ms, bucket: "front" } as const;
    const front: LoadSpec = { ...base, ...mixed, targets: clients.targets, passesOn: true };
    // So that its keys are there, and the first that counts is like the others.
    const filledFront = await load({ ...fill, bucket: "front", keys: front.keys }, signal);
    await load(front, signal);
    const moves: Moves = { shares: [], joinSeconds: [], leaveSeconds: [] };
    const during = async (work: Promise<void>): Promise<LoadResult[]> => {
      const both = Promise.all([loadsUntil(context, front, work, 1), work]);
      const [results] = await both.catch((error: unknown) => {
        stop.abort(); // or the writers would go on for ever
        throw error;
      });
      log(`copies, in times of the least: ${moves.shares.map((each) => each.toFixed(3)).join(", ")}`);
      return results;
    };
    const undisturbed = (): Promise<LoadResult[]> => loadsUntil(context, front, Promise.resolve(), short ? 1 : 4);
    const quiet = await undisturbed();
    const busy = await during(grow(hosts, moves, clients));
    const grown = efficiencyOf(await ringOf(hosts.url(0)));
    quiet.push(...(await undisturbed()));
    busy.push(...(await during(shrink(hosts, moves, clients))));
    stop.abort();
    const checked = await writing;

    const endedMs = performance.now();
    await agreedSince(hosts, endedMs);
    const complaints = await complaintsOf(ledger, store);
    await store.stop();
    const sample = [...ledger.keys, ...Array.from({ length: short ? 200 : 2_000 }, (_, i) => `bench/user${i}`)];
    const unequal = await unequalKeys(hosts, await ownersOf(hosts, sample));
    const shrunk = efficiencyOf(await ringOf(hosts.url(0)));
    for (const i of hosts.urls.keys()) await hosts.signal(i, "SIGTERM");
    const onDisks = await rootsOnDisks(hosts, n);
    const written = keys + front.keys + ledger.keys.length;

    return {
      figures: [
        ...requestFigures({ quiet, busy, checked, passedOn: store.passedOn }),
        { name: "acknowledged writes that were accounted for", value: ledger.acknowledged, unit: "" },
        { name: "missing, risen or corrupt", value: complaints.length, unit: "", bar: { atMost: 0 } },
        { name: "keys whose owners differ, by local reads", value: unequal.length, unit: "", bar: { atMost: 0 } },
        {
          name: "keys that could not be written before",
          value: filled.errors + filledFront.errors,
          unit: "",
          bar: { atMost: 0 },
        },
        { name: "keys on the disks", value: onDisks.keys, unit: "", bar: { atLeast: written } },
        {
          name: "partitions not on 3 hosts alike, on all disks",
          value: onDisks.complaints.length,
          unit: "",
          bar: { atMost: 0 },
        },
        {
          name: "copies moved by a change, in times of the least, worst",
          value: Math.max(...moves.shares),
          unit: "",
          bar: { atMost: 1.15 },
        },
        { name: "efficiency of 6 hosts, tokens", value: grown.primary, unit: "", bar: { atLeast: 0.97 } },
        { name: "efficiency of 6 hosts, replicas", value: grown.replica, unit: "", bar: { atLeast: 0.95 } },
        { name: "efficiency of 3 hosts again, tokens", value: shrunk.primary, unit: "", bar: { atLeast: 0.97 } },
        { name: "slowest join", value: Math.max(...moves.joinSeconds), unit: "s" },
        { name: "slowest leave", value: Math.max(...moves.leaveSeconds), unit: "s" },
        loadAverage(),
      ],
      failures: [...complaints, ...onDisks.complaints].slice(0, 20),
    };
  },
};

async function grow(hosts: HostProcesses, moves: Moves, { targets, writers }: Clients): Promise<void> {
  while (hosts.size < most) {
    const join = async (): Promise<void> => {
      const address = hosts.address(await hosts.add());
      await writers.meet(address);
      targets.push(address);
    };
    moves.joinSeconds.push(await measure(hosts, moves, join, hosts.size + 1));
  }
}

async function shrink(hosts: HostProcesses, moves: Moves, { targets }: Clients): Promise<void> {
  for (let last = most - 1; last >= least; last--) {
    const leave = async (): Promise<void> => {
      targets.pop();
      await change(hosts.url(last), "leave");
      await eventually(() => !hosts.isRunning(last), "the host to leave and end", limitMs);
    };
    moves.leaveSeconds.push(await measure(hosts, moves, leave, last + 1));
  }
}

/** How long it took, s. `more`: hosts on the larger of the two rings, of which one's share has to move. */
async function measure(hosts: HostProcesses, moves: Moves, run: () => Promise<void>, more: number): Promise<number> {
  const before = await ringOf(hosts.url(0));
  const startMs = performance.now();
  await run();
  await moved(hosts);
  const seconds = (performance.now() - startMs) / 1_000;
  const after = await ringOf(hosts.url(0));
  moves.shares.push(copiesMoved(before, after) / ((after.partitions * n) / more));
  return seconds;
}

function requestFigures(of: {
  readonly quiet: readonly LoadResult[];
  readonly busy: readonly LoadResult[];
  readonly checked: CheckedLoadResult;
  /** Of the requests that were checked. */
  readonly passedOn: number;
}): Figure[] {
  const { quiet, busy, checked } = of;
  const p99 = (results: readonly LoadResult[]): number => slowerThan(results, 0.01);
  const sum = (what: "count" | "errors" | "passedOn"): number =>
    [...quiet, ...busy].reduce((total, result) => total + (result[what] ?? 0), 0);
  const answered = sum("count") + checked.answered;
  const failed = sum("errors") + checked.failed;
  return [
    { name: "requests answered", value: answered, unit: "" },
    {
      name: "requests that failed, of 1,000",
      value: (1_000 * failed) / (answered + failed),
      unit: "",
      bar: { atMost: 1 },
    },
    { name: "requests that a host refused and the next one got", value: sum("passedOn") + of.passedOn, unit: "" },
    { name: "p50 undisturbed", value: median(quiet.map(({ p50Ms }) => p50Ms)), unit: "ms" },
    { name: "p99 undisturbed", value: p99(quiet), unit: "ms" },
    { name: "p99 while partitions move", value: p99(busy), unit: "ms" },
    {
      name: "p99 of the worst seconds, while partitions move",
      value: Math.max(...busy.map(({ p99Ms }) => p99Ms)),
      unit: "ms",
    },
    {
      name: "p99 while partitions move, in times of that",
      value: p99(busy) / p99(quiet),
      unit: "x",
      bar: { atMost: 2 },
    },
  ];
}
