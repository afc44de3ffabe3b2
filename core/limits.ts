/**
 * Limits on what a client may write, checked once, where the write enters: at a host, or at the edge and then at the host
 * that takes it from there (PROTOCOL 1).
 */
import {
  compareDots,
  type Dot,
  isUpdate,
  type LiveValue,
  parseDot,
  type ValueKind,
  type Versioned,
} from "./causality/version-set.ts";
import type { NodeConfig } from "./config.ts";
import { problemOfUpdate } from "./values/yjs-update.ts";
import { StoreError } from "./errors.ts";
import type { Key } from "./identity.ts";

export const contentTypeDefault = "application/octet-stream";
/** Events that one write may name as contained in it; above the siblings that a key may have. */
export const foldsMax = 1_000;
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

/** The updates that a write of kind yjs holds in itself. @throws StoreError `bad-request` */
export function foldsOf(kind: ValueKind, folds: readonly string[] | undefined): readonly Dot[] {
  if (folds === undefined || folds.length === 0) return [];
  if (kind !== "yjs") throw new StoreError("bad-request", "only an update of a document folds others");
  if (folds.length > foldsMax) throw new StoreError("bad-request", `at most ${foldsMax} updates are folded by one`);
  return folds.map((text) => {
    const dot = parseDot(text);
    if (dot === undefined) throw new StoreError("bad-request", `"${text}" is not the name of an event`);
    return dot;
  });
}

/**
 * Whether an update fits its document: `held` is what is known of the key, `kind` what the write has become on it. What makes
 * a document smaller is always taken.
 * @returns bytes of the document with it
 * @throws StoreError `bad-request`, `value-too-large`
 */
export function checkUpdate(
  { valueBytesMax }: Pick<Limits, "valueBytesMax">,
  key: Key,
  {
    held,
    kind,
    body,
    folds,
  }: {
    readonly held: Versioned;
    readonly kind: ValueKind;
    readonly body: Uint8Array;
    readonly folds: readonly Dot[];
  },
): number {
  const problem = problemOfUpdate(body);
  if (problem !== undefined) throw new StoreError("bad-request", `this is no update of a Yjs document: ${problem}`);
  // One that became lww would replace all others.
  if (kind !== "yjs") throw new StoreError("bad-request", `${key} holds lww values: it cannot be a document as well`);
  const updates = held.values.filter(isUpdate);
  const isKept = ({ dot }: LiveValue): boolean => !folds.some((fold) => compareDots(fold, dot) === 0);
  const bytesOf = (values: readonly LiveValue[]): number => values.reduce((sum, value) => sum + value.body.length, 0);
  const bytes = bytesOf(updates.filter(isKept)) + body.length;
  if (bytes <= valueBytesMax || bytes <= bytesOf(updates)) return bytes;
  const wayOut = "fold its updates into one without what was deleted, or divide it";
  const text = `the document ${key} would have ${bytes} bytes, at most ${valueBytesMax} are allowed: ${wayOut}`;
  throw new StoreError("value-too-large", text);
}

/** @throws StoreError `bad-request` */
export function checkRenewal({ renews, context }: { readonly renews?: boolean; readonly context?: string }): void {
  if (renews === true && context === undefined) throw new StoreError("bad-request", "a renewal needs a context");
}

/** @throws StoreError `bad-request` */
export function checkTtl(ttlMs: number | undefined): void {
  if (ttlMs !== undefined) checkRange("ttlMs", ttlMs, ttlMaxMs);
}

/** How long a request may take. @throws StoreError `bad-request` */
export function timeoutOf(
  { requestTimeoutMs, requestTimeoutMaxMs }: Pick<Limits, "requestTimeoutMs" | "requestTimeoutMaxMs">,
  timeoutMs: number | undefined,
): number {
  if (timeoutMs === undefined) return requestTimeoutMs;
  checkRange("timeoutMs", timeoutMs, requestTimeoutMaxMs);
  return timeoutMs;
}

/** Keys in one answer to a list. */
export const listLimitMax = 10_000;

/** @throws StoreError `bad-request` */
export function listLimitOf({ limit = 1_000 }: { readonly limit?: number }): number {
  checkRange("limit", limit, listLimitMax);
  return limit;
}

function checkRange(name: string, value: number, max: number): void {
  if (Number.isSafeInteger(value) && value >= 1 && value <= max) return;
  throw new StoreError("bad-request", `${name} must be a whole number of 1 to ${max}, not ${value}`);
}
