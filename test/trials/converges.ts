/**
 * Five hosts under load, of which one is paused, one killed and one loses its disk, all at once. Demanded, without a
 * client read: owners are equal soon after the last one is back, no hint is left, and then nothing moves but digests. Local
 * reads are compared of 2,000 keys while hosts run (each takes requests of its own); all others on the disks, after the end.
 */
import { convergedAfter, type Convergence } from "../support/convergence-watch.ts";
import { ownersOf, rootsOnDisks, roundsOf } from "../support/convergence.ts";
import { loadAverage } from "../support/figures.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { load, type LoadResult, type LoadSpec } from "../support/load.ts";
import type { Context, Figure, Trial } from "../tools/trial.ts";

const n = 3;
/** Who suffers what. The other two see all of it. */
const paused = 1;
const killed = 2;
const wiped = 3;
/** Request and answer of a round that finds nothing: a digest of 8 bytes, and each other's view. */
const idleRoundBytesMax = 100;

export const trial: Trial = {
  name: "converges",
  summary:
    "owners are equal 10 s after a pause, a kill -9 and 60 s after a lost disk, with no client read; then digests",
  async run(context) {
    const { short, folder, signal } = context;
    await using hosts = await HostProcesses.of(5, folder);
    const fill: LoadSpec = {
      protocol: "native",
      targets: hosts.addresses,
      operation: "fill",
      inFlight: 64,
      valueBytes: 200,
      keys: short ? 5_000 : 100_000,
      ms: 0,
    };
    const { errors } = await load(fill, signal);
    // Those that the load writes, which are the first, and as many of which only the disk that is lost must be told.
    const watched = Array.from({ length: short ? 400 : 2_000 }, (_, i) => `bench/user${i}`);
    const owners = await ownersOf(hosts, watched);
    const { result, wipedAtMs } = await suffer(context, hosts, { ...fill, keys: watched.length / 2 });
    const healedAtMs = performance.now();
    const convergence = await convergedAfter(hosts, owners, wiped);
    const idle = await idleTraffic(hosts, short ? 3_000 : 15_000);

    for (const i of hosts.urls.keys()) await hosts.signal(i, "SIGTERM");
    const { complaints, keys } = await rootsOnDisks(hosts, n);
    return {
      figures: [
        ...figuresOf(result, convergence, { healedAtMs, wipedAtMs }),
        ...idle,
        { name: "keys that could not be written before", value: errors, unit: "", bar: { atMost: 0 } },
        { name: "keys on the disks", value: keys, unit: "", bar: { atLeast: fill.keys } },
        { name: "partitions whose roots differ, on the disks", value: complaints.length, unit: "", bar: { atMost: 0 } },
        loadAverage(),
      ],
      failures: complaints.slice(0, 5),
    };
  },
};

/** The faults overlap. Resolves when all are healed and the load has ended, so that nothing is written any more. */
async function suffer(
  { short, signal, log }: Context,
  hosts: HostProcesses,
  spec: LoadSpec,
): Promise<{ readonly result: LoadResult; readonly wipedAtMs: number }> {
  const pauseMs = short ? 4_000 : 30_000;
  let begun = (): void => {};
  const hasBegun = new Promise<void>((resolve) => (begun = resolve));
  // The clients leave the paused host alone: each request to it would only wait for its time-out.
  const targets = hosts.addresses.filter((_address, i) => i !== paused);
  const writing = load({ ...spec, targets, operation: "put", perSecond: 300, ms: pauseMs }, signal, begun);
  await hasBegun;
  await hosts.signal(paused, "SIGSTOP");
  await sleep(pauseMs / 6);
  await hosts.signal(killed, "SIGKILL");
  await sleep(pauseMs / 3);
  hosts.start(killed);
  await hosts.signal(wiped, "SIGKILL");
  hosts.wipe(wiped);
  hosts.start(wiped);
  const wipedAtMs = performance.now();
  const result = await writing;
  await hosts.signal(paused, "SIGCONT");
  await Promise.all([hosts.ready(killed), hosts.ready(wiped)]);
  log(`healed: ${result.count} writes acknowledged meanwhile, ${result.errors} failed`);
  return { result, wipedAtMs };
}

function figuresOf(
  result: LoadResult,
  { equalAtMs, allEqualAtMs, hintsGoneAtMs, rootsAgreeAtMs, lastDifferenceAtMs }: Convergence,
  { healedAtMs, wipedAtMs }: { readonly healedAtMs: number; readonly wipedAtMs: number },
): Figure[] {
  const since = (fromMs: number, atMs: number): number => Math.max(0, atMs - fromMs) / 1_000;
  return [
    { name: "writes acknowledged during the faults", value: result.count, unit: "", bar: { atLeast: 1 } },
    { name: "writes that failed during the faults", value: result.errors, unit: "" },
    { name: "owners equal after the heal", value: since(healedAtMs, equalAtMs), unit: "s", bar: { atMost: 10 } },
    { name: "no hint left after the heal", value: since(healedAtMs, hintsGoneAtMs), unit: "s", bar: { atMost: 10 } },
    { name: "lost disk: owners equal after it", value: since(wipedAtMs, allEqualAtMs), unit: "s", bar: { atMost: 60 } },
    { name: "roots agree after the heal", value: since(healedAtMs, rootsAgreeAtMs), unit: "s", bar: { atMost: 10 } },
    {
      name: "lost disk: roots agree after it",
      value: since(wipedAtMs, lastDifferenceAtMs),
      unit: "s",
      bar: { atMost: 60 },
    },
  ];
}

/** Of all hosts together, once they are equal. */
async function idleTraffic(hosts: HostProcesses, ms: number): Promise<Figure[]> {
  const all = () => Promise.all(hosts.urls.map(roundsOf));
  const before = await all();
  await sleep(ms);
  const after = await all();
  const sum = (of: keyof (typeof before)[number]): number =>
    after.reduce((total, each, i) => total + each[of] - before[i]![of], 0);
  const rounds = sum("idle") + sum("withDifferences");
  return [
    { name: "idle: rounds", value: rounds, unit: "", bar: { atLeast: 1 } },
    { name: "idle: rounds that found a difference", value: sum("withDifferences"), unit: "", bar: { atMost: 0 } },
    { name: "idle: keys moved", value: sum("keys"), unit: "", bar: { atMost: 0 } },
    { name: "idle: bytes a round", value: sum("bytes") / rounds, unit: "bytes", bar: { atMost: idleRoundBytesMax } },
  ];
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
