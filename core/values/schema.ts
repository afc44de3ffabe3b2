/**
 * Schemas of whatever library (zod, valibot, arktype, ...) through the interface that they share.
 * The types are those of https://standardschema.dev, version 1, which are meant to be copied.
 */

/** As far as it is used here. `Output` should be what the schema also takes: it meets what was stored of it again. */
export interface StandardSchema<Output> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
  };
}

type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** What is wrong with a value, and where in it: `lines.0.price`, "" for the whole. */
export interface ValueIssue {
  readonly path: string;
  readonly message: string;
}

/** A value that passed, as the schema returns it (with defaults filled in, say), or what is wrong. */
export type Validated<T> =
  | { readonly kind: "valid"; readonly value: T }
  | { readonly kind: "invalid"; readonly issues: readonly ValueIssue[] };

/** A promise only where the schema takes time. What it throws comes out. */
export function validate<T>(schema: StandardSchema<T>, value: unknown): Validated<T> | Promise<Validated<T>> {
  const result = schema["~standard"].validate(value);
  return result instanceof Promise ? result.then(validatedOf) : validatedOf(result);
}

function validatedOf<T>(result: SchemaResult<T>): Validated<T> {
  if (result.issues === undefined) return { kind: "valid", value: result.value };
  const issues = result.issues.map(({ message, path = [] }) => ({ path: path.map(segmentText).join("."), message }));
  return { kind: "invalid", issues };
}

function segmentText(segment: PropertyKey | { readonly key: PropertyKey }): string {
  return String(typeof segment === "object" ? segment.key : segment);
}
