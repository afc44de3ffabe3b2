/**
 * How many tokens each host should have.
 * Invariant: shares sum to 1 and quotas to Q; by capacity, as far as the rules of the ring let load follow capacity.
 */
import type { PlacedMember } from "../membership/member.ts";
import { domainsOf } from "./domains.ts";

/** Hosts that together have between `min` and `max` of all tokens. */
interface Bound {
  readonly hosts: readonly number[];
  readonly min: number;
  readonly max: number;
}

/** Enough for a share to settle within a thousandth; each round costs four visits of each host. */
const roundsMax = 64;

/**
 * Share of the tokens per host: by capacity, within the bounds that the ring sets (a host is an owner once per partition, a zone
 * first once). Found by iterative proportional fitting: scale what is out of bounds, make the whole 1 again, repeat.
 */
export function fairShares(hosts: readonly PlacedMember[], n: number): number[] {
  let shares = normalised(hosts.map((host) => host.capacity));
  // With N hosts or fewer each owns everything, whoever has the tokens.
  if (hosts.length <= n) return shares;
  const bounds = boundsOf(hosts, n);
  for (let round = 0; round < roundsMax; round += 1) {
    let settled = true;
    for (const { hosts: bounded, min, max } of bounds) {
      const sum = bounded.reduce((total, host) => total + shares[host]!, 0);
      const factor = Math.min(Math.max(sum, min), max) / sum;
      if (Math.abs(factor - 1) < 1e-4) continue;
      settled = false;
      for (const host of bounded) shares[host]! *= factor;
    }
    if (settled) break;
    shares = normalised(shares);
  }
  return shares;
}

function boundsOf(hosts: readonly PlacedMember[], n: number): Bound[] {
  const { group, groups, zone, zones, isNode } = domainsOf(hosts);
  const each = hosts.map((_, host) => host);
  const nodes = each.filter((host) => isNode[host]);
  return [
    ...(nodes.length > 0 ? [{ hosts: nodes, min: 1 / n, max: 1 }] : []),
    ...boundsOfClasses(zone, zones, n),
    ...boundsOfClasses(group, groups, n),
    ...boundsOfClasses(each, hosts.length, n),
  ];
}

/** Owners are spread over classes first: each of k > N classes holds at most one of N owners, each of k <= N at least one. */
function boundsOfClasses(classOf: readonly number[], k: number, n: number): Bound[] {
  const members: number[][] = Array.from({ length: k }, () => []);
  for (const [host, index] of classOf.entries()) members[index]!.push(host);
  const min = k <= n ? 1 / n : 0;
  return members.map((bounded) => ({
    hosts: bounded,
    min,
    max: Math.min((n - Math.min(k, n) + 1) / n, bounded.length / n),
  }));
}

/**
 * Whole tokens per host, at least one each while there are enough. `held` settles ties: who has more keeps more, so that
 * nothing moves for a rounding.
 */
export function quotasOf(shares: readonly number[], tokens: number, held: readonly number[]): number[] {
  const quotas = shares.map((share) => Math.max(Math.floor(share * tokens), tokens >= shares.length ? 1 : 0));
  let left = tokens - sum(quotas);
  const wants = (host: number): number => shares[host]! * tokens - quotas[host]!;
  const byWant = shares.map((_, host) => host).toSorted((a, b) => wants(b) - wants(a) || held[b]! - held[a]! || a - b);
  for (const host of byWant.slice(0, Math.max(left, 0))) quotas[host]! += 1;
  for (; left < 0; left += 1) quotas[quotas.indexOf(Math.max(...quotas))]! -= 1;
  return quotas;
}

function normalised(weights: readonly number[]): number[] {
  const total = sum(weights);
  return weights.map((weight) => weight / total);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
