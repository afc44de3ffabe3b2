/**
 * How an unsent write becomes another event. A dot names one content for ever, to other tabs, contexts and copies of the
 * storage, too: so what becomes of a write is an event of its own, and the former one is given up.
 */
import { compareDots, covers, type Dot, isUpdate } from "../causality/version-set.ts";
import type { NodeId } from "../identity.ts";
import { foldsMax } from "../limits.ts";
import { edgeContextsMax } from "../rpc/common-messages.ts";
import type { OwnEvent } from "../rpc/edge-messages.ts";
import { unite } from "./evidence.ts";
import { type OutboxRow, type OutboxWrite, takenMax } from "./outbox.ts";

/**
 * An update that no host can have takes in the next one, which contains it: so days of edits without a host are one write of
 * one document. Undefined: it does not. One of an earlier run never does, for a copy of the storage may have sent it; so the
 * two share their actor, and who covers the later event covers the former.
 */
export function grown(edge: NodeId, write: OutboxWrite, next: OutboxRow): OutboxRow | undefined {
  const { key, row, dot } = write;
  const isUnsent = write.isPending && row.sentMs === undefined && !write.mayBeOut && write.sends === 0;
  const isOfThisRun = row.event.nonce !== undefined && row.event.nonce === next.event.nonce;
  const isAsSafe = row.w === next.w && row.pw === next.pw;
  const isFolded = isUpdate(row.value) && isUpdate(next.value) && next.folds.some((fold) => isSame(fold, dot));
  if (!isUnsent || next.sentMs !== undefined || !isOfThisRun || !isAsSafe || !isFolded) return undefined;
  const seen = unite({ edge, key }, [row, next]);
  if (seen.contexts.length > edgeContextsMax) return undefined;
  const taken = row.request === undefined ? [] : [{ request: row.request, counter: row.event.counter }];
  const others = next.folds.filter((fold) => !isSame(fold, dot) && !row.folds.some((known) => isSame(known, fold)));
  return {
    ...next,
    ...seen,
    folds: [...row.folds, ...others].slice(0, foldsMax),
    previous: row.previous ?? 0,
    acceptedMs: row.acceptedMs,
    clockMs: row.clockMs,
    floor: Math.max(row.floor, next.floor),
    taken: [...row.taken, ...taken].slice(-takenMax),
  };
}

/**
 * An update becomes the event `name`, of an actor of its own. What later writes of the key have seen of the former event, or
 * hold in themselves, they have of this one. `all`: the writes of the key.
 */
export function renamed(
  edge: NodeId,
  all: readonly OutboxWrite[],
  write: OutboxWrite,
  name: { readonly event: OwnEvent; readonly dot: Dot },
): ReadonlyMap<OutboxWrite, OutboxRow> {
  const { sentMs: _sent, previous: _previous, ...row } = write.row;
  const value = { ...row.value, dot: name.dot };
  const rows = new Map<OutboxWrite, OutboxRow>([[write, { ...row, event: name.event, value }]]);
  for (const later of all) {
    if (later.sequence <= write.sequence || !later.isPending) continue;
    const { key, coverage, row: known } = later;
    const hasSeen = covers(coverage.vector, write.dot);
    const holds = known.folds.some((fold) => isSame(fold, write.dot));
    if (!hasSeen && !holds) continue;
    const seen = hasSeen ? unite({ edge, key }, [known, { contexts: [], own: [name.event] }]) : {};
    const folds = holds ? [name.dot, ...known.folds].slice(0, foldsMax) : known.folds;
    rows.set(later, { ...known, ...seen, folds });
  }
  return rows;
}

function isSame(a: Dot, b: Dot): boolean {
  return compareDots(a, b) === 0;
}
