/**
 * Yjs documents over HTTP: one value, whatever updates the store keeps it in. A put adds an update; those that have come to be
 * many are folded, as live documents do (`core/documents/fold-plan.ts`).
 * A delete that was begun before a fold and arrives after it has not seen the fold, which stays, as any write that it has not seen.
 * A host on which Yjs is not installed shows the updates themselves; whoever applies them all has the document.
 */
import type * as Yjs from "yjs";
import type { NodeApi, ReadAnswer, Sibling } from "../../core/api.ts";

/** So many updates are kept apart: below the siblings that a host warns of. */
const updatesMax = 8;
/** One write folds no more; the rest is left to later puts. */
const foldsMax = 1_000;

let loading: Promise<typeof Yjs | undefined> | undefined;

function yjs(): Promise<typeof Yjs | undefined> {
  loading ??= import("yjs").catch(() => undefined);
  return loading;
}

export async function asOneDocument<Answer extends ReadAnswer>(answer: Answer): Promise<Answer> {
  const updates = updatesOf(answer);
  const Y = updates.length < 2 ? undefined : await yjs();
  if (Y === undefined) return answer;
  const body = Y.mergeUpdates(updates.map((update) => update.body));
  const { expiresAtMs: _, ...latest } = updates.reduce((one, other) => (other.timeMs > one.timeMs ? other : one));
  // The last part of it to expire, if all do.
  const expiresAtMs = Math.max(...updates.map((update) => update.expiresAtMs ?? Infinity));
  const whole: Sibling = { ...latest, body, ...(expiresAtMs === Infinity ? {} : { expiresAtMs }) };
  return { ...answer, siblings: [...answer.siblings.filter(({ kind }) => kind !== "yjs"), whole] };
}

/** Puts of a document through this host since it was looked whether to fold, by key. */
const putsSinceLook = new Map<string, number>();
/** Above that all begin anew, which only puts off their next fold. */
const keysRemembered = 10_000;

/**
 * Before a put: folds the updates of a document that are many, by a write of its own, so that the put stays the event that its
 * client asked for. What expires stays apart: folded, it would take the others with it, or live as long as they.
 * Where it cannot be done in `timeoutMs` it is left to a later put.
 */
export async function foldUpdates(node: NodeApi, bucket: string, name: string, timeoutMs: number): Promise<void> {
  const key = `${bucket}/${name}`;
  const local = await node.getLocal(bucket, name);
  const puts = (putsSinceLook.get(key) ?? 0) + 1;
  if (putsSinceLook.size >= keysRemembered) putsSinceLook.clear();
  putsSinceLook.set(key, puts);
  // A host that is no owner learns from the owners how many there are, so it asks them only now and then.
  if ((local.holding === "none" ? puts : lastingUpdates(local).length) < updatesMax) return;
  putsSinceLook.delete(key);
  try {
    const answer = await node.get(bucket, name, { timeoutMs });
    const updates = lastingUpdates(answer);
    const Y = updates.length < updatesMax ? undefined : await yjs();
    if (Y === undefined || answer.context === null) return;
    const small = updates
      .toSorted((a, b) => a.body.length - b.body.length)
      .slice(0, Math.min(updates.length - 1, foldsMax));
    const [{ contentType }] = small as [Sibling];
    const folds = small.map(({ dot }) => dot);
    const body = Y.mergeUpdates(small.map((update) => update.body));
    // Not what was deleted meanwhile.
    await node.put(bucket, name, body, { kind: "yjs", contentType, folds, ifContext: answer.context, timeoutMs });
  } catch {
    // Too few hosts answer, or another one writes at the same time, or Yjs does not take what another node stored.
  }
}

function lastingUpdates(answer: ReadAnswer): readonly Sibling[] {
  return updatesOf(answer).filter(({ expiresAtMs }) => expiresAtMs === undefined);
}

function updatesOf({ siblings }: ReadAnswer): readonly Sibling[] {
  return siblings.filter(({ kind }) => kind === "yjs");
}
