/**
 * Between the application's values and the bytes that are stored.
 */
import { decodeUtf8, encodeUtf8 } from "lib0/string";

/** Both ways may throw: the Store makes `bad-request` of what cannot be encoded, `undecodable` of what cannot be decoded. */
export interface Codec<T> {
  /** Stored with each value, 1 to 128 printable ASCII characters. */
  readonly contentType: string;
  encode(value: T): Uint8Array;
  /** `body` is the store's: it must not be changed, nor kept by who changes it. */
  decode(body: Uint8Array): T;
}

/**
 * JSON in UTF-8. `check` gets what was parsed, and returns it as a `T` or throws: give it a schema's parser where other
 * programs, or older versions of this one, write the bucket too.
 */
export function json<T>(check?: (value: unknown) => T): Codec<T> {
  return {
    contentType: "application/json",
    encode(value) {
      if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) throw new TypeError("bytes need `codec: bytes`");
      const text: string | undefined = JSON.stringify(value);
      if (text === undefined) throw new TypeError(`JSON has no form for ${typeof value}`);
      return encodeUtf8(text);
    },
    decode(body) {
      const value: unknown = JSON.parse(decodeUtf8(body));
      return check === undefined ? (value as T) : check(value);
    },
  };
}

/** A string in UTF-8. */
export const text: Codec<string> = {
  contentType: "text/plain; charset=utf-8",
  encode(value) {
    if (typeof value !== "string") throw new TypeError(`\`codec: text\` takes a string, not ${typeof value}`);
    return encodeUtf8(value);
  },
  decode: (body) => decodeUtf8(body),
};

/** Bytes as they are. */
export const bytes: Codec<Uint8Array> = {
  contentType: "application/octet-stream",
  encode(value) {
    if (!(value instanceof Uint8Array)) throw new TypeError("`codec: bytes` takes a Uint8Array");
    return value.slice();
  },
  decode: (body) => body.slice(),
};
