/**
 * Two figures of the paper, as functions of a seed.
 * Figure 8: load balancing efficiency of the strategies, by the size of the membership. Figure 6: how many hosts are out
 * of balance in half-hour windows, at an eighth of the load and at full load.
 */
import { sum } from "../../core/placement/shares.ts";
import { Chance } from "../sim/chance.ts";
import { drawn, efficiency, loadsOf, outOfBalance, popularity } from "./requests.ts";
import { everwrite, type Layout, type Placement, strategy1, strategy2, strategy3 } from "./strategies.ts";

/** As in the paper's Figure 8. */
export const paperLayout: Layout = { hosts: 30, n: 3 };

export interface Figure8Options {
  /** Tokens in all: S * T in strategies 1 and 2, Q in strategy 3 and ours. */
  readonly tokens: number;
  /** Of Zipf; 0 is uniform. */
  readonly exponent: number;
  /** Of all keys that can be; the keys in use are a half of them, for each ring another one. */
  readonly positions: Float64Array;
  /** Draws of chance: of a ring, and of which keys are popular. The mean is told. */
  readonly rings: number;
}

/** Efficiency by strategy. */
export type Figure8 = Record<"strategy1" | "strategy2" | "strategy3" | "everwrite", number>;

export function figure8({ tokens, exponent, positions, rings }: Figure8Options): Figure8 {
  const keys = positions.length / 2;
  const counts = popularity(keys, exponent);
  const chance = new Chance(`figure 8, ${tokens} tokens`);
  const meanOf = (make: (chance: Chance) => Placement): number => {
    const efficiencies = Array.from({ length: rings }, (_, i) => {
      const first = Math.floor((keys * i) / rings);
      const inUse = { positions: positions.subarray(first, first + keys), counts };
      return efficiency(loadsOf(paperLayout, make(chance.fork(String(i))), inUse));
    });
    return sum(efficiencies) / rings;
  };
  const tokensPerHost = Math.round(tokens / paperLayout.hosts);
  const planned = everwrite(paperLayout, tokens);
  return {
    strategy1: meanOf((each) => strategy1(paperLayout, tokensPerHost, each)),
    strategy2: meanOf((each) => strategy2(paperLayout, tokensPerHost, each)),
    strategy3: meanOf((each) => strategy3(paperLayout, tokens, each)),
    everwrite: meanOf(() => planned),
  };
}

export interface Figure6Options {
  readonly exponent: number;
  /** Of all keys that can be. At full load a half of them is in use, at an eighth of it an eighth of that. */
  readonly positions: Float64Array;
  /** In a window at full load. */
  readonly requests: number;
  readonly windows: number;
}

/** Shares of hosts out of balance, mean over the windows. */
export interface Figure6 {
  readonly eighth: number;
  readonly full: number;
}

/** The customers of each window are others, so the popular keys lie elsewhere. */
export function figure6(
  placement: Placement,
  { exponent, positions: all, requests, windows }: Figure6Options,
): Figure6 {
  const at = (load: number): number => {
    const inUse = Math.round((all.length / 2) * load);
    const shares = popularity(inUse, exponent);
    const chance = new Chance(`figure 6, ${load}`);
    const ratios = Array.from({ length: windows }, () => {
      const first = chance.whole(0, all.length - inUse);
      const positions = all.subarray(first, first + inUse);
      const counts = drawn(shares, Math.round(requests * load), chance);
      return outOfBalance(loadsOf(paperLayout, placement, { positions, counts }));
    });
    return sum(ratios) / windows;
  };
  return { eighth: at(1 / 8), full: at(1) };
}
