/**
 * Requests for keys of unequal popularity, and how evenly hosts share them. Popularity is spread over the hash space
 * evenly, as the paper assumes (6.2): a key's place is the MD5 of its name, whatever its rank.
 */
import { encodeUtf8 } from "lib0/string";
import { positionOf } from "../../core/bytes/hash.ts";
import { sum } from "../../core/placement/shares.ts";
import type { Chance } from "../sim/chance.ts";
import type { Layout, Placement } from "./strategies.ts";

/** Ring positions of so many keys, in [0, 1). */
export function keyPositions(keys: number): Float64Array {
  return Float64Array.from({ length: keys }, (_, i) => {
    const bytes = positionOf(encodeUtf8(`carts/customer-${i}`));
    return bytes.subarray(0, 6).reduce((position, byte) => position * 256 + byte, 0) / 2 ** 48;
  });
}

/** Zipf: the k-th most popular of `keys` gets a share in proportion to k ** -exponent; 0 is uniform. */
export function popularity(keys: number, exponent: number): Float64Array {
  const weights = Float64Array.from({ length: keys }, (_, i) => (i + 1) ** -exponent);
  const total = weights.reduce((before, weight) => before + weight, 0);
  return weights.map((weight) => weight / total);
}

/** Requests that each host serves: all N hosts of a key serve each request for it. `counts`: by key. */
export function loadsOf(
  { hosts }: Pick<Layout, "hosts">,
  placement: Placement,
  { positions, counts }: { readonly positions: Float64Array; readonly counts: Float64Array },
): Float64Array {
  const loads = new Float64Array(hosts);
  for (const [key, count] of counts.entries()) {
    if (count > 0) for (const host of placement(positions[key]!)) loads[host]! += count;
  }
  return loads;
}

/** How often each key was asked for in so many requests. */
export function drawn(shares: Float64Array, requests: number, chance: Chance): Float64Array {
  const cumulative = new Float64Array(shares.length);
  let total = 0;
  for (const [key, share] of shares.entries()) cumulative[key] = total += share;
  const counts = new Float64Array(shares.length);
  for (let i = 0; i < requests; i++) counts[firstAbove(cumulative, chance.next() * total)]! += 1;
  return counts;
}

/** Load balancing efficiency (paper 6.2): the mean load over that of the hottest host. */
export function efficiency(loads: Float64Array): number {
  return meanOf(loads) / Math.max(...loads);
}

/** Share of the hosts whose load is more than this part of the mean away from it (the paper's "out of balance": 15 %). */
export function outOfBalance(loads: Float64Array, threshold = 0.15): number {
  const mean = meanOf(loads);
  return loads.filter((load) => Math.abs(load / mean - 1) > threshold).length / loads.length;
}

function meanOf(loads: Float64Array): number {
  return sum([...loads]) / loads.length;
}

function firstAbove(ascending: Float64Array, value: number): number {
  let from = 0;
  let to = ascending.length - 1;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (ascending[middle]! <= value) from = middle + 1;
    else to = middle;
  }
  return from;
}
