/**
 * Reap marks in few bytes: a pair of varints for each partition that was ever reaped, in order.
 */
import { DecodeError, field, message, repeated, varint } from "../bytes/codec.ts";
import type { PartitionIndex } from "../identity.ts";
import type { ReapMarks } from "./roster.ts";

const ReapMark = message("ReapMark", { partition: field(1, varint), mark: field(2, varint) });
const ReapMarksMessage = message("ReapMarks", { marks: repeated(1, ReapMark, 65_536) });

/** Above it a mark could not be raised any more; some 2^30 reaps of one partition. */
export const reapMarkMax: number = 2 ** 50;

export function encodeReapMarks(marks: ReapMarks): Uint8Array {
  const sorted = [...marks].toSorted(([a], [b]) => a - b);
  return ReapMarksMessage.encode({ marks: sorted.map(([partition, mark]) => ({ partition, mark })) });
}

/** @throws DecodeError when it names a partition that there is not, or a mark beyond all reason */
export function decodeReapMarks(encoded: Uint8Array, partitions: number): ReapMarks {
  const { marks } = ReapMarksMessage.decode(encoded);
  for (const { partition, mark } of marks) {
    if (partition >= partitions) throw new DecodeError(`ReapMarks: no partition ${partition} of ${partitions}`);
    if (mark > reapMarkMax) throw new DecodeError(`ReapMarks: a mark of ${mark}, at most ${reapMarkMax} can be`);
  }
  return new Map(marks.map(({ partition, mark }) => [partition as PartitionIndex, mark]));
}
