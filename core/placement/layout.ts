/**
 * A draft of the assignment that a planner works on.
 *
 * Every N consecutive tokens are a *window*. A window without *defect* (distinct hosts and device groups, as many zones as there
 * can be, a Node host among them) is by itself the owner set of its first partition. So where no window has a defect, replica
 * load is exactly N times token load, and a token that changes hands moves N replicas: even out tokens, avoid defects, and
 * primary load, replica load and movement come out right together.
 */
import type { PlacedMember } from "../membership/member.ts";
import { shuffled } from "./chance.ts";
import { domainsOf } from "./domains.ts";
import type { Domains } from "./domains.ts";
import { heldBy, nobody } from "./shares.ts";

/**
 * Tokens. Dealing strictly in turn makes a regular pattern: a later host of a zone finds no gap in it that is wide enough, and
 * the load of a host that fails falls on one neighbour.
 */
const unevenness = 4;

/** Partners that a defect is offered before it is left as it is. */
const triesMax = 128;

/** Times that all defects are tried again, as long as that helps. */
const passesMax = 8;

export class Layout {
  readonly hosts: readonly PlacedMember[];
  /** Host (an index into `hosts`, or `nobody`) by token. */
  readonly tokens: Int32Array;
  /** Tokens per host. */
  readonly held: number[];
  /** Tokens that each host should have. */
  readonly quotas: readonly number[];
  /** Tokens that must stay as they are. */
  readonly #frozen: ReadonlySet<number>;
  readonly #domains: Domains;
  readonly #width: number;

  constructor(
    hosts: readonly PlacedMember[],
    tokens: Int32Array,
    { n, quotas, frozen }: { n: number; quotas: readonly number[]; frozen: ReadonlySet<number> },
  ) {
    this.hosts = hosts;
    this.tokens = tokens;
    this.quotas = quotas;
    this.held = heldBy(hosts.length, tokens);
    this.#frozen = frozen;
    this.#domains = domainsOf(hosts);
    this.#width = Math.min(n, hosts.length);
  }

