/**
 * Does an application's merge function keep what `merge` asks of it? Found out on real values while it is developed: on copies,
 * so that nothing is changed by looking.
 */
import { decodeUtf8 } from "lib0/string";
import type { Codec } from "./codecs.ts";
import type { Candidate, ConflictRule } from "./conflict-rules.ts";

/** In words what it breaks, and how to mend it; undefined: nothing that these values show. What the function throws comes out. */
export function problemOfMerge<T>(
  { resolve }: Pick<ConflictRule<T>, "resolve">,
  codec: Codec<T>,
  candidates: readonly Candidate<T>[],
): string | undefined {
  const stored = candidates.map(({ value, ...rest }) => ({ ...rest, body: codec.encode(value) }));
  const given = (order = stored): readonly Candidate<T>[] =>
    order.map(({ body, ...rest }) => ({ ...rest, value: codec.decode(body) }));
  // A function of two values or more: there is a result.
  const resultOf = (values: readonly Candidate<T>[]): string => textOf(codec, resolve(values) as T);

  const copies = given();
  const before = copies.map(({ value }) => textOf(codec, value));
  const result = resultOf(copies);
  if (copies.some(({ value }, i) => textOf(codec, value) !== before[i])) {
    return "it changes the values that it is given; build a new value instead";
  }
  if (resultOf(given()) !== result) {
    return "it makes something else of the same values each time; use nothing but the values, no clock and no chance";
  }
  if (resultOf(given(stored.toReversed())) !== result) {
    return "its result depends on the order of the values; sort what it returns, and settle ties by content";
  }
  // As others read it.
  const value = codec.decode(codec.encode(resolve(given()) as T));
  for (const part of [value, ...copies.map((each) => each.value)]) {
    const again = [value, part].map((each, i) => ({ value: each, timeMs: 0, dot: `a:${i}` }));
    if (resultOf(again) !== result) {
      return "its result, merged with itself or with what is in it, becomes another; merge by union or maximum, count by counter()";
    }
  }
  return undefined;
}

/** Equal for equal values: their bytes, of JSON without the order of the keys. */
function textOf<T>(codec: Codec<T>, value: T): string {
  const body = codec.encode(value);
  if (codec.contentType !== "application/json") return body.join();
  return JSON.stringify(JSON.parse(decodeUtf8(body)), (_, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
