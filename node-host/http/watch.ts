/**
 * `/watch/{bucket}/{key}` and `/watch/{bucket}/?prefix=`: server-sent events, the current state first.
 * A slow reader slows its own stream: the next state is fetched only when the last one has left.
 */
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { NodeApi, WatchEvent } from "../../core/api.ts";
import { StoreError } from "../../core/errors.ts";
import { anyText } from "../text-values.ts";
import { asOneDocument } from "./documents.ts";
import { errorAnswer, type NoteFailure } from "./errors.ts";
import { readJson } from "./json.ts";
import type { HttpConfig } from "./server.ts";
import { keyTarget, queryOf } from "./target.ts";

export interface Watches {
  readonly handler: (request: FastifyRequest, reply: FastifyReply) => Promise<void>;
  /** Ends all streams: a server that waited for its clients to leave would never stop. */
  readonly endAll: () => void;
}

export function watches(node: NodeApi, config: HttpConfig, noteFailure: NoteFailure): Watches {
  const open = new Set<AbortController>();

  async function handler(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { bucket, name } = keyTarget(request.url, config.keyBytesMax);
    const { prefix = "" } = queryOf(request.url, name === "" ? { prefix: anyText } : {}) as { prefix?: string };
    const end = new AbortController();
    const states = node.watch(bucket, name === "" ? { prefix } : { name }, end.signal);

    reply.hijack(); // from here on the framework keeps its hands off
    open.add(end);
    reply.raw.once("close", () => end.abort());
    try {
      await stream(reply.raw, states, { signal: end.signal, pingMs: config.watchPingMs });
    } catch (error) {
      if (end.signal.aborted) return;
      noteFailure(error, request);
      reply.raw.write(`event: error\ndata: ${JSON.stringify(errorAnswer(error, false).body)}\n\n`);
    } finally {
      open.delete(end);
      end.abort();
      reply.raw.end();
    }
  }

  return { handler, endAll: () => open.forEach((end) => end.abort()) };
}

async function stream(
  response: ServerResponse,
  states: AsyncIterable<WatchEvent>,
  { signal, pingMs }: { signal: AbortSignal; pingMs: number },
): Promise<void> {
  response.writeHead(200, {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-accel-buffering": "no", // nginx would hold states back
  });
  response.flushHeaders();
  // Tells both ends, and every proxy between them, that the silence is not a dead connection.
  const ping = setInterval(() => response.writableNeedDrain || response.write(": ping\n\n"), pingMs);
  try {
    for await (const state of states) {
      const data = JSON.stringify({ bucket: state.bucket, key: state.name, ...readJson(await asOneDocument(state)) });
      if (!response.write(`event: state\ndata: ${data}\n\n`)) await once(response, "drain", { signal });
    }
    if (!signal.aborted) throw new StoreError("closed", "the watch ended: this node is stopping");
  } finally {
    clearInterval(ping);
  }
}