  /** Gives tokens to `host` until it has its quota: from hosts above theirs, where it makes the fewest defects. */
  take(host: number, random: () => number): void {
    if (this.held[host]! >= this.quotas[host]!) return;
    const donors = shuffled(this.tokens.length, random).filter(
      (token) => this.tokens[token] !== host && !this.#frozen.has(token),
    );
    const costs = new Map(donors.map((token) => [token, this.#defectsAdded(token, host)]));
    const candidates = donors.toSorted((a, b) => costs.get(a)! - costs.get(b)!);
    // Each token given changes the cost of its neighbours, so a limit that rises slowly stands in for sorting anew.
    for (let limit = 0; limit <= 3 * this.#width ** 2 && this.held[host]! < this.quotas[host]!; limit += 1) {
      for (const token of candidates) {
        if (this.held[host]! >= this.quotas[host]!) return;
        if (this.#canSpare(token, host) && this.#defectsAdded(token, host) <= limit) this.#give(token, host);
      }
    }
  }

  /** Gives each of the tokens to the one of `receivers` that makes the fewest defects there and lacks most of its quota. */
  settle(tokens: readonly number[], receivers: readonly number[], random: () => number): void {
    for (const token of tokens) {
      if (!this.#frozen.has(token)) this.#give(token, this.#bestFor(token, receivers, random));
    }
  }

  /** Deals all tokens out again, one after the other; holders keep theirs where that makes no defect. */
  dealAnew(random: () => number): void {
    const former = [...this.tokens];
    const hosts = [...this.hosts.keys()];
    for (const token of former.keys()) this.#give(token, nobody);
    for (const [token, holder] of former.entries()) this.#give(token, this.#bestFor(token, hosts, random, holder));
    this.mend([...former.keys()], random);
    for (const host of hosts) this.take(host, random);
  }

  /** Swaps tokens among `movable` while that removes defects: evens out replicas, leaves the number of tokens as it is. */
  mend(movable: readonly number[], random: () => number): void {
    const free = movable.filter((token) => !this.#frozen.has(token));
    const order = shuffled(free.length, random).map((index) => free[index]!);
    for (let pass = 0, mended = true; mended && pass < passesMax; pass += 1) {
      mended = false;
      for (const [index, token] of order.entries()) {
        if (this.#defectsAround(token) > 0 && this.#swapWithOneOf(token, order, index + 1)) mended = true;
      }
    }
  }

  /** Without asking: the caller answers for quotas, defects and frozen tokens. */
  #give(token: number, host: number): void {
    const from = this.tokens[token]!;
    if (from !== nobody) this.held[from]! -= 1;
    if (host !== nobody) this.held[host]! += 1;
    this.tokens[token] = host;
  }

  #canSpare(token: number, host: number): boolean {
    const from = this.tokens[token]!;
    return from === nobody || (from !== host && this.held[from]! > this.quotas[from]!);
  }

  /**
   * The emptiest comes first, give or take `unevenness` tokens, or twice that for the present holder; a defect weighs as much as
   * a tenth of a quota too much.
   */
  #bestFor(token: number, receivers: readonly number[], random: () => number, holder = nobody): number {
    const costs = receivers.map((host) => {
      const quota = Math.max(this.quotas[host]!, 1);
      const fill = (this.held[host]! + 1) / quota;
      const favour = (unevenness * (random() + (host === holder ? 2 : 0))) / quota;
      return this.#defectsAdded(token, host) + fill + Math.max(fill - 1, 0) * 10 - favour;
    });
    return receivers[costs.indexOf(Math.min(...costs))]!;
  }

  /** Tries partners from `start` on. */
  #swapWithOneOf(token: number, partners: readonly number[], start: number): boolean {
    for (let step = 0; step < Math.min(triesMax, partners.length); step += 1) {
      if (this.#swapIfBetter(token, partners[(start + step) % partners.length]!)) return true;
    }
    return false;
  }

  #swapIfBetter(a: number, b: number): boolean {
    const [hostA, hostB] = [this.tokens[a]!, this.tokens[b]!];
    if (hostA === hostB) return false;
    let added = this.#defectsAdded(a, hostB);
    this.#give(a, hostB);
    added += this.#defectsAdded(b, hostA);
    this.#give(b, hostA);
    if (added < 0) return true;
    this.#give(a, hostA);
    this.#give(b, hostB);
    return false;
  }

  #defectsAdded(token: number, host: number): number {
    const before = this.#defectsAround(token);
    const from = this.tokens[token]!;
    this.tokens[token] = host;
    const after = this.#defectsAround(token);
    this.tokens[token] = from;
    return after - before;
  }

  /** Defects of the windows that a token is part of. */
  #defectsAround(token: number): number {
    let defects = 0;
    for (let back = 0; back < this.#width; back += 1) defects += this.#defectsOfWindow(token - back);
    return defects;
  }

  /** Missing hosts, device groups, zones and Node hosts; 0 = the window is the owner set of its first partition. */
  #defectsOfWindow(start: number): number {
    const { zone, group, zones, groups, isNode, hasNode } = this.#domains;
    const width = this.#width;
    let missing = width + Math.min(width, groups) + Math.min(width, zones) + (hasNode ? 1 : 0);
    let nodeSeen = false;
    for (let i = 0; i < width; i += 1) {
      const host = this.#hostAt(start + i);
      if (host === nobody) continue;
      let [newHost, newGroup, newZone] = [1, 1, 1];
      for (let j = 0; j < i; j += 1) {
        const other = this.#hostAt(start + j);
        if (other === nobody) continue;
        if (other === host) newHost = 0;
        if (group[other] === group[host]) newGroup = 0;
        if (zone[other] === zone[host]) newZone = 0;
      }
      missing -= newHost + newGroup + newZone;
      if (isNode[host] && !nodeSeen) missing -= 1;
      nodeSeen ||= isNode[host]!;
    }
    return missing;
  }

  #hostAt(index: number): number {
    const count = this.tokens.length;
    return this.tokens[(index + count) % count]!;
  }
}
