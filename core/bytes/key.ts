/**
 * Keys: `bucket/name`. The one place where a `Key` is made.
 * Invariant: a `Key` is well-formed Unicode of 1..1,024 bytes of UTF-8, with a bucket and a name that are not empty.
 */
import { StoreError } from "../errors.ts";
import type { Key } from "../identity.ts";

/** Keys travel with every message and sit in memory of every index: long ones belong into the value. */
const KEY_BYTES_MAX = 1024;

/** @throws StoreError `bad-request` */
export function parseKey(text: string): Key {
  const slash = text.indexOf("/");
  if (slash < 0) throw badKey(`needs a "/" between bucket and name`);
  return makeKey(text.slice(0, slash), text.slice(slash + 1));
}

/** @throws StoreError `bad-request` */
export function makeKey(bucket: string, name: string): Key {
  if (bucket === "") throw badKey("has an empty bucket");
  if (name === "") throw badKey("has an empty name");
  if (bucket.includes("/")) throw badKey(`has a "/" in its bucket "${bucket}"`);
  const text = `${bucket}/${name}`;
  const length = utf8LengthOf(text);
  if (length === undefined) throw badKey("holds a lone surrogate, which is not Unicode");
  if (length > KEY_BYTES_MAX) throw badKey(`takes ${length} bytes of UTF-8, at most ${KEY_BYTES_MAX} are allowed`);
  return text as Key;
}

export function bucketOf(key: Key): string {
  return key.slice(0, key.indexOf("/"));
}

/** May hold further slashes. */
export function nameOf(key: Key): string {
  return key.slice(key.indexOf("/") + 1);
}

function badKey(reason: string): StoreError {
  return new StoreError("bad-request", `the key ${reason}`);
}

/** Undefined when the text holds a lone surrogate. */
function utf8LengthOf(text: string): number | undefined {
  let length = 0;
  for (let i = 0; i < text.length; i++) {
    const point = text.codePointAt(i)!;
    if (point < 0x80) length += 1;
    else if (point < 0x800) length += 2;
    else if (point >= 0xd800 && point < 0xe000) return undefined;
    else if (point < 0x10000) length += 3;
    else {
      length += 4;
      i += 1;
    }
  }
  return length;
}
