/**
 * Reads the request target exactly as it came over the wire, decoding it exactly once.
 * The framework's own view of the path is used for nothing but choosing the route: it has been decoded with other rules.
 */
import { StoreError } from "../../core/errors.ts";
import type { TextValue } from "../text-values.ts";

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export interface KeyTarget {
  readonly bucket: string;
  /** Empty when the path ends with the bucket's slash: the bucket as a whole. */
  readonly name: string;
}

/**
 * `/kv/{bucket}/{key}` or `/kv/{bucket}/`: bucket and key name, decoded.
 * A slash of the name may be raw or escaped, which is the same key; no segment may be empty, `.` or `..`, because
 * clients and proxies rewrite such paths and would silently address another key.
 */
export function keyTarget(url: string, keyBytesMax: number): KeyTarget {
  const [bucketRaw, ...nameRaw] = splitTarget(url).path.split("/").slice(2);
  if (bucketRaw === undefined || nameRaw.length === 0) {
    throw badRequest("the path names no key: expected …/{bucket}/{key}, or …/{bucket}/ for the whole bucket");
  }
  const bucket = decode(bucketRaw);
  if (bucket.includes("/")) throw badRequest("a bucket's name holds no slash, escaped or not");
  const name = decode(nameRaw.join("/"));
  for (const segment of name === "" ? [bucket] : [bucket, ...name.split("/")]) {
    if (segment === "" || segment === "." || segment === "..") {
      throw badRequest(`the path segment "${segment}" is not allowed: clients and proxies rewrite it to another path`);
    }
  }
  const keyBytes = Buffer.byteLength(bucket) + 1 + Buffer.byteLength(name);
  if (keyBytes > keyBytesMax) throw badRequest(`the key is ${keyBytes} bytes long, the limit is ${keyBytesMax}`);
  return { bucket, name };
}

/** As `keyTarget`, where a key is needed. */
export function oneKeyTarget(url: string, keyBytesMax: number): KeyTarget {
  const target = keyTarget(url, keyBytesMax);
  if (target.name === "") throw badRequest("the path names a bucket, but no key");
  return target;
}

/** The single path segment after a route of so many segments, decoded. */
export function idTarget(url: string, routeSegments: number): string {
  const id = decode(
    splitTarget(url)
      .path.split("/")
      .slice(routeSegments + 1)
      .join("/"),
  );
  if (id === "") throw badRequest("the path ends without the id of a host");
  return id;
}

type Parsed<Known> = { -readonly [Name in keyof Known]?: Known[Name] extends TextValue<infer T> ? T : never };

/** The query's parameters by their descriptions; an unknown or repeated one is refused rather than guessed at. */
export function queryOf<Known extends Record<string, TextValue<unknown>>>(url: string, known: Known): Parsed<Known> {
  const values: Record<string, unknown> = {};
  for (const pair of splitTarget(url).query.split("&")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    const name = decodeForm(equals < 0 ? pair : pair.slice(0, equals));
    const text = equals < 0 ? "" : decodeForm(pair.slice(equals + 1));
    const description = Object.hasOwn(known, name) ? known[name] : undefined;
    if (description === undefined) throw badRequest(`unknown query parameter "${name}"; ${listOf(Object.keys(known))}`);
    if (Object.hasOwn(values, name)) throw badRequest(`the query parameter "${name}" is given twice`);
    const value = description.parse(text);
    if (value === undefined) throw badRequest(`${name}="${text}": expected ${description.expects}`);
    values[name] = value;
  }
  return values as Parsed<Known>; // each value came out of the parser of its own name
}

function splitTarget(url: string): { path: string; query: string } {
  if (!url.startsWith("/")) throw badRequest("the request target must be a path: this is no proxy");
  if (url.includes("#")) throw badRequest("the request target holds a raw #: write it as %23");
  const question = url.indexOf("?");
  return question < 0 ? { path: url, query: "" } : { path: url.slice(0, question), query: url.slice(question + 1) };
}

function decodeForm(text: string): string {
  return decode(text.replaceAll("+", " "));
}

/** Escapes are bytes and the whole is UTF-8. What is not escaped is ASCII: Node's parser has refused the rest. */
function decode(text: string): string {
  if (/%(?![0-9a-fA-F]{2})/.test(text))
    throw badRequest("the request target holds a bad escape: % needs two hex digits");
  const unescaped = text.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  try {
    return strictUtf8.decode(Buffer.from(unescaped, "latin1"));
  } catch (cause) {
    throw new StoreError("bad-request", "the request target is not UTF-8", { cause });
  }
}

function listOf(names: readonly string[]): string {
  return names.length === 0 ? "this path takes none" : `known here: ${names.join(", ")}`;
}

function badRequest(message: string): StoreError {
  return new StoreError("bad-request", message);
}
