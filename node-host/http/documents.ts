/**
 * Yjs documents over HTTP: one value, whatever updates the store keeps it in. A put adds an update, and folds those that have
 * come to be many, as live documents do (`core/documents/fold-plan.ts`).
 * A host on which Yjs is not installed shows the updates themselves; whoever applies them all has the document.
 */
import type * as Yjs from "yjs";
import type { NodeApi, PutOptions, ReadAnswer, Sibling } from "../../core/api.ts";

/** So many updates are kept apart: below the siblings that a host warns of. */
const updatesMax = 8;

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
  const latest = updates.reduce((one, other) => (other.timeMs > one.timeMs ? other : one));
  return { ...answer, siblings: [...answer.siblings.filter(({ kind }) => kind !== "yjs"), { ...latest, body }] };
}

/** The body and options of a put of an update. */
export async function folding(
  node: NodeApi,
  { bucket, name }: { readonly bucket: string; readonly name: string },
  body: Uint8Array,
): Promise<{ readonly body: Uint8Array; readonly options: Pick<PutOptions, "folds"> }> {
  const updates = updatesOf(await node.getLocal(bucket, name));
  const Y = updates.length < updatesMax ? undefined : await yjs();
  if (Y === undefined) return { body, options: {} };
  const small = updates.toSorted((a, b) => a.body.length - b.body.length).slice(0, -1);
  try {
    const whole = Y.mergeUpdates([...small.map((update) => update.body), body]);
    return { body: whole, options: { folds: small.map(({ dot }) => dot) } };
  } catch {
    return { body, options: {} }; // what is no update the node refuses, and says why
  }
}

function updatesOf({ siblings }: ReadAnswer): readonly Sibling[] {
  return siblings.filter(({ kind }) => kind === "yjs");
}
