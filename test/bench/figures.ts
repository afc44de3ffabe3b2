/**
 * Figures 6 and 8 of the paper, for its strategies and for ours: 30 hosts, N = 3. A function of the code: every run gives
 * the same.
 */
import { Chance } from "../sim/chance.ts";
import { figure6, figure8, paperLayout } from "../scale/figures.ts";
import { keyPositions } from "../scale/requests.ts";
import { everwrite, strategy1, strategy3 } from "../scale/strategies.ts";
import { encodeAssignment } from "../../core/membership/assignment-encoding.ts";
import { agreedRoster } from "../scale/cluster-state.ts";
import type { Bench, Table } from "../tools/trial.ts";

/** Of a random token: 128 bits of position, and a host's number. */
const tokenBytes = 18;

export const bench: Bench = {
  name: "figures",
  summary: "the paper's Figures 8 and 6: how evenly strategies of placement share requests, 30 hosts, N = 3",
  async run({ short }) {
    const positions = keyPositions(short ? 20_000 : 200_000);
    const rings = short ? 4 : 20;
    const sizes = short ? [64, 1_024] : [64, 128, 256, 512, 1_024, 2_048, 4_096];
    const tables: Table[] = [];
    for (const [exponent, title] of [
      [0, "uniform keys"],
      [0.5, "Zipf keys, exponent 0.5"],
    ] as const) {
      const rows = [];
      for (const tokens of sizes) {
        const efficiencies = figure8({ tokens, exponent, positions, rings });
        const { assignment } = await agreedRoster({ hosts: paperLayout.hosts, partitions: tokens }, new Chance("size"));
        rows.push({
          "tokens in all": tokens,
          "bytes of strategies 1, 2": tokens * tokenBytes,
          "bytes of ours": encodeAssignment(assignment).length,
          ...efficiencies,
        });
      }
      tables.push({ title: `Figure 8, mean/max load, ${title}`, rows });
    }
    tables.push({
      title: "Figure 6, share of hosts more than 15 % off the mean load, 48 windows",
      rows: figure6Rows(positions),
    });
    return tables;
  },
};

function figure6Rows(positions: Float64Array) {
  const placements = [
    ["ours, Q = 1,024", everwrite(paperLayout, 1_024)],
    ["strategy 3, Q = 1,024", strategy3(paperLayout, 1_024, new Chance("figure 6"))],
    ["strategy 1, T = 34", strategy1(paperLayout, 34, new Chance("figure 6"))],
  ] as const;
  return [0, 0.5, 0.7, 0.8, 0.9].flatMap((exponent) =>
    placements.map(([name, placement]) => {
      const { eighth, full } = figure6(placement, { exponent, positions, requests: 200_000, windows: 48 });
      return { "Zipf exponent": exponent, placement: name, "at 1/8 of the load": eighth, "at full load": full };
    }),
  );
}
