/**
 * Waiting until a write is as safe as asked. Where hosts have acknowledged less than that, it is sent again with the level
 * that is asked for: the same event, or one that others have replaced already; either way the hosts' copies count.
 */
import { StoreError } from "../errors.ts";
import { TransportError } from "../ports.ts";
import { resolveQuorum } from "../quorum/resolve.ts";
import type { WaitOptions, WriteLevel } from "../store-node.ts";
import type { Tasks } from "../tasks.ts";
import type { EdgeConfig } from "./config.ts";
import type { Contact } from "./contact.ts";
import type { Delivery } from "./delivery.ts";
import type { OutboxWrite } from "./outbox.ts";
import { isPassing } from "./refusals.ts";
import { unlessAborted, untilMet } from "./waiting.ts";

interface UntilDeps {
  readonly tasks: Tasks;
  readonly contact: Contact;
  readonly delivery: Delivery;
  readonly config: EdgeConfig;
}

/** Somebody waits, and a host that is back is to be seen soon: shorter than for what is sent unasked. */
const pauseMsMax = 5_000;

/** @throws StoreError as `StoreWrite.until` */
export async function untilLevel(
  deps: UntilDeps,
  write: OutboxWrite,
  level: WriteLevel,
  { signal, timeoutMs }: WaitOptions,
): Promise<number> {
  if (level === "local") return write.ack?.durable.length ?? 0;
  const { tasks, contact, delivery, config } = deps;
  const levels = level === "all" ? { w: level, pw: level } : { w: String(level) };
  let isLate = false;
  const stopTimer = timeoutMs === undefined ? () => {} : tasks.after(timeoutMs, () => void (isLate = true));
  const late = (): StoreError =>
    new StoreError("quorum-not-met", `the write of ${write.key} is not yet as safe as "${level}" asks`, {
      needed: neededFor(contact, level),
      got: write.ack?.durable.length ?? 0,
    });
  const wait = { ...(signal && { signal }), ...(timeoutMs === undefined ? {} : { timeoutMs }) };
  try {
    neededFor(contact, level);
    const isMet = (): boolean => !write.isPending;
    const listen = (heard: () => void) => write.onChange(heard);
    if ((await untilMet(tasks, { isMet, listen }, wait)) === "late") throw late();
    if (write.parkedFor !== undefined) throw write.parkedFor;
    for (let pauseMs = config.retryFirstMs; !isSafe(contact, write, level); pauseMs *= 2) {
      try {
        write.ack = await unlessAborted(signal, delivery.repeat(write, levels, config.requestTimeoutMs));
      } catch (error: unknown) {
        if (!(error instanceof TransportError) && !isPassing(error)) throw error;
        await unlessAborted(signal, tasks.sleep(Math.min(pauseMs, pauseMsMax, config.retryMaxMs)));
      }
      if (!isSafe(contact, write, level) && (isLate || tasks.stopped)) throw late();
    }
    return write.ack!.durable.length;
  } finally {
    stopTimer();
  }
}

/** @throws StoreError `bad-request`: there are not as many hosts */
function neededFor({ replicas }: Contact, level: Exclude<WriteLevel, "local">): number {
  try {
    return resolveQuorum(level, replicas, "w");
  } catch (error: unknown) {
    if (error instanceof StoreError && error.code === "quorum-not-met")
      throw new StoreError("bad-request", error.message);
    throw error;
  }
}

/** "all" counts owners alone. */
function isSafe(contact: Contact, { ack, key }: OutboxWrite, level: Exclude<WriteLevel, "local">): boolean {
  if (ack === undefined) return false;
  const owners = contact.ownersOf(key);
  const counted = ack.durable.filter((id) => level !== "all" || owners.includes(id));
  return counted.length >= neededFor(contact, level);
}
