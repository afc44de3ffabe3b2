/** How a bucket of sessions is used: the paper's session store (6.1, "timestamp based reconciliation"), with expiry. */
import { lww } from "../values/conflict-rules.ts";
import type { BucketOptions } from "./bucket.ts";

/**
 * The last write wins, and a session ends `ttlMs` after it was last written or read (`sliding: false`: written). A session
 * that is deleted stays deleted, however many read it in that moment.
 *
 * @example
 * const logins = store.bucket("logins", sessions<Login>({ ttlMs: 1_800_000 }));
 */
export function sessions<T>({
  ttlMs,
  sliding = true,
}: {
  readonly ttlMs: number;
  readonly sliding?: boolean;
}): BucketOptions<T> {
  return { conflict: lww<T>(), ttlMs, sliding };
}
