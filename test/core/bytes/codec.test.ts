import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  bool,
  bytes,
  choice,
  DecodeError,
  field,
  fixedBytes,
  hex,
  type Infer,
  message,
  optional,
  repeated,
  text,
  varint,
} from "../../../core/bytes/codec.ts";
import { fromHex, toHex } from "../../../core/bytes/hex.ts";

const Point = message("Point", { x: field(1, varint), y: optional(2, varint) });
const All = message("All", {
  count: field(1, varint),
  flag: field(2, bool),
  name: field(3, text(200)),
  body: optional(4, bytes(300)),
  digest: field(5, fixedBytes(4)),
  actor: field(6, hex(8)),
  kind: field(7, choice({ opaque: 0, lww: 1, yjs: 2 })),
  point: optional(8, Point),
  points: repeated(16, Point, 5),
  tags: repeated(17, text(200), 5),
});
type All = Infer<typeof All>;

const number = fc.oneof(fc.maxSafeNat(), fc.nat(300), fc.constantFrom(0, 127, 128, 2 ** 32, Number.MAX_SAFE_INTEGER));
const byteArray = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const point: fc.Arbitrary<Infer<typeof Point>> = fc.record(
  { x: number, y: number },
  { requiredKeys: ["x"], noNullPrototype: true },
);
const word = fc.string({ unit: "binary", maxLength: 50 });
const all: fc.Arbitrary<All> = fc.record(
  {
    count: number,
    flag: fc.boolean(),
    name: word,
    body: fc.uint8Array({ maxLength: 300 }),
    digest: byteArray(4),
    actor: byteArray(8).map(toHex),
    kind: fc.constantFrom("opaque", "lww", "yjs"),
    point,
    points: fc.array(point, { maxLength: 5 }),
    tags: fc.array(word, { maxLength: 5 }),
  },
  {
    requiredKeys: ["count", "flag", "name", "digest", "actor", "kind", "points", "tags"],
    noNullPrototype: true,
  },
);

const encoded = (hexDigits: string): Uint8Array => fromHex(hexDigits.replaceAll(" ", ""))!;
const refusal = (pattern: RegExp) => (error: unknown) => error instanceof DecodeError && pattern.test(error.message);

test("a message survives encoding and decoding", () => {
  fc.assert(fc.property(all, (value) => assert.deepEqual(All.decode(All.encode(value)), value)));
});

test("the bytes are those of the examples in the Protocol Buffers documentation", () => {
  const Test1 = message("Test1", { a: field(1, varint) });
  const Test2 = message("Test2", { b: field(2, text(10)) });
  const Test3 = message("Test3", { c: field(3, Test1) });
  assert.equal(toHex(Test1.encode({ a: 150 })), "089601");
  assert.equal(toHex(Test2.encode({ b: "testing" })), "120774657374696e67");
  assert.equal(toHex(Test3.encode({ c: { a: 150 } })), "1a03089601");
});

test("every field type keeps its golden bytes", () => {
  const value: All = {
    count: Number.MAX_SAFE_INTEGER,
    flag: true,
    name: "aß€😀",
    body: Uint8Array.of(9, 8),
    digest: Uint8Array.of(1, 2, 3, 4),
    actor: "0123456789abcdef",
    kind: "yjs",
    point: { x: 0 },
    points: [{ x: 1, y: 300 }],
    tags: ["", "t"],
  };
  const golden = [
    "08 ffffffffffffff0f",
    "10 01",
    "1a 0a 61c39fe282acf09f9880",
    "22 02 0908",
    "2a 04 01020304",
    "32 08 0123456789abcdef",
    "38 02",
    "42 02 0800",
    "8201 05 0801 10ac02",
    "8a01 00",
    "8a01 01 74",
  ];
  assert.equal(toHex(All.encode(value)), golden.join("").replaceAll(" ", ""));
  assert.deepEqual(All.decode(encoded(golden.join(""))), value);
});

