/**
 * What waits for hosts of one key: what is known with it, and what of it is sent next.
 */
import { applyWrite, covers, isUpdate, type Versioned } from "../causality/version-set.ts";
import { StoreError } from "../errors.ts";
import type { Key } from "../identity.ts";
import type { OutboxWrite } from "./outbox.ts";

/** The state with the writes that wait on it; a parked one is not among what is known: hosts may never have it. */
export function withPending(state: Versioned, writes: readonly OutboxWrite[]): Versioned {
  return writes
    .filter(({ isPending }) => isPending)
    .reduce((known, { coverage, row }) => applyWrite(known, coverage, row.value, row.acceptedMs, row.folds), state);
}

/**
 * What is sent next of a key, and the earlier writes that go with it, for it has seen them: what hosts would keep of those
 * is what it covers. An update of a document stands for none: it claims nothing of what it has seen, so what a delete before
 * it has dropped hosts would keep. Only where they ask for the same acknowledgement: nobody is then told of fewer copies than
 * he asked for.
 */
export function nextOf(writes: readonly OutboxWrite[]): readonly [OutboxWrite, readonly OutboxWrite[]] | undefined {
  const pending = writes.filter(({ isPending }) => isPending);
  const [first] = pending;
  if (first === undefined) return undefined;
  const stands = (later: OutboxWrite, earlier: OutboxWrite): boolean =>
    !isUpdate(later.row.value) &&
    covers(later.coverage.vector, earlier.dot) &&
    later.row.w === earlier.row.w &&
    later.row.pw === earlier.row.pw;
  const last = pending.findLast((write) => write !== first && stands(write, first)) ?? first;
  return [last, pending.slice(0, pending.indexOf(last)).filter((earlier) => stands(last, earlier))];
}

/**
 * As hosts would refuse it, but before it is accepted: nobody wants to hear of that when he is online again.
 * @throws StoreError `too-many-siblings`
 */
export function checkSiblings(key: Key, before: Versioned, { values }: Versioned, siblingsMax: number): void {
  const count = values.length;
  if (count <= siblingsMax || count <= before.values.length) return;
  const text = `${key} would have ${count} concurrent values: read it and write the merged value with its context`;
  throw new StoreError("too-many-siblings", text);
}

export function isOneMore(before: readonly OutboxWrite[], after: readonly OutboxWrite[]): boolean {
  return after.length === before.length + 1 && before.every((write, i) => write === after[i]);
}
