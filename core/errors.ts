/**
 * The one error that leaves the store. `code` is stable: programs branch on it, people read `message`.
 * Inside, expected failures are values; bugs crash through `invariant`.
 */

/** Every way a request can fail, with the HTTP status it becomes. A 4xx changed nothing; after a 5xx the write may survive. */
export const statusOfCode = {
  "bad-request": 400,
  "bad-context": 400,
  unauthorized: 401,
  forbidden: 403,
  "not-found": 404,
  "precondition-failed": 409,
  "clock-skew": 409,
  "value-too-large": 413,
  "too-many-siblings": 429,
  overloaded: 429,
  undecodable: 422,
  "invalid-value": 422,
  "bad-merge": 500,
  corrupt: 500,
  internal: 500,
  "quorum-not-met": 503,
  "storage-full": 503,
  "not-ready": 503,
  "not-member": 503,
  closed: 503,
  aborted: 503,
  "outcome-unknown": 504,
} as const;

/** The stable part of an error. */
export type StoreErrorCode = keyof typeof statusOfCode;

/** Machine-readable part of an error: how many replicas were needed and answered, and which; which value it is about. */
export interface StoreErrorDetail {
  /** `bucket/name`. */
  readonly key?: string;
  readonly dot?: string;
  readonly needed?: number;
  readonly got?: number;
  /** What a schema finds wrong with a value, and where in it (`lines.0.price`). */
  readonly issues?: readonly { readonly path: string; readonly message: string }[];
  /** Node ids of the replicas that did answer. */
  readonly from?: readonly string[];
  /** Of a write that fails with what others may survive: it was refused before anything of it was stored. */
  readonly nothingWritten?: boolean;
  /** Of an edge's write: which of its contexts hosts cannot open, by their places. */
  readonly contexts?: readonly number[];
}

/** What every public call rejects with. */
export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly code: StoreErrorCode;
  readonly detail: StoreErrorDetail;

  constructor(code: StoreErrorCode, message: string, detail: StoreErrorDetail & { cause?: unknown } = {}) {
    const { cause, ...rest } = detail;
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.detail = rest;
  }
}

/** A broken invariant is a bug, never an expected failure: it is thrown, and nothing catches it by code. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`invariant broken: ${message}`);
}
