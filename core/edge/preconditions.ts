/**
 * `ifAbsent` and `ifContext` at an edge: best effort, as everywhere, on what a quorum answers, or offline on its own copy.
 */
import type { PutOptions } from "../api.ts";
import { actorOfWriteId } from "../causality/actor.ts";
import { coversAll } from "../causality/version-set.ts";
import { StoreError } from "../errors.ts";
import type { StoreRead } from "../store-node.ts";
import { coverageOf, evidenceOf, type Subject } from "./evidence.ts";

/** @throws StoreError `precondition-failed`, `bad-context` */
export async function checkPreconditions(
  subject: Subject,
  { ifAbsent, ifContext, writeId }: Pick<PutOptions, "ifAbsent" | "ifContext" | "writeId">,
  get: () => Promise<StoreRead>,
): Promise<void> {
  if (!ifAbsent && ifContext === undefined) return;
  const { siblings, context } = await get();
  const found = coverageOf(subject, evidenceOf(subject, context ?? undefined)).vector;
  if (ifAbsent && siblings.length > 0) {
    // A repeat finds what its first try wrote: that is success, not a conflict.
    const own = writeId === undefined ? undefined : actorOfWriteId(subject.key, writeId);
    const isRepeat = found.some(({ actor }) => actor === own);
    if (!isRepeat) throw new StoreError("precondition-failed", `${subject.key} has a value already`);
  }
  if (ifContext === undefined) return;
  const expected = coverageOf(subject, evidenceOf(subject, ifContext)).vector;
  if (coversAll(expected, found) && coversAll(found, expected)) return;
  throw new StoreError("precondition-failed", `${subject.key} has changed since that context was read`);
}
