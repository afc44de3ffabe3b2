/**
 * One of five hosts is killed at a steady rate of requests, and started again later: how soon do the others route
 * around it, what do clients notice over the whole run, how soon does it serve again, and does anything move for it?
 */
import { failuresAround, loadAverage, slowerThan } from "../support/figures.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { kv } from "../support/http-client.ts";
import { load } from "../support/load.ts";
import { avoidedAfter, pause, SuspicionWatch } from "../support/suspicion.ts";
import type { Figure, Trial } from "../tools/trial.ts";

const hostCount = 5;
const killed = hostCount - 1;
const spec = { protocol: "native", passesOn: true, operation: "mixed", perSecond: 500, valueBytes: 200 } as const;
/** Far above any bar: it ends a trial that hangs. */
const limitMs = 120_000;

export const trial: Trial = {
  name: "one-host-killed",
  summary: "after kill -9 of one of five hosts requests avoid it in 1 s; back, it serves in 5 s; nothing has moved",
  async run({ short, folder, signal, log }) {
    await using hosts = await HostProcesses.of(hostCount, folder);
    const keys = short ? 500 : 20_000;
    await load({ ...spec, targets: hosts.addresses, operation: "fill", inFlight: 64, keys, ms: 0 }, signal);
    await hosts.settled();
    const { id, partitions } = await hosts.status(killed);
    const watch = new SuspicionWatch(hosts, killed, id);
    const watching = watch.run();
    const ms = short ? 12_000 : 60_000;
    let begun = (): void => {};
    const hasBegun = new Promise<void>((resolve) => (begun = resolve));
    const loading = load(
      { ...spec, inFlight: 0, targets: hosts.addresses, keys: Math.min(keys, 2_000), ms },
      signal,
      begun,
    );
    await hasBegun;
    await pause(ms / 4);
    const killedAtMs = Date.now();
    await hosts.signal(killed, "SIGKILL");
    const avoidedMs = await avoidedAfter(hosts, killed, { id, killedAtMs });
    await pause(ms / 4);
    const movedMeanwhile = await filling(hosts);
    const startedAtMs = Date.now();
    hosts.start(killed);
    const servesMs = await servesAfter(hosts, startedAtMs);
    const result = await loading;
    await hosts.settled();
    watch.stop();
    await watching;
    const after = await hosts.status(killed);

    const { early, late } = failuresAround(result, killedAtMs, log);
    const figures: Figure[] = [
      { name: "answered", value: result.count, unit: "", bar: { atLeast: 1 } },
      { name: "all others route around it after", value: avoidedMs, unit: "ms", bar: { atMost: 1_000 } },
      { name: "requests that failed in the first second", value: early, unit: "" },
      { name: "requests that failed otherwise", value: late, unit: "", bar: { atMost: 0 } },
      { name: "requests that a host refused and the next one got", value: result.passedOn ?? 0, unit: "" },
      { name: "p99.9 of the whole run", value: slowerThan([result], 0.001), unit: "ms", bar: { atMost: 300 } },
      { name: "longest time without an answer", value: result.gapMs, unit: "ms" },
      { name: "serves again after its start", value: servesMs, unit: "ms", bar: { atMost: 5_000 } },
      { name: "partitions that others filled for it", value: movedMeanwhile, unit: "", bar: { atMost: 0 } },
      {
        name: "partitions that it owns then, more or less than before",
        value: Math.abs(after.partitions.owned - partitions.owned),
        unit: "",
        bar: { atMost: 0 },
      },
      { name: "changes of the ring", value: watch.rings.size - 1, unit: "", bar: { atMost: 0 } },
      loadAverage(),
    ];
    return { figures, failures: [] };
  },
};

async function filling(hosts: HostProcesses): Promise<number> {
  const others = hosts.urls.flatMap((_url, i) => (hosts.isRunning(i) ? [i] : []));
  const all = await Promise.all(others.map((i) => hosts.status(i)));
  return all.reduce((sum, status) => sum + status.partitions.filling, 0);
}

/** Until a quorum put and a quorum get through it are answered; Infinity: never. */
async function servesAfter(hosts: HostProcesses, startedAtMs: number): Promise<number> {
  const through = kv(hosts.url(killed));
  while (Date.now() - startedAtMs < limitMs) {
    const put = await through.put("back/key", "again").catch(() => undefined);
    const got = put?.status === 200 ? await through.get("back/key").catch(() => undefined) : undefined;
    if (got?.status === 200) return Date.now() - startedAtMs;
    await pause(20);
  }
  return Infinity;
}
