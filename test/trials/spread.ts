/**
 * Thirty hosts on one machine: how soon has each of them seen a change of the membership, with gossip and without?
 */
import type { NodeStatus } from "../../core/api.ts";
import { eventually } from "../support/eventually.ts";
import { loadAverage, median } from "../support/figures.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { getJson } from "../support/http-client.ts";
import { change, moved } from "../support/ring-changes.ts";
import { pause } from "../support/suspicion.ts";
import type { Context, Figure, Trial } from "../tools/trial.ts";

const pollMs = 100;
/** Far above any bar: it ends a trial that hangs. */
const limitMs = 120_000;

export const trial: Trial = {
  name: "spread",
  summary: "a change of the membership is seen by 30 hosts in 2 s with gossip, in 10 s without",
  async run(context) {
    return {
      figures: [
        ...(await spread(context, { gossip: "on", atMost: 2_000 })),
        ...(await spread(context, { gossip: "off", atMost: 10_000 })),
        loadAverage(),
      ],
      failures: [],
    };
  },
};

async function spread(
  { short, folder, log }: Context,
  { gossip, atMost }: { readonly gossip: "on" | "off"; readonly atMost: number },
): Promise<Figure[]> {
  const flags = ["--gossip", gossip, "--partitions", "64"];
  await using hosts = new HostProcesses(`${folder}/gossip-${gossip}`);
  const count = short ? 6 : 30;
  for (let i = 0; i < count; i++) await hosts.add({ flags });
  await moved(hosts);
  await hosts.settled();
  log(`gossip ${gossip}: ${count} hosts are up`);
  const changesMs: number[] = [];
  for (let leaver = count - 1; leaver >= count - (short ? 1 : 5); leaver--) {
    changesMs.push(await seenLeaving(hosts, leaver));
    log(`gossip ${gossip}: seen by all after ${Math.round(changesMs.at(-1)!)} ms`);
    await eventually(() => !hosts.isRunning(leaver), "the host to leave and end", limitMs);
    await moved(hosts);
  }
  return [
    { name: `gossip ${gossip}: hosts`, value: count, unit: "" },
    { name: `gossip ${gossip}: seen by all, median`, value: median(changesMs), unit: "ms" },
    { name: `gossip ${gossip}: seen by all, slowest`, value: Math.max(...changesMs), unit: "ms", bar: { atMost } },
  ];
}

/** From the request to leave, which that host plans and puts on its disk, until each other host tells of it. */
async function seenLeaving(hosts: HostProcesses, leaver: number): Promise<number> {
  const { id } = await hosts.status(leaver);
  const others = hosts.urls.filter((_url, i) => i !== leaver && hosts.isRunning(i));
  const startMs = performance.now();
  await change(hosts.url(leaver), "leave");
  const seesIt = async (url: string): Promise<void> => {
    const hasSeen = async (): Promise<boolean> => {
      const { members } = await getJson<Pick<NodeStatus, "members">>(`${url}/members`);
      return members.some((member) => member.id === id && member.status !== "up");
    };
    for (const endMs = startMs + limitMs; performance.now() < endMs; await pause(pollMs)) if (await hasSeen()) return;
    throw new Error(`${url} has not heard of it in ${limitMs} ms`);
  };
  await Promise.all(others.map(seesIt));
  return performance.now() - startMs;
}
