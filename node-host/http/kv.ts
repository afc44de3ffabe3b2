/**
 * `/kv/{bucket}/{key}`: read, write, delete, list.
 * Translates and nothing more: what a request means is decided by the node.
 */
import { type IncomingMessage, validateHeaderValue } from "node:http";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { LocalAnswer, NodeApi, PutOptions, ReadAnswer, ValueKind } from "../../core/api.ts";
import { StoreError } from "../../core/errors.ts";
import { anyText, flag, integerUpTo, oneOf, quorumSpec } from "../text-values.ts";
import { asOneDocument, foldUpdates } from "./documents.ts";
import { readJson, writeJson } from "./json.ts";
import type { HttpConfig } from "./server.ts";
import { keyTarget, oneKeyTarget, queryOf } from "./target.ts";

type Handler = (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;

const CONTEXT_BYTES_MAX = 32_768; // PROTOCOL 3; the header limit of 64 KiB leaves room beside it
const TTL_MAX_MS = 315_360_000_000; // ten years: longer is a mistake in the unit
/** Of each of the two requests of a fold. */
const foldMsMax = 1_000;
const LIST_LIMIT_MAX = 10_000; // names of 1 KiB at most, so a page stays near 10 MB

const valueKind = oneOf<readonly ValueKind[]>("opaque", "lww", "yjs");

export function kvHandlers(node: NodeApi, config: HttpConfig): { GET: Handler; PUT: Handler; DELETE: Handler } {
  const timeoutMs = integerUpTo(config.requestTimeoutMaxMs);
  const readQuery = { r: quorumSpec, timeoutMs, local: flag };
  const listQuery = { prefix: anyText, after: anyText, limit: integerUpTo(LIST_LIMIT_MAX), timeoutMs };
  const deleteQuery = { w: quorumSpec, pw: quorumSpec, timeoutMs, returnBody: flag };
  const putQuery = { ...deleteQuery, ifAbsent: flag, ttlMs: integerUpTo(TTL_MAX_MS) };

  async function get(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    reply.header("vary", "Accept");
    const { bucket, name } = keyTarget(request.url, config.keyBytesMax);
    if (name === "") {
      const { after, ...page } = queryOf(request.url, listQuery);
      return node.list(bucket, after ? { ...page, after } : page);
    }
    const { local, ...options } = queryOf(request.url, readQuery);
    const answer = local
      ? await node.getLocal(bucket, name)
      : await node.get(bucket, name, { ...options, signal: clientGone(reply) });
    return sendRead(request, reply, await asOneDocument(answer), `${bucket}/${name}`);
  }

  async function put(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    const { bucket, name } = oneKeyTarget(request.url, config.keyBytesMax);
    const { returnBody = false, ...query } = queryOf(request.url, putQuery);
    const options: PutOptions = {
      ...query,
      ...causeOf(request),
      contentType: contentTypeOf(request),
      kind: kindOf(request),
      returnSiblings: returnBody,
    };
    const body = await readBody(request.raw, config.valueBytesMax);
    if (options.kind !== "yjs") return sendWrite(reply, await node.put(bucket, name, body, options));
    const [beganMs, wholeMs] = [performance.now(), options.timeoutMs ?? config.requestTimeoutMaxMs];
    await foldUpdates(node, bucket, name, Math.max(1, Math.min(foldMsMax, Math.floor(wholeMs / 4))));
    const leftMs = Math.max(1, Math.floor(wholeMs - (performance.now() - beganMs)));
    const limit = options.timeoutMs === undefined ? {} : { timeoutMs: leftMs };
    return sendWrite(reply, await node.put(bucket, name, body, { ...options, ...limit }));
  }

  async function remove(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    const { bucket, name } = oneKeyTarget(request.url, config.keyBytesMax);
    const { returnBody = false, ...query } = queryOf(request.url, deleteQuery);
    const options = { ...query, ...causeOf(request), returnSiblings: returnBody };
    return sendWrite(reply, await node.delete(bucket, name, options));
  }

  return { GET: get, PUT: put, DELETE: remove };
}

/** Aborts when the client hangs up before the answer: nobody waits for that read any more. */
function clientGone(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once("close", () => gone.abort());
  return gone.signal;
}

function sendRead(
  request: FastifyRequest,
  reply: FastifyReply,
  answer: ReadAnswer | LocalAnswer,
  key: string,
): unknown {
  setContext(reply, answer.context);
  if (answer.degraded) reply.header("everwrite-degraded", "true");
  if ("holding" in answer) reply.header("everwrite-holding", answer.holding);
  const [sibling, ...others] = answer.siblings;
  if (sibling === undefined) {
    const error = { code: "not-found", message: `${key} has no value` };
    return reply.code(404).send({ error, ...readJson(answer) });
  }
  if (acceptsJson(request.headers.accept)) return reply.send(readJson(answer));
  if (others.length > 0) return reply.code(300).send(readJson(answer));

  if (answer.deleted) reply.header("everwrite-deleted", "true");
  return (
    reply
      // A stored page must not run as a page of this origin, nor a stored anything be taken for a script.
      .header("content-security-policy", "sandbox; default-src 'none'")
      .header("x-content-type-options", "nosniff")
      .header("content-type", sendableContentType(sibling.contentType))
      .send(Buffer.from(sibling.body))
  );
}

function sendWrite(reply: FastifyReply, answer: Awaited<ReturnType<NodeApi["put"]>>): unknown {
  setContext(reply, answer.context);
  return reply.send(writeJson(answer));
}

function setContext(reply: FastifyReply, context: string | null): void {
  if (context !== null) reply.header("everwrite-context", context);
}

/** JSON only where it is named: `*\/*`, which every client sends, asks for the value as it was stored. */
function acceptsJson(accept = ""): boolean {
  return accept.split(",").some((range) => {
    const [type, ...parameters] = range.toLowerCase().split(";");
    return type?.trim() === "application/json" && !parameters.some((parameter) => /^\s*q=0(\.0*)?\s*$/.test(parameter));
  });
}

/** Another node stored it, so it may hold anything; a line break in it would otherwise break the answer. */
function sendableContentType(contentType: string): string {
  try {
    validateHeaderValue("content-type", contentType);
    return contentType || "application/octet-stream";
  } catch {
    return "application/octet-stream";
  }
}

/** What the write has seen, and which event it is. */
function causeOf({ headers }: FastifyRequest): Pick<PutOptions, "context" | "writeId"> {
  const context = headers["everwrite-context"]?.toString();
  const writeId = headers["everwrite-write-id"]?.toString();
  if (context === "")
    throw new StoreError("bad-context", "Everwrite-Context is empty: leave it out to write without one");
  if (context !== undefined && context.length > CONTEXT_BYTES_MAX) {
    throw new StoreError(
      "bad-context",
      `Everwrite-Context has ${context.length} bytes, the limit is ${CONTEXT_BYTES_MAX}`,
    );
  }
  if (writeId !== undefined && !/^[0-9a-f]{16}$/i.test(writeId)) {
    throw new StoreError("bad-request", `Everwrite-Write-Id="${writeId}": expected 16 hex digits`);
  }
  return { ...(context && { context }), ...(writeId && { writeId: writeId.toLowerCase() }) };
}

function kindOf({ headers }: FastifyRequest): ValueKind {
  const text = headers["everwrite-kind"]?.toString() ?? "opaque";
  const kind = valueKind.parse(text);
  if (kind === undefined)
    throw new StoreError("bad-request", `Everwrite-Kind="${text}": expected ${valueKind.expects}`);
  return kind;
}

function contentTypeOf({ headers }: FastifyRequest): string {
  for (const header of ["content-encoding", "content-range"]) {
    // Stored without it the bytes would mean something else when read.
    if (headers[header] !== undefined)
      throw new StoreError("bad-request", `${header} is not supported: send the whole plain value`);
  }
  return headers["content-type"] ?? "application/octet-stream";
}

/**
 * The body's bytes, whatever its type. What is too large is read on and thrown away: closing with bytes unread would
 * reset the connection, and many clients then never see the answer.
 */
async function readBody(request: IncomingMessage, bytesMax: number): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let bytes = Number(request.headers["content-length"] ?? 0) > bytesMax ? Infinity : 0;
  try {
    if (bytes <= bytesMax) {
      for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes > bytesMax) break;
        chunks.push(chunk);
      }
    }
  } catch (cause) {
    throw new StoreError("bad-request", "the request ended before its body was complete", { cause });
  }
  if (bytes > bytesMax) {
    request.resume();
    throw new StoreError("value-too-large", `a value has at most ${bytesMax} bytes`);
  }
  return Buffer.concat(chunks);
}
