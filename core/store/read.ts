/**
 * What the bytes of a read mean to the application: decoded, validated, and folded by the bucket's rule.
 * Invariant: a value that cannot be understood hides no other, and no write that follows can drop it unseen: the read then
 * hands out no context.
 */
import type { Sibling } from "../api.ts";
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import type { ReadSource, StoreRead } from "../store-node.ts";
import type { Codec } from "../values/codecs.ts";
import type { Candidate, ConflictRule } from "../values/conflict-rules.ts";
import { problemOfMerge } from "../values/merge-check.ts";
import { type StandardSchema, validate, type Validated } from "../values/schema.ts";
import type { Pens } from "./pens.ts";
import type { Sampling } from "./sampling.ts";

/** A key as a bucket sees it. Not to be changed: others may be given the same. */
export interface BucketRead<T> {
  /** All that can be decoded and fit the bucket's schema, in the order of their dots; none: absent, or see `problems`. */
  readonly values: readonly T[];
  /** When there is one, or the bucket's rule makes one of them. */
  readonly value: T | undefined;
  /** Of what was seen, for the next write. Undefined: the key was never written, or some of it was not understood. */
  readonly context: string | undefined;
  /** A delete is concurrent with the values. */
  readonly deleted: boolean;
  /** Too few replicas answered: the values are real, but newer ones may exist. */
  readonly degraded: boolean;
  /** Hosts whose copies are in it, as far as that is told: of a get. */
  readonly answered: readonly NodeId[];
  /** `local`: from this node's own copy, without asking others. */
  readonly source: ReadSource;
  /** It holds a write of this node that no quorum of hosts has yet. */
  readonly pending: boolean;
  /**
   * `undecodable` or `invalid-value`, with key and dot, for each value that is not among `values`; `internal`: the merge
   * function threw; `bad-merge`: it does not keep what `merge` asks of it; `bad-request`: Yjs is not installed, for the rule
   * `yjs()`. There is no `value` in the last three cases.
   */
  readonly problems: readonly StoreError[];
  /** The bytes of all siblings, and the context of all of them: what overwrites or copies also what was not understood. */
  readonly raw: StoreRead;
}

/** How a bucket understands what it reads. */
export interface Reading<T> {
  readonly codec: Codec<T>;
  readonly rule: ConflictRule<T>;
  readonly schema?: StandardSchema<T> | undefined;
  /** When to check a rule that is the application's; never where it is not given. */
  readonly checks?: Sampling | undefined;
}

/** How a bucket reads and writes. */
export interface Format<T> extends Reading<T> {
  readonly pens: Pens;
}

export async function decodeRead<T>(read: StoreRead, key: string, format: Reading<T>): Promise<BucketRead<T>> {
  const decoded: Candidate<T>[] = [];
  const problems: StoreError[] = [];
  for (const sibling of read.siblings) {
    try {
      const { timeMs, dot } = sibling;
      const value = understood(sibling, key, format);
      // Only a schema takes time.
      decoded.push({ value: value instanceof Promise ? await value : value, timeMs, dot });
    } catch (error: unknown) {
      problems.push(error as StoreError);
    }
  }
  const isWhole = problems.length === 0;
  let value: T | undefined;
  try {
    if (format.rule.load !== undefined && decoded.length > 0) await format.rule.load();
    value = fold(read, decoded, key, format);
  } catch (error: unknown) {
    problems.push(error as StoreError);
  }
  const { deleted, degraded, answered = [], source, pending } = read;
  return Object.freeze({
    values: Object.freeze(decoded.map((each) => each.value)),
    value,
    context: isWhole ? (read.context ?? undefined) : undefined,
    deleted,
    degraded,
    answered,
    source,
    pending,
    problems,
    raw: read,
  });
}

/** @throws StoreError `undecodable`, `invalid-value` */
function understood<T>(sibling: Sibling, key: string, { codec, schema }: Reading<T>): T | Promise<T> {
  const { dot, contentType, body } = sibling;
  const what = `the value ${dot} of ${key} (${contentType}, ${body.length} bytes)`;
  let value: T;
  try {
    value = codec.decode(body);
  } catch (cause: unknown) {
    throw new StoreError("undecodable", `${what} cannot be decoded: ${messageOf(cause)}`, { key, dot, cause });
  }
  return schema === undefined ? value : validated(schema, value, what, { key, dot });
}

/** @throws StoreError `invalid-value` */
function validated<T>(
  schema: StandardSchema<T>,
  value: unknown,
  what: string,
  detail: { readonly key: string; readonly dot?: string },
): T | Promise<T> {
  const refuse = (cause: unknown): never => {
    throw new StoreError("invalid-value", `the schema threw for ${what}: ${messageOf(cause)}`, { ...detail, cause });
  };
  const fitting = (result: Validated<T>): T => {
    if (result.kind === "valid") return result.value;
    const { issues } = result;
    const text = issues.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`)).join("; ");
    throw new StoreError("invalid-value", `${what} does not fit the schema: ${text}`, { ...detail, issues });
  };
  let result: Validated<T> | Promise<Validated<T>>;
  try {
    result = validate(schema, value);
  } catch (cause: unknown) {
    return refuse(cause);
  }
  return result instanceof Promise ? result.then(fitting, refuse) : fitting(result);
}

/** @throws StoreError `bad-merge`, `internal`: the rule is the application's, and not to be trusted */
function fold<T>(
  read: StoreRead,
  decoded: readonly Candidate<T>[],
  key: string,
  { rule, codec, checks }: Reading<T>,
): T | undefined {
  const [first] = decoded;
  // One that can be read beside some that cannot: whether it is the value is for the rule to say.
  if (first === undefined || read.siblings.length === 1) return first?.value;
  let problem: string | undefined;
  try {
    if (rule.isChecked && decoded.length > 1 && checks?.isDue()) problem = problemOfMerge(rule, codec, decoded);
    if (problem === undefined) return rule.resolve(decoded);
  } catch (cause: unknown) {
    throw new StoreError("internal", `the merge function threw for ${key}: ${String(cause)}`, { key, cause });
  }
  throw new StoreError("bad-merge", `the merge function for ${key}: ${problem}`, { key });
}

/** A value as it is written. */
interface Encoded<T> {
  readonly value: T;
  readonly body: Uint8Array;
}

/** `present`: what was read of the key before. @throws StoreError `bad-request`, `invalid-value` */
export function encodeValue<T>(
  value: T,
  key: string,
  format: Format<T>,
  present?: T,
): Encoded<T> | Promise<Encoded<T>> {
  const { schema } = format;
  const valid = schema === undefined ? value : validated(schema, value, `the value for ${key}`, { key });
  if (valid instanceof Promise) return valid.then((each) => encoded(each, key, format, present));
  return encoded(valid, key, format, present);
}

function encoded<T>(value: T, key: string, { codec, rule, pens }: Format<T>, present: T | undefined): Encoded<T> {
  try {
    const sealed = rule.seal === undefined ? value : rule.seal(value, present, pens.of(key));
    return { value: sealed, body: codec.encode(sealed) };
  } catch (cause: unknown) {
    throw new StoreError("bad-request", `the value for ${key} cannot be encoded: ${messageOf(cause)}`, { key, cause });
  }
}

/** Of what the application's own code threw. */
function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
