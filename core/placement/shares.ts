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
      const share = sum(bounded.map((host) => shares[host]!));
      const factor = Math.min(Math.max(share, min), max) / share;
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

/** Nobody among the hosts has the token. */
export const nobody = -1;

/** Tokens per host. `tokens`: host (an index) by token. */
export function heldBy(hosts: number, tokens: Int32Array): number[] {
  const held = Array.from({ length: hosts }, () => 0);
  for (const host of tokens) if (host !== nobody) held[host]! += 1;
  return held;
}

/**
 * Whole tokens per host, at least one each while there are enough. Rounded zone by zone: where zones are few, a token too many
 * in one would displace owners in others.
 */
export function quotasOf(hosts: readonly PlacedMember[], n: number, tokens: Int32Array): number[] {
  const shares = fairShares(hosts, n);
  const held = heldBy(hosts.length, tokens);
  const { zone, zones } = domainsOf(hosts);
  const inZone: number[][] = Array.from({ length: zones }, () => []);
  for (const [host, index] of zone.entries()) inZone[index]!.push(host);
  const least = tokens.length >= hosts.length ? 1 : 0;

  const parts = inZone.map((members) => ({
    wanted: tokens.length * sum(members.map((host) => shares[host]!)),
    held: sum(members.map((host) => held[host]!)),
    least: least * members.length,
  }));
  const quotas = hosts.map(() => 0);
  for (const [index, ofZone] of apportion(tokens.length, parts).entries()) {
    const members = inZone[index]!;
    const scale = ofZone / parts[index]!.wanted;
    const seats = members.map((host) => ({ wanted: tokens.length * shares[host]! * scale, held: held[host]!, least }));
    for (const [seat, quota] of apportion(ofZone, seats).entries()) quotas[members[seat]!] = quota;
  }
  return quotas;
}

interface Part {
  readonly wanted: number;
  /** Who holds more keeps more where parts want the same, so that nothing moves for a rounding. */
  readonly held: number;
  readonly least: number;
}

/** Largest remainders: whole numbers next to what each part wants, together `total`. */
function apportion(total: number, parts: readonly Part[]): number[] {
  const given = parts.map(({ wanted, least }) => Math.max(Math.floor(wanted + 1e-9), least));
  const lacks = parts.map(({ wanted }, index) => Math.round((wanted - given[index]!) * 1e6));
  const order = [...parts.keys()].toSorted((a, b) => lacks[b]! - lacks[a]! || parts[b]!.held - parts[a]!.held || a - b);
  const left = total - sum(given);
  for (const index of order.slice(0, Math.max(left, 0))) given[index]! += 1;
  for (let excess = -left; excess > 0; excess -= 1) {
    const spare = given.map((quota, index) => quota - parts[index]!.least);
    given[spare.indexOf(Math.max(...spare))]! -= 1;
  }
  return given;
}

function normalised(weights: readonly number[]): number[] {
  const total = sum(weights);
  return weights.map((weight) => weight / total);
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
