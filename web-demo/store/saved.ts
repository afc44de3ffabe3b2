/** Where a change is by now, in the words of the shop. */
import { type BucketReceipt, type CancelSignal, StoreError } from "everwrite";

export type Saved =
  | { readonly kind: "saving" }
  /** Durable here, and on its way: it waits for hosts, however long. */
  | { readonly kind: "device" }
  | { readonly kind: "replicas"; readonly copies: number }
  /** Every owner of the key has it. */
  | { readonly kind: "everywhere" }
  | { readonly kind: "failed"; readonly reason: string };

interface Following {
  /** N. */
  readonly copies: number;
  readonly signal: CancelSignal;
  readonly tell: (saved: Saved) => void;
}

/**
 * Tells how a write gets safer, from this device to all of its `copies` owners; ends there, or with `signal`. It goes on in
 * the background whether anybody looks or not.
 */
export async function followWrite(
  { until, localOnly, durable }: BucketReceipt,
  { copies, signal, tell }: Following,
): Promise<void> {
  const told = (count: number): void => {
    if (!signal.aborted) tell(count >= copies ? { kind: "everywhere" } : { kind: "replicas", copies: count });
  };
  if (localOnly) tell({ kind: "device" });
  else told(durable.length);
  try {
    for (let count = 1; count < copies; count += 1) told(Math.min(copies - 1, await until(count, { signal })));
    // Hosts that stand in for an owner count above; in the end the owners themselves have it.
    await until("all", { signal });
    told(copies);
  } catch (error: unknown) {
    // More copies are asked for than there are hosts, a single one: the mark stays where it is.
    if (error instanceof StoreError && error.code === "bad-request") return;
    if (!signal.aborted) tell({ kind: "failed", reason: error instanceof Error ? error.message : String(error) });
  }
}
