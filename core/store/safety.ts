/**
 * How many replicas have a write by now: `until` of a host's writes. A host keeps no record of writes that met their
 * quorum, so the replicas are asked, again and again.
 */
import type { Explanation, NodeApi, WriteAnswer } from "../api.ts";
import { StoreError } from "../errors.ts";
import type { Clock, Random } from "../ports.ts";
import type { WaitOptions, WriteLevel } from "../store-node.ts";
import { abortedError, Cancellation, sleep } from "./cancel.ts";
import { backoffMs } from "./follow.ts";

type Replicas = Explanation["preferenceList"];

/** Of the write `answer` of a key; see `StoreWrite.until`. */
export async function untilSafe(
  deps: { readonly node: Pick<NodeApi, "explain">; readonly clock: Clock; readonly random: Random },
  write: { readonly bucket: string; readonly name: string; readonly answer: WriteAnswer },
  wanted: { readonly level: WriteLevel } & WaitOptions,
): Promise<number> {
  const { bucket, name, answer } = write;
  const { level, signal, timeoutMs } = wanted;
  const { receipt, dot } = answer;
  const needed = level === "local" ? 1 : level;
  if (typeof needed === "number" && receipt.got >= needed) return receipt.got;
  const limit = new Cancellation(signal);
  const stopTimer = timeoutMs === undefined ? () => {} : deps.clock.after(timeoutMs, () => limit.abort());
  try {
    for (let attempt = 0; ; attempt++) {
      const { preferenceList } = await deps.node.explain(bucket, name);
      const { got, of } = copies(preferenceList, dot, needed);
      if (typeof needed === "number" && needed > preferenceList.length) {
        throw new StoreError(
          "bad-request",
          `${needed} copies can never be: ${preferenceList.length} hosts may hold the key`,
        );
      }
      if (got >= of) return got;
      if (await sleep(deps.clock, backoffMs(attempt, deps.random), limit)) continue;
      if (signal?.aborted) throw abortedError(`waiting for the write of ${bucket}/${name}`);
      const text = `${of} durable copies of the write of ${bucket}/${name} waited for, ${got} made in ${timeoutMs} ms`;
      throw new StoreError("quorum-not-met", `${text}; it goes on being replicated`, { needed: of, got });
    }
  } finally {
    stopTimer();
    limit.release();
  }
}

/** How many have it, of how many that the level asks for. */
function copies(
  replicas: Replicas,
  dot: string,
  needed: number | "quorum" | "all",
): { readonly got: number; readonly of: number } {
  const owners = replicas.filter(({ role }) => role === "owner");
  const whole = owners.filter((replica) => covers(replica, dot));
  // It had met its quorum: if no owner knows its name any more, all have agreed to forget it (a reaped key, a cut clock).
  // All that may hold it are asked: what fallbacks keep for owners that were away is known still.
  const isKnown = replicas.some((replica) => covers(replica, dot));
  if (!isKnown && replicas.every(({ clock }) => clock !== undefined)) return { got: owners.length, of: 0 };
  if (needed === "all") return { got: whole.length, of: owners.length };
  const of = needed === "quorum" ? Math.floor(owners.length / 2) + 1 : needed;
  return { got: replicas.filter((replica) => covers(replica, dot)).length, of };
}

/** It has the value, or something that has seen it. */
function covers({ clock = [] }: Replicas[number], dot: string): boolean {
  const [actor, counter] = dot.split(":");
  return clock.some((entry) => entry.actor === actor && entry.counter >= Number(counter));
}
