/**
 * Forgetting marks in few bytes: the names of their rings once, then for each mark its partition, number and ring, in order.
 * A version that told no rings apart reads the highest mark of each partition, and writes marks that name none.
 */
import { DecodeError, field, hex, message, optional, repeated, varint } from "../bytes/codec.ts";
import type { PartitionIndex } from "../identity.ts";
import {
  type ForgettingMark,
  type ForgettingMarks,
  foundingBytes,
  foundingsMax,
  foundingsOf,
  ringOfFoundings,
  type RingName,
  unnamedRing,
} from "./forgetting-marks.ts";

const marksMax = 262_144;

const Ring = message("Ring", { foundings: repeated(1, hex(foundingBytes), foundingsMax) });
const Mark = message("ForgettingMark", {
  partition: field(1, varint),
  mark: field(2, varint),
  /** Index into `rings`; absent: it names none. */
  ring: optional(3, varint),
});
const ForgettingMarksMessage = message("ForgettingMarks", {
  marks: repeated(1, Mark, marksMax),
  rings: repeated(2, Ring, foundingsMax),
});

/** Above it a mark could not be raised any more; some 2^30 marks of one partition. */
export const forgettingMarkMax: number = 2 ** 50;

/** Of a roster that is compared with others and stored after each reap: made once for both. */
const encodings = new WeakMap<ForgettingMarks, Uint8Array>();

export function encodeForgettingMarks(marks: ForgettingMarks): Uint8Array {
  const encoded = encodings.get(marks) ?? encode(marks);
  encodings.set(marks, encoded);
  return encoded;
}

function encode(marks: ForgettingMarks): Uint8Array {
  const all = [...marks].flatMap(([partition, each]) => each.map((mark) => ({ partition, ...mark })));
  // Of a partition the highest last: it is the one that a reader of one mark keeps.
  const sorted = all.toSorted((a, b) => a.partition - b.partition || a.mark - b.mark || (a.ring < b.ring ? -1 : 1));
  const names = [...new Set(sorted.map(({ ring }) => ring))].filter((ring) => ring !== unnamedRing).toSorted();
  const indexOf = new Map(names.map((ring, i) => [ring, i]));
  return ForgettingMarksMessage.encode({
    marks: sorted.map(({ partition, mark, ring }) =>
      ring === unnamedRing ? { partition, mark } : { partition, mark, ring: indexOf.get(ring)! },
    ),
    rings: names.map((ring) => ({ foundings: foundingsOf(ring) })),
  });
}

/** @throws DecodeError when it names a partition or a ring that there is not, or a mark beyond all reason */
export function decodeForgettingMarks(encoded: Uint8Array, partitions: number): ForgettingMarks {
  const { marks, rings } = ForgettingMarksMessage.decode(encoded);
  const names = [unnamedRing, ...rings.map(({ foundings }) => ringOfFoundings(foundings))];
  const found = new Map<PartitionIndex, Map<RingName, number>>();
  for (const { partition, mark, ring: index } of marks) {
    if (partition >= partitions) throw new DecodeError(`ForgettingMarks: no partition ${partition} of ${partitions}`);
    if (mark > forgettingMarkMax)
      throw new DecodeError(`ForgettingMarks: a mark of ${mark}, at most ${forgettingMarkMax} can be`);
    const ring = names[index === undefined ? 0 : index + 1];
    if (ring === undefined) throw new DecodeError(`ForgettingMarks: no ring ${index} of ${rings.length}`);
    const at = partition as PartitionIndex;
    const highest = found.get(at) ?? new Map<RingName, number>();
    found.set(at, highest.set(ring, Math.max(mark, highest.get(ring) ?? 0)));
  }
  const bits = inclusionsOf([...new Set(names)]);
  return new Map([...found].map(([at, highest]) => [at, latestOf(highest, bits)]));
}

interface Inclusions {
  /** One bit for each ring. */
  readonly own: bigint;
  /** The bits of the rings that include it, its own too. */
  readonly including: bigint;
}

/** Time grows with the number of all foundings, not with pairs of rings. */
function inclusionsOf(rings: readonly RingName[]): ReadonlyMap<RingName, Inclusions> {
  const having = new Map<string, bigint>();
  const all = (1n << BigInt(rings.length)) - 1n;
  const named = rings.map((ring, i) => ({ ring, own: 1n << BigInt(i), foundings: foundingsOf(ring) }));
  for (const { own, foundings } of named) {
    for (const each of foundings) having.set(each, (having.get(each) ?? 0n) | own);
  }
  return new Map(
    named.map(({ ring, own, foundings }) => [
      ring,
      { own, including: foundings.reduce((bits, each) => bits & having.get(each)!, all) },
    ]),
  );
}

/** Of the highest mark of each ring those for which no other one stands (`standsFor`). */
function latestOf(
  highest: ReadonlyMap<RingName, number>,
  bits: ReadonlyMap<RingName, Inclusions>,
): readonly ForgettingMark[] {
  const marks = [...highest].map(([ring, mark]) => ({ ring, mark, ...bits.get(ring)! }));
  const present = marks.reduce((all, { own }) => all | own, 0n);
  return marks
    .filter(({ own, including }) => (including & present) === own)
    .map(({ ring, mark }) => ({ ring, mark }))
    .toSorted((a, b) => (a.ring < b.ring ? -1 : 1));
}