test("a message that grows the shared buffer leaves the next one intact", () => {
  const Blob = message("Blob", {
    parts: repeated(1, bytes(1 << 20), 4),
    name: field(2, text(1 << 20)),
  });
  const part = new Uint8Array(300_000).fill(7);
  const name = "😀".repeat(100_000);
  for (let round = 0; round < 2; round++) {
    const decoded = Blob.decode(Blob.encode({ parts: [part, part], name }));
    assert.deepEqual(decoded, { parts: [part, part], name });
    assert.equal(toHex(Point.encode({ x: 1 })), "0801");
  }
});

test("fields of a newer version are skipped, whatever their wire type", () => {
  const newer = "f801 8080808080808080807f" + "f901 0102030405060708" + "fa01 03 aabbcc" + "fd01 01020304";
  assert.deepEqual(Point.decode(encoded(newer + "0805" + newer)), { x: 5 });
  const Newer = message("Point", {
    extra: field(9, text(9)),
    x: field(1, varint),
    list: repeated(100, Point, 3),
  });
  assert.deepEqual(Point.decode(Newer.encode({ extra: "new", x: 3, list: [{ x: 1 }] })), { x: 3 });
});

test("a retired field is refused, whatever its wire type, and its number is given to no other", () => {
  const Moved = message("Moved", { x: optional(3, varint) }, [1, 2]);
  assert.deepEqual(Moved.decode(encoded("1805")), { x: 5 });
  for (const [older, number] of [
    ["0801", 1],
    ["0a00", 1],
    ["1805 1200", 2],
  ] as const) {
    const reason = new RegExp(`^Moved: field ${number} is of an older release, which no longer fits$`);
    assert.throws(() => Moved.decode(encoded(older)), refusal(reason));
  }
  assert.throws(() => message("Moved", { x: optional(2, varint) }, [1, 2]), /a number of its own/);
});

test("of a single field that occurs twice the last wins", () => {
  assert.deepEqual(Point.decode(encoded("0801 0802")), { x: 2 });
});

test("a number may be padded, as other writers do, up to the format's 10 bytes", () => {
  assert.deepEqual(Point.decode(encoded("08 85808080808080808000")), { x: 5 });
});

test("decoded bytes are plain views of the input, also of a Node Buffer", () => {
  const Blob = message("Blob", { body: field(1, bytes(9)) });
  const input = Buffer.from(Blob.encode({ body: Uint8Array.of(1, 2, 3) }));
  const { body } = Blob.decode(input);
  input[2] = 42;
  assert.deepEqual(body, Uint8Array.of(42, 2, 3));
  assert.equal(Object.getPrototypeOf(body), Uint8Array.prototype);
});

test("an unknown choice is refused, or read as the fallback where one is given", () => {
  const Strict = message("Strict", { kind: field(1, choice({ a: 0, b: 1 })) });
  const Lenient = message("Lenient", { kind: field(1, choice({ a: 0, b: 1 }, "a")) });
  assert.throws(() => Strict.decode(encoded("0807")), refusal(/^Strict\.kind: unknown choice 7$/));
  assert.deepEqual(Lenient.decode(encoded("0807")), { kind: "a" });
});

test("what does not decode is refused with the message, the field and the reason", () => {
  const Texts = message("Texts", {
    t: optional(1, text(4)),
    f: optional(2, fixedBytes(2)),
    h: optional(3, hex(2)),
    b: optional(4, bool),
    p: optional(5, Point),
    l: repeated(6, bytes(2), 2),
  });
  const cases: [string, RegExp][] = [
    ["0a", /^Texts\.t: ends within a number$/],
    ["0a 05 6161616161", /^Texts\.t: 5 bytes, at most 4 allowed$/],
    ["0a 03 6161", /^Texts\.t: 3 bytes announced, 2 left$/],
    ["0a 02 c328", /^Texts\.t: not valid UTF-8$/],
    ["0a 03 eda080", /^Texts\.t: not valid UTF-8$/],
    ["0a 02 c080", /^Texts\.t: not valid UTF-8$/],
    ["08 01", /^Texts\.t: wire type 0 instead of 2$/],
    ["12 01 00", /^Texts\.f: 1 bytes instead of 2$/],
    ["1a 03 000000", /^Texts\.h: 3 bytes, at most 2 allowed$/],
    ["20 02", /^Texts\.b: 2 is neither 0 nor 1$/],
    ["2a 00", /^Point\.x: required, but missing$/],
    ["2a 02 0880 01", /^Point\.x: ends within a number$/],
    ["2a 0a 08 808080808080808010", /^Point\.x: a number above 2\^53-1$/],
    ["2a 0c 08 8080808080808080808001", /^Point\.x: a number longer than 10 bytes$/],
    ["3200 3200 3200", /^Texts\.l: more than 2 values$/],
    ["00", /^Texts: tag 0 is no field$/],
    ["3b", /^Texts: unknown field 7 has wire type 3$/],
    ["808080808010", /^Texts: tag \d+ is no field$/],
    ["3d 010203", /^Texts: ends within a number$/],
    ["3a ffffffffffffff0f", /^Texts: 9007199254740991 bytes announced, 0 left$/],
  ];
  for (const [input, pattern] of cases) assert.throws(() => Texts.decode(encoded(input)), refusal(pattern), input);
});

