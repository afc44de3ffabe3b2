/**
 * A watch that goes on: where the node's own ends or fails (it began anew on an empty disk, say), it is begun again.
 */
import type { Watched } from "../api.ts";
import { StoreError } from "../errors.ts";
import type { CancelSignal, Clock, Random } from "../ports.ts";
import type { StoreChange, StoreNode } from "../store-node.ts";
import { sleep } from "./cancel.ts";

/** What follows, retries and waits need. */
export interface FollowDeps {
  readonly node: StoreNode;
  readonly clock: Clock;
  readonly random: Random;
}

/** Trying again changes nothing of these. */
const finalCodes: ReadonlySet<string> = new Set(["bad-request", "unauthorized", "forbidden", "closed"]);

/** @throws StoreError one that trying again cannot mend; the others are told to `onError` */
export async function* follow(
  deps: FollowDeps,
  what: { readonly bucket: string; readonly keys: Watched; readonly onError: (error: StoreError) => void },
  signal: CancelSignal,
): AsyncGenerator<StoreChange> {
  const shown = new Set<string>();
  const keys = "name" in what.keys ? what.keys : { ...what.keys, shown };
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      for await (const change of deps.node.watch(what.bucket, keys, signal)) {
        attempt = 0;
        if (change.siblings.length > 0) shown.add(change.name);
        else shown.delete(change.name);
        yield change;
      }
    } catch (error: unknown) {
      const isFinal = !(error instanceof StoreError) || finalCodes.has(error.code) || deps.node.facts().ended;
      if (isFinal) throw error;
      what.onError(error);
    }
    await sleep(deps.clock, backoffMs(attempt, deps.random), signal);
  }
}

const backoffMsMin = 50;
const backoffMsMax = 2_000;

/** Exponential with full jitter: those that failed together do not come again together. */
export function backoffMs(attempt: number, random: Random): number {
  return random.next() * Math.min(backoffMsMax, backoffMsMin * 2 ** attempt);
}
