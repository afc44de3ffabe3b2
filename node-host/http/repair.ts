/**
 * `POST /admin/repair?partition=P`: one line of JSON for each step, as it happens; the last one is the result.
 * A client that goes away ends the repair; what was repaired stays so.
 */
import { once } from "node:events";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { NodeApi, RepairProgress } from "../../core/api.ts";
import { StoreError } from "../../core/errors.ts";
import { wholeNumber } from "../text-values.ts";
import { errorAnswer, type NoteFailure } from "./errors.ts";
import { queryOf } from "./target.ts";

/** Lines are for people who wait: many partitions a second need not have one each. */
const lineIntervalMs = 100;

export function repairHandler(
  node: NodeApi,
  noteFailure: NoteFailure,
): (request: FastifyRequest, reply: FastifyReply) => Promise<void> {
  return async (request, reply) => {
    const { partition } = queryOf(request.url, { partition: wholeNumber });
    const end = new AbortController();
    const steps = node.repair({ signal: end.signal, ...(partition === undefined ? {} : { partition }) });
    // Before the first step an error still has a status of its own.
    const first = await steps[Symbol.asyncIterator]().next();
    if (first.done === true) throw new StoreError("closed", "this node is stopping");

    reply.hijack();
    const { raw } = reply;
    raw.once("close", () => end.abort());
    raw.writeHead(200, { "content-type": "application/x-ndjson; charset=utf-8", "cache-control": "no-store" });
    try {
      await send(raw, first.value, steps, end.signal);
    } catch (error) {
      if (end.signal.aborted) return;
      noteFailure(error, request);
      raw.write(`${JSON.stringify(errorAnswer(error, false).body)}\n`);
    } finally {
      end.abort();
      raw.end();
    }
  };
}

async function send(
  raw: FastifyReply["raw"],
  first: RepairProgress,
  steps: AsyncIterable<RepairProgress>,
  signal: AbortSignal,
): Promise<void> {
  let [last, sentMs] = [first, -Infinity];
  const write = async (): Promise<void> => {
    sentMs = performance.now();
    if (!raw.write(`${JSON.stringify(last)}\n`)) await once(raw, "drain", { signal });
  };
  await write();
  for await (const step of steps) {
    last = step;
    if (step.done === step.total || performance.now() - sentMs >= lineIntervalMs) await write();
  }
  if (last.done < last.total && !signal.aborted)
    throw new StoreError("closed", "the repair ended early: this node is stopping");
}