test("hostile bytes are refused with DecodeError or decode to a message within its bounds", () => {
  const damage = fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { maxLength: 4 });
  const damaged = fc.tuple(all, damage, fc.nat(400)).map(([value, changes, cut]) => {
    const input = All.encode(value).slice(0, 400 - cut || undefined);
    for (const [at, byte] of changes) if (at < input.length) input[at] = byte;
    return input;
  });
  fc.assert(
    fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 100 })), (input) => {
      try {
        const value = All.decode(input);
        assert.deepEqual(All.decode(All.encode(value)), value);
      } catch (error: unknown) {
        if (!(error instanceof DecodeError)) throw error;
      }
    }),
    { numRuns: 2000 },
  );
});

test("every proper prefix of a message whose last field is required is refused", () => {
  const Last = message("Last", { points: repeated(1, Point, 3), name: field(2, text(99)) });
  const whole = Last.encode({ points: [{ x: 1 }, { x: 2, y: 3 }], name: "name" });
  for (let length = 0; length < whole.length; length++) {
    assert.throws(() => Last.decode(whole.subarray(0, length)), DecodeError);
  }
});

test("a value that does not fit its definition is not encoded, and the next message is unharmed", () => {
  const good: All = {
    count: 1,
    flag: false,
    name: "n",
    digest: new Uint8Array(4),
    actor: "00000000000000ff",
    kind: "lww",
    points: [],
    tags: [],
  };
  const bad: [Partial<Record<keyof All, unknown>>, RegExp][] = [
    [{ count: -1 }, /All\.count: -1 is not/],
    [{ count: 0.5 }, /All\.count/],
    [{ count: 2 ** 53 }, /All\.count/],
    [{ count: undefined }, /All\.count: required, but not given/],
    [{ tags: undefined }, /All\.tags: required, but not given/],
    [{ name: "a\ud800" }, /All\.name: a lone surrogate/],
    [{ name: "\udc00a" }, /All\.name: a lone surrogate/],
    [{ name: "a\udc00" }, /All\.name: a lone surrogate/],
    [{ name: "€".repeat(67) }, /All\.name: 201 bytes of UTF-8, at most 200 fit/],
    [{ name: "a".repeat(201) }, /All\.name/],
    [{ body: new Uint8Array(301) }, /All\.body: 301 bytes, at most 300 fit/],
    [{ digest: new Uint8Array(5) }, /All\.digest: 5 bytes instead of 4/],
    [{ actor: "00000000000000FF" }, /All\.actor: .* is not lower-case hex/],
    [{ actor: "00" }, /All\.actor: 2 hex digits instead of 16/],
    [{ kind: "other" }, /All\.kind/],
    [{ tags: Array(6).fill("") }, /All\.tags: 6 values, at most 5 fit/],
  ];
  const before = toHex(All.encode(good));
  for (const [change, pattern] of bad) {
    assert.throws(() => All.encode({ ...good, ...change } as All), {
      name: "RangeError",
      message: pattern,
    });
    assert.equal(toHex(All.encode(good)), before);
  }
});

test("a definition with two fields of one number is refused", () => {
  assert.throws(() => message("Twice", { a: field(1, varint), b: field(1, bool) }), /Twice\.b has a number of its own/);
});
