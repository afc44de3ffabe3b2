/**
 * Seven clients read, change and write one key as fast as they can, each through a host of its own choice: how many siblings does anybody
 * see? Riak's published test had 21 with plain vector clocks, and 7 with dotted ones.
 */
import { HostProcesses } from "../support/host-processes.ts";
import { kv } from "../support/http-client.ts";
import type { Trial } from "../tools/trial.ts";

const writers = 7;

export const trial: Trial = {
  name: "siblings-bounded",
  summary: "seven concurrent writers that read before they write make at most seven siblings",
  async run({ short, folder, signal }) {
    await using hosts = await HostProcesses.of(3, folder);
    const endMs = performance.now() + (short ? 5_000 : 30_000);
    const siblings: number[] = [];
    let written = 0;
    const write = async (writer: number): Promise<void> => {
      for (let i = 0; performance.now() < endMs && !signal.aborted; i++) {
        const through = kv(hosts.url((writer + i) % hosts.size));
        const { status: read, values, context } = await through.get("siblings/k");
        // Who was told nothing would write without having read.
        if (read !== 200 && read !== 404) continue;
        siblings.push(values.length);
        const { status } = await through.put("siblings/k", `${writer} ${i}`, { context });
        if (status === 200) written += 1;
      }
    };
    await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
    const most = siblings.reduce((a, b) => Math.max(a, b), 0);
    return {
      figures: [
        { name: "writes", value: written, unit: "" },
        { name: "siblings, mean", value: siblings.reduce((a, b) => a + b, 0) / siblings.length, unit: "" },
        { name: "siblings, most", value: most, unit: "", bar: { atMost: writers } },
      ],
      failures: written > 100 ? [] : [`only ${written} writes were acknowledged`],
    };
  },
};
