/**
 * A watch that goes on: where the node's own ends or fails (it began anew on an empty disk, say), it is begun again.
 */
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

/** Which keys of a bucket. */
export type Followed = { readonly name: string } | { readonly prefix: string };

/** Trying again changes nothing of these. */
const finalCodes: ReadonlySet<string> = new Set(["bad-request", "unauthorized", "forbidden", "closed"]);

/** @throws StoreError one that trying again cannot mend; the others are told to `onError` */
export async function* follow(
  deps: FollowDeps,
  what: { readonly bucket: string; readonly keys: Followed; readonly onError: (error: StoreError) => void },
  signal: CancelSignal,
): AsyncGenerator<StoreChange> {
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      for await (const change of deps.node.watch(what.bucket, what.keys, signal)) {
        attempt = 0;
        yield change;
      }
    } catch (error: unknown) {
      if (!(error instanceof StoreError) || finalCodes.has(error.code)) throw error;
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
