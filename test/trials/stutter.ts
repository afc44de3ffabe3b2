/**
 * Slow is not dead: one of five hosts is stopped for 300 ms every two seconds while requests go on. How often is it taken
 * for dead, for how long, and does the ring change for it? Then it is killed: how soon do the others route around it?
 */
import { load } from "../support/load.ts";
import { loadAverage } from "../support/figures.ts";
import { HostProcesses } from "../support/host-processes.ts";
import type { Figure, Trial } from "../tools/trial.ts";

const hostCount = 5;
const stopMs = 300;
const periodMs = 2_000;
const pollMs = 100;
/** What a client would notice. */
const longMs = 3_000;
const spec = { protocol: "http", operation: "mixed", inFlight: 0, perSecond: 100, valueBytes: 200, keys: 500 } as const;

export const trial: Trial = {
  name: "stutter",
  summary: "a host that stops for 300 ms every 2 s is not taken for dead; one that is killed is, within a second",
  async run({ short, folder, signal }) {
    await using hosts = await HostProcesses.of(hostCount, folder);
    const ms = short ? 16_000 : 60_000;
    const { id } = await hosts.status(hostCount - 1);
    const watch = new Watch(hosts, id);
    const watching = watch.run();
    const loading = load({ ...spec, targets: hosts.urls.slice(0, -1), ms }, signal);
    for (const endMs = Date.now() + ms; Date.now() < endMs && !signal.aborted;) {
      const pid = hosts.pid(hostCount - 1)!;
      process.kill(pid, "SIGSTOP");
      await pause(stopMs);
      process.kill(pid, "SIGCONT");
      await pause(periodMs - stopMs);
    }
    const result = await loading;
    watch.stop();
    await watching;

    await hosts.settled();
    const killedAtMs = Date.now();
    await hosts.signal(hostCount - 1, "SIGKILL");
    const avoidedMs = await avoidedAfter(hosts, id, killedAtMs);
    const figures: Figure[] = [
      { name: "suspicions", value: watch.suspicionsMs.length, unit: "" },
      {
        name: `suspicions above ${longMs / 1_000} s`,
        value: watch.suspicionsMs.filter((each) => each > longMs).length,
        unit: "",
        bar: { atMost: 2 },
      },
      { name: "longest suspicion", value: Math.max(0, ...watch.suspicionsMs), unit: "ms" },
      { name: "changes of the ring", value: watch.rings.size - 1, unit: "", bar: { atMost: 0 } },
      { name: "requests that failed meanwhile", value: result.errors, unit: "" },
      { name: "until all route around it after kill -9", value: avoidedMs, unit: "ms", bar: { atMost: 1_000 } },
      loadAverage(),
    ];
    return { figures, failures: [] };
  },
};

/** What the other hosts think of one, looked at ten times a second. */
class Watch {
  readonly #hosts: HostProcesses;
  readonly #id: string;
  readonly #since = new Map<number, number>();
  readonly suspicionsMs: number[] = [];
  readonly rings = new Set<string>();
  #stopped = false;

  constructor(hosts: HostProcesses, id: string) {
    this.#hosts = hosts;
    this.#id = id;
  }

  stop(): void {
    this.#stopped = true;
  }

  async run(): Promise<void> {
    while (!this.#stopped) {
      await Promise.all(Array.from({ length: hostCount - 1 }, (_, i) => this.#look(i)));
      await pause(pollMs);
    }
    for (const sinceMs of this.#since.values()) this.suspicionsMs.push(Date.now() - sinceMs);
  }

  async #look(observer: number): Promise<void> {
    const { ring, members } = await this.#hosts.status(observer);
    this.rings.add(ring);
    const isAlive = members.some((member) => member.id === this.#id && member.alive);
    const sinceMs = this.#since.get(observer);
    if (!isAlive && sinceMs === undefined) this.#since.set(observer, Date.now());
    if (!isAlive || sinceMs === undefined) return;
    this.#since.delete(observer);
    this.suspicionsMs.push(Date.now() - sinceMs);
  }
}

async function avoidedAfter(hosts: HostProcesses, id: string, killedAtMs: number): Promise<number> {
  for (;;) {
    const all = await Promise.all(Array.from({ length: hostCount - 1 }, (_, i) => hosts.status(i)));
    if (all.every(({ members }) => members.some((member) => member.id === id && !member.alive))) {
      return Date.now() - killedAtMs;
    }
    if (Date.now() - killedAtMs > 60_000) return Infinity;
    await pause(10);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
