/**
 * Every failure in one form: `{"error":{"code","message",…}}`. A 4xx changed nothing; after a 5xx a write may survive,
 * and the answer says whether.
 */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { statusOfCode, StoreError, type StoreErrorCode, type StoreErrorDetail } from "../../core/errors.ts";

export interface ErrorAnswer {
  readonly status: number;
  readonly body: { readonly error: ErrorBody };
}

interface ErrorBody extends StoreErrorDetail {
  readonly code: StoreErrorCode;
  readonly message: string;
  readonly writeMaySurvive?: true;
}

/** Codes of a server that refused before it began: even a write certainly did nothing. */
const untouched: ReadonlySet<string> = new Set(["not-ready", "not-member"]);

export function errorAnswer(error: unknown, isWrite: boolean): ErrorAnswer {
  const { code, message, detail } = asStoreError(error);
  const status = statusOfCode[code];
  const isUntouched = untouched.has(code) || detail.nothingWritten === true;
  if (!isWrite || status < 500 || isUntouched) return { status, body: { error: { code, message, ...detail } } };
  const warning =
    "the write may still survive: read before you write again, or repeat it under the same Everwrite-Write-Id";
  const text = /may (?:still )?survive/.test(message) ? message : `${message}; ${warning}`;
  return { status, body: { error: { code, message: text, ...detail, writeMaySurvive: true } } };
}

/** Hears of every failure that a client is told; bugs go to the log. */
export type NoteFailure = (error: unknown, request: { readonly method: string; readonly url: string }) => void;

/** What is neither ours nor the client's fault is a bug: its text stays in the log. */
export function isBug(error: unknown): boolean {
  return asStoreError(error).code === "internal";
}

function asStoreError(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const status = error instanceof Error && "statusCode" in error ? error.statusCode : undefined;
  if (typeof status === "number" && status >= 400 && status < 500) {
    return new StoreError("bad-request", textOf(error as Error & { readonly code?: string }), { cause: error });
  }
  return new StoreError("internal", "internal error; the host's log says more", { cause: error });
}

/** What the framework refused, with what to send instead where it does not say so. */
function textOf({ code = "", message }: Error & { readonly code?: string }): string {
  return instead[code] ?? message;
}

const instead: Readonly<Record<string, string>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: "the Content-Type must be a media type such as text/plain, or be left out",
  FST_ERR_BAD_URL: "the path holds a bad escape: each is % and two hex digits, and all together are UTF-8",
};

/**
 * A request that the HTTP parser refused, or that did not arrive in time: there is no request object, only a socket.
 * Its status is finer than the code's own, because HTTP has words for these.
 */
export function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, message] = clientErrors[error.code ?? ""] ?? ["400 Bad Request", `not HTTP: ${error.message}`];
  endWith(socket, status, message);
}

/** A tunnel would have the socket for itself: nothing of Node's server listens to it any more. */
export function refuseTunnel(_request: IncomingMessage, socket: Duplex): void {
  socket.on("error", () => socket.destroy());
  endWith(socket, "405 Method Not Allowed", "CONNECT is not possible here: this is no proxy");
}

function endWith(socket: Duplex, status: string, message: string): void {
  const body = JSON.stringify({ error: { code: "bad-request", message } });
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json; charset=utf-8\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

const clientErrors: Record<string, readonly [status: string, message: string] | undefined> = {
  HPE_HEADER_OVERFLOW: ["431 Request Header Fields Too Large", "the request line and headers exceed 64 KiB"],
  HPE_INVALID_URL: ["400 Bad Request", "the request target must be escaped: letters beyond ASCII are %-escaped UTF-8"],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: ["413 Payload Too Large", "the chunk extensions exceed 16 KiB"],
  ERR_HTTP_REQUEST_TIMEOUT: ["408 Request Timeout", "the request did not arrive in time"],
};
