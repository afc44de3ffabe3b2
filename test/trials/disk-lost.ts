/**
 * One of three hosts loses its disk under load and comes back empty with its identity: how long until it holds all of
 * its partitions again, and what do clients of the others notice meanwhile?
 */
import { eventually } from "../support/eventually.ts";
import { failuresOf, loadAverage, slowerThan } from "../support/figures.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { load, type LoadResult } from "../support/load.ts";
import { loadsUntil } from "../support/loads.ts";
import type { Figure, Trial } from "../tools/trial.ts";

const lost = 2;
const valueBytes = 1_024;
/** Far above the bar: it ends a trial that hangs. */
const limitMs = 600_000;

export const trial: Trial = {
  name: "disk-lost",
  summary: "a host that lost a disk of 100,000 keys of 1 KiB is whole again in 60 s, while clients go on",
  async run(context) {
    const { short, folder, signal } = context;
    await using hosts = await HostProcesses.of(3, folder);
    const keys = short ? 3_000 : 100_000;
    // The host that is lost is no target: what its clients notice is the question of `one-down`.
    const targets = hosts.addresses.filter((_address, i) => i !== lost);
    const base = { protocol: "native", targets, valueBytes, ms: 0 } as const;
    await load({ ...base, operation: "fill", inFlight: 64, keys }, signal);
    const clients = { operation: "mixed", inFlight: 0, perSecond: 250, keys: 1_000, bucket: "front" } as const;
    const front = { ...base, ...clients, ms: short ? 2_000 : 5_000 };
    // So that the keys of the clients are there, and the first measured load is like the others.
    await load({ ...front, ms: 2_000 }, signal);
    const quiet = await loadsUntil(context, front, Promise.resolve(), short ? 1 : 4);

    const heldBefore = (await hosts.status(lost)).keys;
    await hosts.signal(lost, "SIGKILL");
    hosts.wipe(lost);
    const startMs = performance.now();
    hosts.start(lost);
    const whole = wholeAgain(hosts).then(() => performance.now() - startMs);
    const busy = await loadsUntil(context, front, whole, 1);
    const seconds = (await whole) / 1_000;

    const { keys: held, storage } = await hosts.status(lost);
    const figures: Figure[] = [
      { name: "keys that it lost", value: heldBefore, unit: "" },
      { name: "whole again after its start", value: seconds, unit: "s", bar: { atMost: 60 } },
      { name: "keys it holds then, of those that it lost", value: held / heldBefore, unit: "", bar: { atLeast: 1 } },
      { name: "copied", value: held / seconds, unit: "/s" },
      { name: "bytes on its disk", value: storage.bytes / 1e6, unit: "MB" },
      { name: "p99 of clients meanwhile", ...p99Beside(busy, quiet), unit: "ms" },
      { name: "p99.9 of clients meanwhile", value: slowerThan(busy, 0.001), unit: "ms" },
      loadAverage(),
    ];
    return { figures, failures: [...quiet, ...busy].flatMap((result) => failuresOf("clients", result)) };
  },
};

/** It owns what it owned, and is filling none of it. */
async function wholeAgain(hosts: HostProcesses): Promise<void> {
  const isWhole = async (): Promise<boolean> => {
    const status = await hosts.status(lost).catch(() => undefined);
    return status !== undefined && status.ready && status.partitions.owned > 0 && status.partitions.filling === 0;
  };
  await eventually(isWhole, "the host to be whole again", limitMs);
}

function p99Beside(busy: readonly LoadResult[], quiet: readonly LoadResult[]): Pick<Figure, "value" | "reference"> {
  return { value: slowerThan(busy, 0.01), reference: { name: "before", value: slowerThan(quiet, 0.01) } };
}
