/** What goes wrong in a run: the kinds of faults, how often each comes, and when. */
import type { Chance } from "../chance.ts";

export type FaultKind = (typeof faultKinds)[number];

/** Each with how often it comes, where it is drawn for a run. Those that take data away are rare, or nothing is left to lose. */
const faultWeights = [
  ["cut", 3],
  ["cut-one-way", 3],
  ["isolate", 2],
  ["halves", 2],
  ["bridge", 1],
  ["swizzle", 1],
  ["flap", 2],
  ["reset", 3],
  ["loss", 2],
  ["duplicates", 3],
  ["slow-net", 2],
  ["late", 2],
  ["bad-frames", 2],
  ["kill", 5],
  ["kill-at-step", 4],
  ["kill-at-batch", 5],
  ["kill-at-request", 4],
  ["power-cut", 3],
  ["power-cut-all", 1],
  ["mass-restart", 1],
  ["pause", 3],
  ["stutter", 2],
  ["wipe", 1],
  ["restore-old", 1],
  ["full", 2],
  ["write-errors", 2],
  ["read-errors", 2],
  ["slow-disk", 2],
  ["damage", 2],
  ["missing", 1],
  ["clock-jump", 2],
  ["twin", 1],
] as const;

/** What befalls the ring itself. */
const ringFaultWeights = [
  ["join", 3],
  ["join-two", 2],
  ["join-held", 2],
  ["join-leave", 2],
  ["leave", 3],
  ["lose-host", 2],
  ["remove-cut", 3],
  ["rebalance", 2],
  ["other-ring", 2],
  ["kill-in-transfer", 4],
] as const;

/** What befalls browser hosts, for longer than their lease. */
const browserFaultWeights = [
  ["absent", 3],
  ["asleep", 2],
] as const;

/** What else makes members silent for about as long as a lease, to some or to all; drawn by a profile. */
const leaseFaultKinds = ["closed-again", "half-seen", "sleep-together"] as const;

export const faultKinds = [
  ...[...faultWeights, ...ringFaultWeights, ...browserFaultWeights].map(([kind]) => kind),
  ...leaseFaultKinds,
  "closed-for-good",
  "minutes-late",
] as const;

export interface Fault {
  readonly atMs: number;
  readonly kind: FaultKind;
  /** Indices of hosts, modulo how many there are; a kind uses as many as it needs. */
  readonly hosts: readonly number[];
  readonly forMs: number;
  /** 0..1: how bad. */
  readonly amount: number;
  /** Of a kind that has one: the rarer way of it, drawn by profiles. */
  readonly rare?: boolean;
}

export function drawFaults(chance: Chance, safetyMs: number): Fault[] {
  const enabled = faultWeights.filter(() => chance.is(0.5));
  if (enabled.length === 0) return [];
  const count = chance.whole(8, 50);
  return Array.from({ length: count }, () => drawFault(chance, chance.weighted(enabled), safetyMs));
}

/** In two thirds of the runs; the others show what hosts do on a ring that stays. */
export function drawRingFaults(chance: Chance, safetyMs: number): Fault[] {
  if (chance.is(1 / 3)) return [];
  const count = chance.whole(1, 8);
  return Array.from({ length: count }, () => drawFault(chance, chance.weighted(ringFaultWeights), safetyMs));
}

export function drawBrowserFaults(chance: Chance, safetyMs: number, leaseMs: number): Fault[] {
  return Array.from({ length: chance.whole(1, 5) }, () => {
    const fault = drawFault(chance, chance.weighted(browserFaultWeights), safetyMs * 0.7);
    return { ...fault, forMs: leaseMs * chance.between(1.1, 2.5) };
  });
}

/**
 * In some runs with browser hosts one is never opened again. `isSure`: in an eighth of the seeds, so that those with names
 * stay what they are.
 */
export function drawGoodbye(chance: Chance, safetyMs: number, { isSure }: { readonly isSure: boolean }): Fault[] {
  return chance.is(0.3) || isSure ? [drawFault(chance, "closed-for-good", safetyMs * 0.7)] : [];
}

/** In some runs with browser hosts, beside all else. */
export function drawRareLeaseFaults(chance: Chance, safetyMs: number, leaseMs: number): Fault[] {
  if (!chance.is(0.2)) return [];
  return leaseFaultKinds.map((kind) => ({
    ...drawFault(chance, kind, safetyMs * 0.7),
    forMs: leaseMs * chance.between(1.1, 2.5),
  }));
}

/** Messages that take up to `lateMsMax`, in most of the runs where those are minutes. */
export function drawMinutesLate(chance: Chance, safetyMs: number): Fault[] {
  return chance.is(0.94) ? [drawFault(chance, "minutes-late", safetyMs)] : [];
}

/** Each of what befalls leases, and cuts that last as long. */
export function drawLeaseFaults(chance: Chance, safetyMs: number, leaseMs: number): Fault[] {
  return [...leaseFaultKinds, ...(["absent", "halves", "isolate"] as const)].flatMap((kind) =>
    Array.from({ length: chance.whole(1, 2) }, () => ({
      ...drawFault(chance, kind, safetyMs * 0.7),
      forMs: leaseMs * chance.between(1.1, 2.5),
    })),
  );
}

export function drawFault(chance: Chance, kind: FaultKind, safetyMs: number): Fault {
  return {
    atMs: chance.between(0, safetyMs),
    kind,
    hosts: Array.from({ length: 9 }, () => chance.whole(0, 99)),
    forMs: chance.logarithmic(50, safetyMs / 2),
    amount: chance.next(),
  };
}
