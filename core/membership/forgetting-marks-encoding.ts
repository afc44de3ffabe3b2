/**
 * Forgetting marks in few bytes: a pair of varints for each partition that has one, in order.
 */
import { DecodeError, field, message, repeated, varint } from "../bytes/codec.ts";
import type { PartitionIndex } from "../identity.ts";
import type { ForgettingMarks } from "./roster.ts";

const ForgettingMark = message("ForgettingMark", { partition: field(1, varint), mark: field(2, varint) });
const ForgettingMarksMessage = message("ForgettingMarks", { marks: repeated(1, ForgettingMark, 65_536) });

/** Above it a mark could not be raised any more; some 2^30 marks of one partition. */
export const forgettingMarkMax: number = 2 ** 50;

export function encodeForgettingMarks(marks: ForgettingMarks): Uint8Array {
  const sorted = [...marks].toSorted(([a], [b]) => a - b);
  return ForgettingMarksMessage.encode({ marks: sorted.map(([partition, mark]) => ({ partition, mark })) });
}

/** @throws DecodeError when it names a partition that there is not, or a mark beyond all reason */
export function decodeForgettingMarks(encoded: Uint8Array, partitions: number): ForgettingMarks {
  const { marks } = ForgettingMarksMessage.decode(encoded);
  for (const { partition, mark } of marks) {
    if (partition >= partitions) throw new DecodeError(`ForgettingMarks: no partition ${partition} of ${partitions}`);
    if (mark > forgettingMarkMax)
      throw new DecodeError(`ForgettingMarks: a mark of ${mark}, at most ${forgettingMarkMax} can be`);
  }
  return new Map(marks.map(({ partition, mark }) => [partition as PartitionIndex, mark]));
}
