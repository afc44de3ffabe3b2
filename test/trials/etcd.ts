/**
 * Three hosts beside three etcd nodes in one run, by turns, with the same guarantee: an acknowledged put is on the disk
 * of two machines, a get sees every acknowledged put.
 *
 * etcd is measured through two clients, each in a process of its own like ours. The bars go by `etcd3`, the npm package
 * that an application in Node would use and that they were set with, at the leader. It is no dependency of ours: npm
 * installs it while the trial runs, and where npm cannot, nothing is barred. The other client is bare gRPC written by
 * hand, to the leader or to all three, whichever was faster in a trial of its own: what etcd itself can do.
 */
import { join } from "node:path";
import { installEtcd3 } from "../support/etcd3-client.ts";
import { EtcdCluster } from "../support/etcd-cluster.ts";
import { failuresOf, loadAverage, median } from "../support/figures.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { load, type LoadResult, type LoadSpec } from "../support/load.ts";
import type { Context, Figure, Trial, TrialResult } from "../tools/trial.ts";

type Verb = "put" | "get";
const verbs: readonly Verb[] = ["put", "get"];
/** Ours over etcd's through `etcd3`, both with 64 in flight. */
const asked: Readonly<Record<Verb, number>> = { put: 1, get: 2 };
/**
 * This much more with 256 in flight: in times of our own figure with 64, as it was asked, and in times of etcd's. The
 * first is missed by hosts that keep the machine busy with 64 already, so both are printed, and both count.
 */
const askedGrowth = 1.7;

type Client = Omit<LoadSpec, "operation" | "ms">;
/** Who takes turns in a round. `etcd3` is missing where it could not be installed. */
interface Contenders<T> {
  readonly ours: T;
  readonly etcd3?: T;
  readonly oursAt256: T;
  readonly bare: T;
}

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
  const base = { inFlight: 64, valueBytes: 200, keys: 10_000, bucket: "bench" };
  const ours: Client = { ...base, protocol: "native", targets: hosts.addresses };
  const bare: Client = { ...base, protocol: "etcd", targets: etcd.endpoints };
  const bareAtLeader: Client = { ...bare, targets: etcd.endpoints.slice(0, 1) };
  const etcd3Folder = await installed(context);
  const etcd3: Pick<Contenders<Client>, "etcd3"> = etcd3Folder === undefined
    ? {}
    : { etcd3: { ...bareAtLeader, protocol: "etcd3", etcd3Folder } };

  const run = (client: Client, operation: LoadSpec["operation"], ms: number): Promise<LoadResult> =>
    load({ ...client, operation, ms }, context.signal);
  await run(ours, "fill", 0);
  await run(bare, "fill", 0);
  const figures: Figure[] = [];
  const failures: string[] = [];
  for (const verb of verbs) {
    const [leader, all] = [await run(bareAtLeader, verb, 1_500), await run(bare, verb, 1_500)];
    context.log(`etcd ${verb}, bare gRPC: ${leader.perSecond}/s at the leader, ${all.perSecond}/s at all three`);
    const contenders: Contenders<Client> = {
      ours,
      ...etcd3,
      oursAt256: { ...ours, inFlight: 256 },
      bare: leader.perSecond > all.perSecond ? bareAtLeader : bare,
    };
    const results = await takeTurns(contenders, verb, context);
    figures.push(...figuresOf(verb, results));
    for (const [who, each] of Object.entries(results) as [string, LoadResult[]][]) {
      const problems = each.flatMap((result) => failuresOf(`${verb} ${who}`, result));
      // The others' failures are told: they are no failure of this store.
      if (who.startsWith("ours")) failures.push(...problems);
      else for (const problem of problems) context.log(problem);
    }
  }
  return { figures: [...figures, loadAverage()], failures };
}

/** Where `etcd3` now is. */
async function installed({ folder, signal, log }: Context): Promise<string | undefined> {
  const etcd3Folder = join(folder, "etcd3");
  try {
    await installEtcd3(etcd3Folder, signal);
    return etcd3Folder;
  } catch (error: unknown) {
    if (signal.aborted) throw error;
    // Its first line is the command; the second is npm's `code ENOTFOUND` or the like, where npm came to say something.
    const [command, said] = String(error).split("\n");
    log(`no bars, since npm could not install etcd3: ${said || command}`);
    return undefined;
  }
}

/** One result a round for each. Short and many, so that a machine that slows down slows neighbours alike. */
async function takeTurns(
  contenders: Contenders<Client>,
  verb: Verb,
  { short, signal, log }: Context,
): Promise<Contenders<LoadResult[]>> {
  const results: Contenders<LoadResult[]> = {
    ours: [],
    ...(contenders.etcd3 === undefined ? {} : { etcd3: [] }),
    oursAt256: [],
    bare: [],
  };
  const names = Object.keys(results) as (keyof Contenders<unknown>)[];
  for (let round = 1; round <= (short ? 2 : 5); round++) {
    for (const name of names) {
      const spec: LoadSpec = { ...contenders[name]!, operation: verb, ms: short ? 2_000 : 8_000 };
      results[name]!.push(await load(spec, signal));
    }
    const line = names.map((name) => `${name} ${results[name]!.at(-1)!.perSecond}/s`);
    log(`${verb}, round ${round}: ${line.join(", ")}`);
  }
  return results;
}

function figuresOf(verb: Verb, { ours, etcd3, oursAt256, bare }: Contenders<LoadResult[]>): Figure[] {
  const rate = ({ perSecond }: LoadResult): number => perSecond;
  const reference = etcd3 ?? bare;
  const name = etcd3 === undefined ? "etcd, bare gRPC" : "etcd, etcd3";
  const beside = (value: (result: LoadResult) => number, unit: string) => ({
    value: median(ours.map(value)),
    unit,
    reference: { name, value: median(reference.map(value)) },
  });
  // Of neighbours in time, and in no case of the best of one with the worst of another.
  const times = (above: readonly LoadResult[], below: readonly LoadResult[]) => ({
    value: median(above.map(({ perSecond }, i) => perSecond / below[i]!.perSecond)),
    unit: "x",
  });
  const barred: Figure[] =
    etcd3 === undefined
      ? []
      : [
          { name: `${verb}s, times etcd's`, ...times(ours, etcd3), bar: { atLeast: asked[verb] } },
          {
            name: `${verb}s at 256 in flight, times etcd's at 64`,
            ...times(oursAt256, etcd3),
            bar: { atLeast: askedGrowth * asked[verb] },
          },
        ];
  return [
    { name: `${verb}s, 64 in flight`, ...beside(rate, "/s") },
    { name: `${verb} p99, 64 in flight`, ...beside(({ p99Ms }) => p99Ms, "ms") },
    { name: `${verb} p99.9, 64 in flight`, ...beside(({ p999Ms }) => p999Ms, "ms") },
    { name: `${verb}s, 256 in flight`, value: median(oursAt256.map(rate)), unit: "/s" },
    ...barred,
    {
      name: `${verb}s at 256 in flight, times our own at 64`,
      ...times(oursAt256, ours),
      bar: { atLeast: askedGrowth },
    },
    { name: `${verb}s of etcd, bare gRPC, 64 in flight`, value: median(bare.map(rate)), unit: "/s" },
    { name: `${verb}s, times etcd's by bare gRPC`, ...times(ours, bare) },
    { name: `${verb}s at 256 in flight, times etcd's at 64 by bare gRPC`, ...times(oursAt256, bare) },
  ];
}
