/**
 * What the bytes of a read mean to the application: decoded, and folded by the bucket's rule.
 * Invariant: a value that cannot be decoded hides no other, and no write that follows can drop it unseen: the read then
 * hands out no context.
 */
import { StoreError } from "../errors.ts";
import type { ReadSource, StoreRead } from "../store-node.ts";
import type { Codec } from "../values/codecs.ts";
import type { Candidate, ConflictRule } from "../values/conflict-rules.ts";

/** A key as a bucket sees it. Not to be changed: others may be given the same. */
export interface BucketRead<T> {
  /** All that can be decoded, in the order of their dots; none: absent, or see `problems`. */
  readonly values: readonly T[];
  /** When there is one, or the bucket's rule makes one of them. */
  readonly value: T | undefined;
  /** Of what was seen, for the next write. Undefined: the key was never written, or some of it could not be decoded. */
  readonly context: string | undefined;
  /** A delete is concurrent with the values. */
  readonly deleted: boolean;
  /** Too few replicas answered: the values are real, but newer ones may exist. */
  readonly degraded: boolean;
  /** `local`: from this node's own copy, without asking others. */
  readonly source: ReadSource;
  /** It holds a write of this node that no quorum of hosts has yet. */
  readonly pending: boolean;
  /** `undecodable`, with key and dot, for each value that cannot be decoded; `internal`: the merge function threw. */
  readonly problems: readonly StoreError[];
  /** The bytes of all siblings, and the context of all of them: what overwrites or copies also what cannot be decoded. */
  readonly raw: StoreRead;
}

/** How a bucket reads and writes. */
export interface Format<T> {
  readonly codec: Codec<T>;
  readonly rule: ConflictRule<T>;
}

export function decodeRead<T>(read: StoreRead, key: string, { codec, rule }: Format<T>): BucketRead<T> {
  const decoded: Candidate<T>[] = [];
  const problems: StoreError[] = [];
  for (const sibling of read.siblings) {
    const { dot, timeMs, contentType, body } = sibling;
    try {
      decoded.push({ value: codec.decode(body), timeMs, dot });
    } catch (cause: unknown) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      const what = `the value ${dot} of ${key} (${contentType}, ${body.length} bytes)`;
      problems.push(new StoreError("undecodable", `${what} cannot be decoded: ${reason}`, { key, dot, cause }));
    }
  }
  const context = problems.length === 0 ? (read.context ?? undefined) : undefined;
  let value: T | undefined;
  try {
    value = fold(rule, decoded, read.siblings.length);
  } catch (cause: unknown) {
    problems.push(new StoreError("internal", `the merge function threw for ${key}: ${String(cause)}`, { key, cause }));
  }
  const { deleted, degraded, source, pending } = read;
  const values = Object.freeze(decoded.map((each) => each.value));
  return Object.freeze({ values, value, context, deleted, degraded, source, pending, problems, raw: read });
}

/** `siblings`: all, with those that could not be decoded. */
function fold<T>(rule: ConflictRule<T>, decoded: readonly Candidate<T>[], siblings: number): T | undefined {
  const [first] = decoded;
  if (first === undefined) return undefined;
  // One that can be read beside some that cannot: whether it is the value is for the rule to say.
  return siblings === 1 ? first.value : rule.resolve(decoded);
}

export function encodeValue<T>(value: T, key: string, { codec }: Format<T>): Uint8Array {
  try {
    return codec.encode(value);
  } catch (cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new StoreError("bad-request", `the value for ${key} cannot be encoded: ${reason}`, { key, cause });
  }
}
