/**
 * Lets values live on: writes them anew, with the time to live of their bucket.
 * Invariant: a renewal replaces nothing but what it has read. A session that somebody ends, or changes, in the same moment
 * stays ended, or changed: the renewal is stamped just above what it has read, and loses to the other (`Minter`).
 */
import type { PutOptions, Sibling } from "../api.ts";
import { Recent } from "../bytes/recent.ts";
import { StoreError } from "../errors.ts";
import type { Clock } from "../ports.ts";
import type { StoreNode, StoreRead } from "../store-node.ts";
import { reasonOf } from "../tasks.ts";

interface RenewalDeps {
  readonly node: StoreNode;
  readonly clock: Clock;
  readonly bucket: string;
  /** Of the bucket, with its `ttlMs`. */
  readonly put: PutOptions;
  /** Of those that nobody waits for. */
  readonly onError: (error: StoreError) => void;
}

/** A value that is read all the time is written this often in its time to live. */
const perTtl = 10;
/** Keys of which it is remembered when they were renewed. */
const keysMax = 10_000;

export class Renewals {
  readonly #deps: RenewalDeps;
  readonly #renewedMs = new Recent<string, number>(keysMax, () => 1);

  constructor(deps: RenewalDeps) {
    this.#deps = deps;
  }

  /** A key was read: where it is due its value is renewed, behind the reader's back. */
  noteRead(name: string, read: StoreRead): void {
    const { clock, put, onError } = this.#deps;
    const isWhole = read.source === "quorum" && !read.pending && !read.degraded;
    const sinceMs = clock.now() - (this.#renewedMs.get(name) ?? -Infinity);
    if (!isWhole || read.siblings.length !== 1 || sinceMs < put.ttlMs! / perTtl) return;
    this.#renewedMs.set(name, clock.now());
    this.renew(name, read).catch((cause: unknown) => {
      this.#renewedMs.delete(name);
      onError(cause instanceof StoreError ? cause : new StoreError("internal", reasonOf(cause), { cause }));
    });
  }

  /** False: there is not one value that could live on. @throws StoreError as a put */
  async renew(name: string, { siblings, context }: StoreRead): Promise<boolean> {
    const { node, bucket, put } = this.#deps;
    const [only, ...others] = siblings;
    if (only === undefined || others.length > 0 || context === null) return false;
    await node.put(bucket, name, only.body, optionsOf(put, only, context));
    return true;
  }
}

function optionsOf(put: PutOptions, { contentType, kind }: Sibling, context: string): PutOptions {
  return { ...put, contentType, kind, context, renews: true };
}
