/**
 * The strategies of partitioning and placement that the paper compares (6.2), and ours, as functions from a key's ring
 * position to the hosts that serve it.
 */
import { shuffled } from "../../core/placement/chance.ts";
import { allPartitions } from "../../core/placement/partition.ts";
import { Ring } from "../../core/placement/ring.ts";
import { grow } from "../core/placement-cases.ts";
import type { Chance } from "../sim/chance.ts";

export interface Layout {
  readonly hosts: number;
  readonly n: number;
}

/** Indexes of the N hosts that serve a position; positions lie in [0, 1). */
export type Placement = (position: number) => readonly number[];

/** T random tokens a host; a key belongs to the first token clockwise, and to the N - 1 other hosts that follow. */
export function strategy1({ hosts, n }: Layout, tokensPerHost: number, chance: Chance): Placement {
  const tokens = randomTokens(hosts, tokensPerHost, chance);
  const owners = tokens.map((_, i) => distinct(tokens, i, n));
  return (position) => owners[firstFrom(tokens, position)]!;
}

/**
 * T random tokens a host, but Q equal partitions: one is placed on the first N hosts from its end on. Q is "usually"
 * far above S * T, here 16 times and more.
 */
export function strategy2({ hosts, n }: Layout, tokensPerHost: number, chance: Chance): Placement {
  const tokens = randomTokens(hosts, tokensPerHost, chance);
  const partitions = 2 ** Math.ceil(Math.log2(16 * tokens.length));
  const owners = Array.from({ length: partitions }, (_, i) =>
    distinct(tokens, firstFrom(tokens, (i + 1) / partitions), n),
  );
  return (position) => owners[Math.floor(position * partitions)]!;
}

/** Q equal partitions, of which each host has Q/S, dealt out at random. */
export function strategy3({ hosts, n }: Layout, partitions: number, chance: Chance): Placement {
  const tokens = shuffled(partitions, () => chance.next()).map((i) => ({ position: 0, host: i % hosts }));
  const owners = tokens.map((_, i) => distinct(tokens, i, n));
  return (position) => owners[Math.floor(position * partitions)]!;
}

/** Strategy 3 with planned places: hosts join one by one, each by `planJoin`. */
export function everwrite({ hosts, n }: Layout, partitions: number): Placement {
  const ring = new Ring(grow(hosts, { partitions, n }).at(-1)!.cluster);
  const indexOf = new Map(ring.hosts.map(({ id }, index) => [id, index]));
  const owners = allPartitions(partitions).map((each) => ring.owners(each).map((id) => indexOf.get(id)!));
  return (position) => owners[Math.floor(position * partitions)]!;
}

interface Token {
  readonly position: number;
  readonly host: number;
}

function randomTokens(hosts: number, tokensPerHost: number, chance: Chance): Token[] {
  const tokens = Array.from({ length: hosts * tokensPerHost }, (_, i) => ({
    position: chance.next(),
    host: i % hosts,
  }));
  return tokens.toSorted((a, b) => a.position - b.position);
}

/** Clockwise, so that past the last token comes the first. */
function firstFrom(tokens: readonly Token[], position: number): number {
  let from = 0;
  let to = tokens.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (tokens[middle]!.position < position) from = middle + 1;
    else to = middle;
  }
  return from % tokens.length;
}

function distinct(tokens: readonly Token[], start: number, n: number): number[] {
  const chosen: number[] = [];
  for (let i = 0; i < tokens.length && chosen.length < n; i++) {
    const { host } = tokens[(start + i) % tokens.length]!;
    if (!chosen.includes(host)) chosen.push(host);
  }
  return chosen;
}
