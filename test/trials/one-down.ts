/**
 * A steady rate of requests while one of three hosts is killed, and later started again: how long do clients notice?
 * A client skips hosts that it lost, as a balancer would; it repeats no request that a host may have begun.
 */
import { failuresAround, loadAverage } from "../support/figures.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { load, type LoadResult, type LoadSpec } from "../support/load.ts";
import type { Figure, Trial } from "../tools/trial.ts";

const base = { operation: "mixed", inFlight: 0, perSecond: 500, valueBytes: 200, keys: 2_000 } as const;

export const trial: Trial = {
  name: "one-down",
  summary: "no error beyond the first second after kill -9 of one of three hosts, at 500 requests a second",
  async run({ short, folder, signal, log }) {
    await using hosts = await HostProcesses.of(3, folder);
    const figures: Figure[] = [];
    const ms = short ? 12_000 : 40_000;
    for (const protocol of ["native", "http"] as const) {
      const targets = protocol === "native" ? hosts.addresses : hosts.urls;
      const spec: LoadSpec = { ...base, protocol, targets, ms };
      const loading = load(spec, signal);
      // A third of the time with all hosts, a third with two, a third while the killed one comes back.
      await pause(ms / 3 + 2_000);
      const killedAtMs = Date.now();
      await hosts.signal(2, "SIGKILL");
      await pause(ms / 3);
      const startedAtMs = Date.now();
      hosts.start(2);
      const result = await loading;
      await hosts.ready(2);
      await hosts.settled();
      figures.push(
        ...figuresOf(protocol, result, { killedAtMs, startedAtMs, log: (line) => log(`${protocol}: ${line}`) }),
      );
    }
    return { figures: [...figures, loadAverage()], failures: [] };
  },
};

function figuresOf(
  protocol: string,
  result: LoadResult,
  at: { readonly killedAtMs: number; readonly startedAtMs: number; readonly log: (line: string) => void },
): Figure[] {
  const { killedAtMs, startedAtMs, log } = at;
  const { early, late } = failuresAround(result, killedAtMs, log);
  const before = result.failures.filter(({ atMs }) => atMs < startedAtMs);
  const last = Math.max(0, ...before.map(({ atMs }) => atMs - killedAtMs));
  return [
    { name: `${protocol}: answered`, value: result.count, unit: "" },
    { name: `${protocol}: errors in the first second after the kill`, value: early, unit: "" },
    { name: `${protocol}: all other errors`, value: late, unit: "", bar: { atMost: 0 } },
    ...(result.passedOn === undefined
      ? []
      : [{ name: `${protocol}: refused by a host that starts, and passed on`, value: result.passedOn, unit: "" }]),
    { name: `${protocol}: last error after the kill`, value: last, unit: "ms" },
    { name: `${protocol}: longest time without an answer`, value: result.gapMs, unit: "ms" },
    { name: `${protocol}: p50`, value: result.p50Ms, unit: "ms" },
    { name: `${protocol}: p99.9`, value: result.p999Ms, unit: "ms" },
    { name: `${protocol}: slowest`, value: result.maxMs, unit: "ms" },
  ];
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
