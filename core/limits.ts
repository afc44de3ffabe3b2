/**
 * Limits on what a client may write, checked once, where the write enters: at a host, or at the edge and then at the host
 * that takes it from there (PROTOCOL 1).
 */
import type { NodeConfig } from "./config.ts";
import { StoreError } from "./errors.ts";
import type { Key } from "./identity.ts";

export const contentTypeDefault = "application/octet-stream";
/** Ten years: an absolute time that stays a safe integer with any wall clock. */
export const ttlMaxMs = 315_360_000_000;

type Limits = Pick<NodeConfig, "valueBytesMax" | "contentTypeBytesMax" | "requestTimeoutMs" | "requestTimeoutMaxMs">;

/** @throws StoreError `value-too-large` */
export function checkBody({ valueBytesMax }: Pick<Limits, "valueBytesMax">, key: Key, body: Uint8Array): void {
  if (body.length <= valueBytesMax) return;
  const text = `the value of ${key} has ${body.length} bytes, at most ${valueBytesMax} are allowed`;
  throw new StoreError("value-too-large", text);
}

/** @throws StoreError `bad-request` */
export function checkContentType({ contentTypeBytesMax }: Pick<Limits, "contentTypeBytesMax">, type: string): void {
  if (type.length <= contentTypeBytesMax && /^[\x20-\x7e]+$/.test(type)) return;
  const rule = `1 to ${contentTypeBytesMax} printable ASCII characters`;
  throw new StoreError("bad-request", `the content type must have ${rule}`);
}

/** @throws StoreError `bad-request` */
export function checkKind(kind: string): void {
  if (kind === "yjs") throw new StoreError("bad-request", "values of kind yjs are not supported by this version");
}

/** @throws StoreError `bad-request` */
/** @throws StoreError `bad-request` */
export function checkRenewal({ renews, context }: { readonly renews?: boolean; readonly context?: string }): void {
  if (renews === true && context === undefined) throw new StoreError("bad-request", "a renewal needs a context");
}

export function checkTtl(ttlMs: number | undefined): void {
  if (ttlMs === undefined || (Number.isSafeInteger(ttlMs) && ttlMs >= 1 && ttlMs <= ttlMaxMs)) return;
  throw new StoreError("bad-request", `ttlMs must be a whole number of 1 to ${ttlMaxMs}, not ${ttlMs}`);
}

/** How long a request may take. @throws StoreError `bad-request` */
export function timeoutOf(
  { requestTimeoutMs, requestTimeoutMaxMs }: Pick<Limits, "requestTimeoutMs" | "requestTimeoutMaxMs">,
  timeoutMs: number | undefined,
): number {
  if (timeoutMs === undefined) return requestTimeoutMs;
  if (Number.isSafeInteger(timeoutMs) && timeoutMs >= 1 && timeoutMs <= requestTimeoutMaxMs) return timeoutMs;
  const range = `a whole number of 1 to ${requestTimeoutMaxMs}`;
  throw new StoreError("bad-request", `timeoutMs must be ${range}, not ${timeoutMs}`);
}
