/**
 * Three hosts beside three etcd nodes in one run, by turns, with the same guarantee: an acknowledged put is on the disk
 * of two machines, a get sees every acknowledged put.
 *
 * etcd is not handicapped: its client speaks bare gRPC from the same kind of process as ours, to the leader or to all
 * three, whichever was faster in a trial of its own.
 */
import { EtcdCluster } from "../support/etcd-cluster.ts";
import { failuresOf, loadAverage, median } from "../support/figures.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { load, type LoadResult, type LoadSpec } from "../support/load.ts";
import type { Context, Figure, Trial, TrialResult } from "../tools/trial.ts";

type Verb = "put" | "get";
const verbs: readonly Verb[] = ["put", "get"];
const base = { valueBytes: 200, keys: 10_000, bucket: "bench" };

/** Per verb and store: throughput of each round. */
type Rounds = Record<`${Verb} ${"ours" | "etcd" | "ours at 256"}`, LoadResult[]>;

export const trial: Trial = {
  name: "etcd",
  summary:
    "puts and gets per second of three hosts beside three etcd nodes, 200-byte values, both durable on two disks",
  needs: ["etcd"],
  async run(context) {
    const hosts = await HostProcesses.of(3, context.folder);
    try {
      const etcd = await EtcdCluster.start(context.folder);
      try {
        return await compare(context, hosts, etcd);
      } finally {
        await etcd.stop();
      }
    } finally {
      await hosts.stop();
    }
  },
};

async function compare(context: Context, hosts: HostProcesses, etcd: EtcdCluster): Promise<TrialResult> {
  const { short, signal } = context;
  const ms = short ? 3_000 : 8_000;
  const ours: Partial<LoadSpec> = { protocol: "native", targets: hosts.addresses };
  const theirs: Partial<LoadSpec> = { protocol: "etcd", targets: etcd.endpoints };
  const run = (store: Partial<LoadSpec>, operation: LoadSpec["operation"], inFlight = 64, forMs = ms) =>
    load({ ...base, ...store, operation, inFlight, ms: forMs } as LoadSpec, signal);

  await run(ours, "fill");
  await run(theirs, "fill");
  const best: Record<Verb, Partial<LoadSpec>> = { put: theirs, get: theirs };
  for (const verb of verbs) {
    const leader = { ...theirs, targets: etcd.endpoints.slice(0, 1) };
    const [atLeader, atAll] = [await run(leader, verb, 64, 2_000), await run(theirs, verb, 64, 2_000)];
    if (atLeader.perSecond > atAll.perSecond) best[verb] = leader;
    context.log(`etcd ${verb}: ${atLeader.perSecond}/s at the leader, ${atAll.perSecond}/s at all three`);
  }

  const rounds: Rounds = {
    "put ours": [],
    "put etcd": [],
    "put ours at 256": [],
    "get ours": [],
    "get etcd": [],
    "get ours at 256": [],
  };
  for (let round = 1; round <= (short ? 2 : 5); round++) {
    for (const verb of verbs) {
      rounds[`${verb} ours`].push(await run(ours, verb));
      rounds[`${verb} etcd`].push(await run(best[verb], verb));
      rounds[`${verb} ours at 256`].push(await run(ours, verb, 256));
    }
    const line = Object.entries(rounds).map(([name, results]) => `${name} ${results.at(-1)!.perSecond}/s`);
    context.log(`round ${round}: ${line.join(", ")}`);
  }
  const failures = Object.entries(rounds).flatMap(([name, results]) =>
    results.flatMap((result) => failuresOf(name, result)),
  );
  return { figures: [...verbs.flatMap((verb) => figuresOf(verb, rounds)), loadAverage()], failures };
}

function figuresOf(verb: Verb, rounds: Rounds): Figure[] {
  const ours = rounds[`${verb} ours`];
  const etcd = rounds[`${verb} etcd`];
  const at256 = rounds[`${verb} ours at 256`];
  const of = (results: readonly LoadResult[], value: (result: LoadResult) => number): number =>
    median(results.map(value));
  // Of neighbours in time, so that a machine that slows down slows both.
  const ratio = (above: readonly LoadResult[], below: readonly LoadResult[]): number =>
    median(above.map(({ perSecond }, i) => perSecond / below[i]!.perSecond));
  const beside = (value: (result: LoadResult) => number) => ({ reference: { name: "etcd", value: of(etcd, value) } });
  const perSecond = (result: LoadResult): number => result.perSecond;
  const p99 = (result: LoadResult): number => result.p99Ms;
  const p999 = (result: LoadResult): number => result.p999Ms;
  return [
    { name: `${verb}s, 64 in flight`, value: of(ours, perSecond), unit: "/s", ...beside(perSecond) },
    { name: `${verb} p99, 64 in flight`, value: of(ours, p99), unit: "ms", ...beside(p99) },
    { name: `${verb} p99.9, 64 in flight`, value: of(ours, p999), unit: "ms", ...beside(p999) },
    { name: `${verb}s, times etcd's`, value: ratio(ours, etcd), unit: "x", bar: { atLeast: verb === "put" ? 1 : 2 } },
    { name: `${verb}s, 256 in flight`, value: of(at256, perSecond), unit: "/s" },
    {
      name: `${verb}s at 256 in flight, times our own at 64`,
      value: ratio(at256, ours),
      unit: "x",
      ...(verb === "put" ? { bar: { atLeast: 1.7 } } : {}),
    },
  ];
}
