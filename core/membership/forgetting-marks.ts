/**
 * What has been forgotten of each partition (PROTOCOL 9, *Return*; 10). A mark is named after the ring that raised it, by the
 * foundings that had met in it: a ring asks its own members alone, so of a mark of a ring that was founded apart
 * nobody else can say whether it should know it. (PROTOCOL has one counter for each partition: there the higher mark of one ring
 * hides the other's.)
 * Invariants: merging is commutative, associative and idempotent; of a partition no mark is kept for which another one stands.
 */
import { fromHex, toHex } from "../bytes/hex.ts";
import { sha256Of } from "../bytes/sha256.ts";
import type { PartitionIndex } from "../identity.ts";

/** Its foundings, in order, one after the other. */
export type RingName = string & { readonly brand: "RingName" };

/** Each founder draws a secret; 8 bytes of its hash, as hexadecimal digits, name its founding. */
export const foundingBytes = 8;
const foundingDigits = 2 * foundingBytes;
/** As many as a roster can have secrets. */
export const foundingsMax = 1_000;

/** Named no ring: of a version that told none apart. Every other name includes this one. */
export const unnamedRing = "" as RingName;

export interface ForgettingMark {
  readonly ring: RingName;
  readonly mark: number;
}

/** Of most partitions one: several only until rings that met forget something together. Sorted by ring. */
export type ForgettingMarks = ReadonlyMap<PartitionIndex, readonly ForgettingMark[]>;

/** `secrets`: those of a roster, 64 hexadecimal digits each. Who knows none yet is of no ring. */
export function ringName(secrets: readonly string[]): RingName {
  return ringOfFoundings(secrets.map((secret) => toHex(sha256Of(fromHex(secret)!).slice(0, foundingBytes))));
}

export function ringOfFoundings(foundings: readonly string[]): RingName {
  return [...new Set(foundings)].toSorted().join("") as RingName;
}

export function foundingsOf(ring: RingName): string[] {
  return Array.from({ length: ring.length / foundingDigits }, (_, i) =>
    ring.slice(i * foundingDigits, (i + 1) * foundingDigits),
  );
}

/** The ring has all that the other one had met, and maybe more: who was a member there is asked here. */
export function includesRing(ring: RingName, other: RingName): boolean {
  if (ring.length <= other.length) return ring === other;
  return foundingsOf(other).every((each) => hasFounding(ring, each));
}

/** Whether some members may be of both. */
export function sharesFounding(ring: RingName, other: RingName): boolean {
  return foundingsOf(other).some((each) => hasFounding(ring, each));
}

function hasFounding(ring: RingName, founding: string): boolean {
  let at = ring.indexOf(founding);
  // Else it is made of the end of one and the beginning of the next.
  while (at % foundingDigits > 0) at = ring.indexOf(founding, at + 1);
  return at >= 0;
}

/**
 * Whoever misses `other` misses `mark` too. Of one ring the higher mark is the later; and what rings forget together they
 * forget after each has forgotten by itself.
 */
export function standsFor({ ring, mark }: ForgettingMark, other: ForgettingMark): boolean {
  return ring === other.ring ? mark >= other.mark : includesRing(ring, other.ring);
}

/** Of one partition. Returns `ours` itself when `theirs` add nothing. */
export function mergeMarks(
  ours: readonly ForgettingMark[],
  theirs: readonly ForgettingMark[],
): readonly ForgettingMark[] {
  const known = new Map(ours.map(({ ring, mark }) => [ring, mark]));
  const news = theirs.filter(
    (their) => their.mark > (known.get(their.ring) ?? -1) && !ours.some((our) => standsFor(our, their)),
  );
  if (news.length === 0) return ours;
  const kept = ours.filter((our) => !news.some((their) => standsFor(their, our)));
  return [...kept, ...news].toSorted((a, b) => (a.ring < b.ring ? -1 : 1));
}

/**
 * Of one partition: whether something was forgotten of which a copy that was made of the ring `of`, and has the marks `known`,
 * may be left. What another ring forgot before it met that one was never there; while they have not met, data went
 * from one to the other by hand, if at all.
 */
export function isForgottenSince(
  marks: readonly ForgettingMark[],
  { known, of }: { readonly known: readonly ForgettingMark[]; readonly of: RingName },
  present: RingName,
): boolean {
  const haveMet = of !== unnamedRing && includesRing(present, of);
  const isOfAnother = ({ ring }: ForgettingMark): boolean =>
    ring !== unnamedRing && haveMet && !sharesFounding(ring, of);
  return marks.some((each) => !known.some((before) => standsFor(before, each)) && !isOfAnother(each));
}

/** 0: nothing was ever forgotten there. */
export function latestMark(marks: ForgettingMarks, partition: PartitionIndex): number {
  return Math.max(0, ...(marks.get(partition) ?? []).map(({ mark }) => mark));
}
