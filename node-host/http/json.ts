/**
 * Answers as JSON, the same for a read and for a watch.
 */
import { isUtf8 } from "node:buffer";
import type { LocalAnswer, ReadAnswer, Sibling, WriteAnswer } from "../../core/api.ts";

/** The latest moment that a JavaScript date can hold; stamps of other nodes are not ours to trust. */
const DATE_MAX_MS = 8.64e15;

export function readJson(answer: ReadAnswer | LocalAnswer): object {
  return {
    siblings: answer.siblings.map(siblingJson),
    context: answer.context,
    ...(answer.deleted && { deleted: true }),
    ...(answer.degraded && { degraded: true }),
    ...("holding" in answer && { holding: answer.holding }),
  };
}

export function writeJson({ context, receipt, siblings }: WriteAnswer): object {
  return { context, receipt, ...(siblings && { siblings: siblings.map(siblingJson) }) };
}

/** `utf8` whenever the bytes are valid UTF-8, whatever the content type claims: both encodings give back the exact bytes. */
function siblingJson(sibling: Sibling): object {
  const bytes = Buffer.from(sibling.body.buffer, sibling.body.byteOffset, sibling.body.byteLength);
  const encoding = isUtf8(bytes) ? "utf8" : "base64";
  return {
    value: bytes.toString(encoding),
    encoding,
    contentType: sibling.contentType,
    kind: sibling.kind,
    time: isoTime(sibling.timeMs),
    dot: sibling.dot,
    ...(sibling.expiresAtMs !== undefined && { expires: isoTime(sibling.expiresAtMs) }),
  };
}

export function isoTime(ms: number): string {
  return new Date(Math.min(Math.max(ms, 0), DATE_MAX_MS)).toISOString();
}
