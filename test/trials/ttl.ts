/**
 * A store of sessions: of so many, a thousand a second expire, and as many begin. Do memory, disk and reaping keep up?
 * What expires reads as absent at once, and is forgotten by all owners a grace period later, in batches by partition.
 */
import { loadAverage } from "../support/figures.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { kv, metric } from "../support/http-client.ts";
import { load, type LoadSpec } from "../support/load.ts";
import type { Figure, Trial } from "../tools/trial.ts";

const perSecond = 1_000;
/** A partition is gone through again after half the grace period (`core/background/reap.ts`). */
const pauseShare = 0.5;
/** While clients write, a step of background work waits for its turn: so many seconds a pass over all partitions may take. */
const passSecondsMax = 10;
const samples = 50;

export const trial: Trial = {
  name: "ttl",
  summary: "1,000,000 sessions of which 1,000 a second expire, and as many begin: memory, disk and reaping keep up",
  async run({ short, folder, signal, log }) {
    const [keys, graceMs, windowMs] = short ? [30_000, 2_000, 8_000] : [1_000_000, 30_000, 60_000];
    await using hosts = await HostProcesses.of(3, folder, { env: { EVERWRITE_GRACE_MS: String(graceMs) } });
    const fill: LoadSpec = {
      protocol: "native",
      targets: hosts.addresses,
      operation: "fill",
      inFlight: 512, // what is waited for is the disk
      valueBytes: 200,
      keys,
      ms: 0,
      bucket: "sessions",
    };
    // The first ends when a slow machine has begun them all.
    const fromMs = Date.now() + keys / 8;
    const begun = await load({ ...fill, sessions: { fromMs, everyMs: 1_000 / perSecond } }, signal);
    log(`${keys} sessions began at ${begun.perSecond} a second`);
    const settledMs = Math.max(Date.now(), fromMs + graceMs * (1 + 2 * pauseShare) + passSecondsMax * 1_000);
    await pause(settledMs - Date.now(), signal);

    const before = await look(hosts);
    const lasting = { fromMs: fromMs + 3_600_000, everyMs: 1_000 / perSecond };
    const count = (windowMs / 1_000) * perSecond;
    const coming = { ...fill, keys: count, perSecond, inFlight: 64, bucket: "later", sessions: lasting };
    const came = await load(coming, signal);
    const after = await look(hosts);
    const failures = await wrongReads(hosts, Math.floor((Date.now() - fromMs) / (1_000 / perSecond)), keys);
    if (begun.errors + came.errors > 0)
      failures.push(`${begun.errors + came.errors} puts failed: ${(begun.failures[0] ?? came.failures[0])?.message}`);

    const seconds = (after.atMs - before.atMs) / 1_000;
    const forgotten = (after.reaped - before.reaped) / hosts.size;
    const dueMs = after.atMs - fromMs - graceMs;
    const lag = Math.min(keys, (dueMs / 1_000) * perSecond) - after.reaped / hosts.size;
    const figures: Figure[] = [
      { name: "sessions begun", value: begun.count, unit: "", bar: { atLeast: keys } },
      { name: "begun", value: begun.perSecond, unit: "/s" },
      { name: "expire and begin", value: perSecond, unit: "/s" },
      { name: "forgotten by each host", value: forgotten / seconds, unit: "/s" },
      {
        name: "seconds' worth that could be forgotten and is still there",
        value: lag / perSecond,
        unit: "s",
        bar: { atMost: (graceMs * pauseShare) / 1_000 + passSecondsMax },
      },
      { name: "put p99 meanwhile", value: came.p99Ms, unit: "ms" },
      { name: "keys of a host, before", value: before.keys, unit: "" },
      { name: "keys of a host, after", value: after.keys, unit: "", bar: { atMost: before.keys * 1.05 + 5_000 } },
      { name: "memory of a host, before", value: before.memory / 1e6, unit: "MB" },
      {
        name: "memory of a host, after",
        value: after.memory / 1e6,
        unit: "MB",
        bar: { atMost: (before.memory * 1.25) / 1e6 + 50 },
      },
      { name: "disk of a host, before", value: before.disk / 1e6, unit: "MB" },
      {
        name: "disk of a host, after",
        value: after.disk / 1e6,
        unit: "MB",
        bar: { atMost: (before.disk * 1.5) / 1e6 + 100 },
      },
      {
        name: "processor time of the hosts together",
        value: (after.cpuSeconds - before.cpuSeconds) / seconds,
        unit: "cores",
      },
      loadAverage(),
    ];
    return { figures, failures };
  },
};

interface Look {
  readonly atMs: number;
  /** Of all hosts together. */
  readonly reaped: number;
  readonly cpuSeconds: number;
  /** Of the host that has most. */
  readonly keys: number;
  readonly memory: number;
  readonly disk: number;
}

async function look(hosts: HostProcesses): Promise<Look> {
  const all = (name: string): Promise<number[]> =>
    Promise.all(hosts.urls.map((url) => metric(url, `everwrite_${name}`)));
  const [reaped, memory, cpu] = await Promise.all([
    all("reaped_total"),
    all("process_resident_memory_bytes"),
    all("process_cpu_seconds_total"),
  ]);
  const statuses = await Promise.all(hosts.urls.map((_url, i) => hosts.status(i)));
  return {
    atMs: Date.now(),
    reaped: sum(reaped),
    cpuSeconds: sum(cpu),
    keys: Math.max(...statuses.map(({ keys }) => keys)),
    memory: Math.max(...memory),
    disk: Math.max(...statuses.map(({ storage }) => storage.bytes)),
  };
}

/** Sessions before number `expired` are over, and those well after it are not. */
async function wrongReads(hosts: HostProcesses, expired: number, keys: number): Promise<string[]> {
  const isThere = async (number: number): Promise<boolean> => {
    const { status } = await kv(hosts.url(number % hosts.size)).get(`sessions/user${number}`);
    return status === 200;
  };
  const wrong: string[] = [];
  for (let i = 0; i < samples; i++) {
    const over = Math.floor((Math.min(expired, keys) * i) / samples);
    if (await isThere(over)) wrong.push(`session ${over} is over, and was read`);
    const lasting = keys - 1 - i;
    if (lasting > expired + 60 * perSecond && !(await isThere(lasting))) wrong.push(`session ${lasting} is gone`);
  }
  return wrong;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, Math.max(0, ms));
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
