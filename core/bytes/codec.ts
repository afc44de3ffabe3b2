/**
 * One definition is the reader, the writer and the type of a message. The wire format is Protocol Buffers'.
 *
 * Every byte is hostile. Invariant: `decode` returns a whole message within the bounds of its definition, or throws
 * `DecodeError` that names the message and the field; it allocates nothing that the input has not paid for in bytes.
 *
 * Mixed versions: unknown fields are skipped; of a single field that occurs twice the last wins. Stricter than
 * Protocol Buffers: a known field of another wire type, a bool above 1, or a missing required field is an error.
 * Definitions cannot refer to themselves, so nesting is as deep as they are written. Making one has no side effects, as
 * bundlers are told: a page does not load those that it does not use.
 *
 * @example
 * const Ack = message("Ack", { role: field(1, varint), hintFor: optional(2, text(128)) });
 * type Ack = Infer<typeof Ack>; // { readonly role: number; readonly hintFor?: string }
 * Ack.decode(Ack.encode({ role: 1 })); // { role: 1 }
 */
import { decodeUtf8 } from "lib0/string";
import { invariant } from "../errors.ts";
import { hexDigitsOf, nibbleOf } from "./hex.ts";
import { DecodeError, Reader, RetiredError, type WireType, Writer } from "./wire.ts";

export { DecodeError, RetiredError } from "./wire.ts";

/** How one kind of value travels: its payload, without the tag. */
export interface Type<T> {
  readonly wire: WireType;
  write(writer: Writer, value: T): void;
  read(reader: Reader): T;
}

type Presence = "required" | "optional" | "repeated";

export interface Field<T, P extends Presence> {
  readonly number: number;
  readonly presence: P;
  readonly type: Type<T>;
  /** Most values of a repeated field. */
  readonly countMax: number;
}

// oxlint-disable-next-line typescript/no-explicit-any -- the one place where fields of all types stand side by side
type Fields = Readonly<Record<string, Field<any, Presence>>>;

type KeysWith<F extends Fields, P extends Presence> = {
  [K in keyof F]: F[K]["presence"] extends P ? K : never;
}[keyof F];
type ValueOf<F> = F extends Field<infer T, infer P> ? (P extends "repeated" ? readonly T[] : T) : never;
type Flat<T> = { [K in keyof T]: T[K] };

type MessageOf<F extends Fields> = Flat<
  { readonly [K in KeysWith<F, "required" | "repeated">]: ValueOf<F[K]> } & {
    readonly [K in KeysWith<F, "optional">]?: ValueOf<F[K]>;
  }
>;

/** A message is also a type, so that messages nest. */
export interface Message<T> extends Type<T> {
  readonly name: string;
  /**
   * With `first`, behind one byte that tells a reader which message this is.
   * @throws RangeError when a value does not fit its definition, which is the caller's bug.
   */
  encode(value: Given<T>, first?: number): Uint8Array;
  /**
   * From offset `start` to the end. Fields of bytes are views of `bytes`, not copies: who keeps one keeps the whole input
   * alive, and must not reuse it.
   * @throws DecodeError
   */
  decode(bytes: Uint8Array, start?: number): T;
}

/** What is given to be written: an optional field may be there and undefined. */
export type Given<T> = {
  readonly [K in keyof T]: Partial<Record<K, never>> extends Pick<T, K> ? T[K] | undefined : T[K];
};

/** The type that a message definition describes. */
export type Infer<M> = M extends Message<infer T> ? T : never;

/** A required field. Numbers 1..15 take one byte on the wire. */
/* @__NO_SIDE_EFFECTS__ */
export const field = <T>(number: number, type: Type<T>): Field<T, "required"> => ({
  number,
  type,
  presence: "required",
  countMax: 1,
});

/** Absent when not given, never `undefined`. */
/* @__NO_SIDE_EFFECTS__ */
export const optional = <T>(number: number, type: Type<T>): Field<T, "optional"> => ({
  number,
  type,
  presence: "optional",
  countMax: 1,
});

/** Zero to `countMax` values, in order, one tag each. */
/* @__NO_SIDE_EFFECTS__ */
export const repeated = <T>(number: number, type: Type<T>, countMax: number): Field<T, "repeated"> => ({
  number,
  type,
  presence: "repeated",
  countMax,
});

/** An integer of 0..2^53-1. */
export const varint: Type<number> = {
  wire: 0,
  write: (writer, value) => writer.varint(value),
  read: (reader) => reader.varint(),
};

export const bool: Type<boolean> = {
  wire: 0,
  write: (writer, value) => writer.varint(value ? 1 : 0),
  read: (reader) => {
    const value = reader.varint();
    return value <= 1 ? value === 1 : reader.fail(`${value} is neither 0 nor 1`);
  },
};

/** One of some words, each a number on the wire. An unknown number is read as `fallback`, or refused without one. */
/* @__NO_SIDE_EFFECTS__ */
export function choice<const Numbers extends Readonly<Record<string, number>>>(
  numbers: Numbers,
  fallback?: keyof Numbers & string,
): Type<keyof Numbers & string> {
  type Word = keyof Numbers & string;
  const words = new Map(Object.entries(numbers).map(([word, number]) => [number, word as Word]));
  return {
    wire: 0,
    write: (writer, value) => writer.varint(numbers[value]!),
    read: (reader) => {
      const number = reader.varint();
      return words.get(number) ?? fallback ?? reader.fail(`unknown choice ${number}`);
    },
  };
}

/** Well-formed Unicode of at most `maxBytes` bytes of UTF-8; a lone surrogate or invalid UTF-8 is refused. */
/* @__NO_SIDE_EFFECTS__ */
export const text = (maxBytes: number): Type<string> => ({
  wire: 2,
  write: (writer, value) => writer.text(value, maxBytes),
  read: (reader) => {
    const length = reader.length(maxBytes);
    return reader.asciiOf(length) ?? readUtf8(reader, length);
  },
});

/**
 * Text that is the same most of the time, such as a content type: the last one that was read is kept, for comparing bytes
 * costs less than making a string of them.
 */
/* @__NO_SIDE_EFFECTS__ */
export const word = (maxBytes: number): Type<string> => {
  const type = text(maxBytes);
  let last = "";
  return {
    ...type,
    read: (reader) => {
      if (!reader.skipIfAscii(last)) last = type.read(reader);
      return last;
    },
  };
};

function readUtf8(reader: Reader, length: number): string {
  try {
    return decodeUtf8(reader.take(length));
  } catch (cause: unknown) {
    return reader.fail("not valid UTF-8", cause);
  }
}

/** Read as a view of the input. */
/* @__NO_SIDE_EFFECTS__ */
export const bytes = (maxBytes: number): Type<Uint8Array> => ({
  wire: 2,
  write: (writer, value) => {
    if (value.length > maxBytes) writer.fail(`${value.length} bytes, at most ${maxBytes} fit`);
    writer.bytes(value);
    writer.varint(value.length);
  },
  read: (reader) => reader.take(reader.length(maxBytes)),
});

/** Exactly `count` bytes; read as a view of the input. */
/* @__NO_SIDE_EFFECTS__ */
export const fixedBytes = (count: number): Type<Uint8Array> => ({
  wire: 2,
  write: (writer, value) => {
    if (value.length !== count) writer.fail(`${value.length} bytes instead of ${count}`);
    writer.bytes(value);
    writer.varint(count);
  },
  read: (reader) => reader.take(exactLength(reader, count)),
});

/** `count` bytes on the wire, 2 x `count` lower-case hex digits in the program. */
/* @__NO_SIDE_EFFECTS__ */
export const hex = <T extends string = string>(count: number): Type<T> => ({
  wire: 2,
  write: (writer, value) => {
    if (value.length !== 2 * count) writer.fail(`${value.length} hex digits instead of ${2 * count}`);
    for (let i = 2 * count - 2; i >= 0; i -= 2) {
      const byte = (nibbleOf(value.charCodeAt(i)) << 4) | nibbleOf(value.charCodeAt(i + 1));
      if (byte < 0) writer.fail(`"${value}" is not lower-case hex`);
      writer.byte(byte);
    }
    writer.varint(count);
  },
  read: (reader) => {
    const start = reader.advance(exactLength(reader, count));
    return hexDigitsOf(reader.buffer, start, count) as T;
  },
});

function exactLength(reader: Reader, count: number): number {
  const length = reader.length(count);
  return length === count ? length : reader.fail(`${length} bytes instead of ${count}`);
}

/** A field with all that encode and decode need, computed once. */
interface Plan {
  readonly key: string;
  readonly label: string;
  readonly presence: Presence;
  readonly type: Type<unknown>;
  readonly tag: number;
  readonly countMax: number;
  /** The bit of this field among the required ones; 0 for others. */
  readonly bit: number;
}

type Loose = Record<string, unknown>;

/**
 * Defines a message: at most 31 required fields, numbers 1..127. Fields are written in the order of their numbers.
 * `retired`: numbers of an older release, under which something else was sent than is now. To skip that would be to take a
 * part for the whole: a message with one is refused.
 */
/* @__NO_SIDE_EFFECTS__ */
export function message<F extends Fields>(
  name: string,
  fields: F,
  retired: readonly number[] = [],
): Message<MessageOf<F>> {
  const plans = planOf(name, fields, retired);
  const all = plans.reduce((bits, plan) => bits | plan.bit, 0);
  const repeatedKeys = plans.filter((plan) => plan.presence === "repeated").map((plan) => plan.key);
  const byNumber: (Plan | undefined)[] = [];
  for (const plan of plans) byNumber[plan.tag >>> 3] = plan;

  function readUntil(reader: Reader, end: number): Loose {
    const found: Loose = {};
    for (const key of repeatedKeys) found[key] = [];
    let seen = 0;
    while (reader.position < end) {
      reader.label = name;
      const tag = reader.varint();
      const plan = byNumber[Math.floor(tag / 8)];
      if (plan === undefined) {
        const number = Math.floor(tag / 8);
        if (retired.includes(number))
          throw new RetiredError(`${name}: field ${number} is of an older release, which no longer fits`);
        reader.skipField(tag);
        continue;
      }
      reader.label = plan.label;
      if (plan.tag !== tag) reader.fail(`wire type ${tag & 7} instead of ${plan.type.wire}`);
      readField(reader, plan, found);
      seen |= plan.bit;
    }
    if (seen !== all) failMissing(reader, plans, seen);
    return found;
  }

  const type: Message<Loose> = {
    name,
    wire: 2,
    write(writer, value) {
      const end = writer.mark();
      for (let i = plans.length - 1; i >= 0; i--) writeField(writer, plans[i]!, value);
      writer.varint(writer.writtenSince(end));
    },
    read(reader) {
      const outer = reader.enter(reader.length(Number.MAX_SAFE_INTEGER));
      const found = readUntil(reader, reader.end);
      reader.leave(outer);
      return found;
    },
    encode(value, first) {
      shared.reset();
      for (let i = plans.length - 1; i >= 0; i--) writeField(shared, plans[i]!, value);
      if (first !== undefined) shared.byte(first);
      return shared.finish();
    },
    decode(input, start = 0) {
      const reader = new Reader(input, name);
      reader.position = start;
      return readUntil(reader, input.length);
    },
  };
  return type as unknown as Message<MessageOf<F>>;
}

/** The same message, refused by DecodeError when `problemOf` finds one: for rules that hold between fields. */
/* @__NO_SIDE_EFFECTS__ */
export function verified<T>(type: Message<T>, problemOf: (value: T) => string | undefined): Message<T> {
  const check = (value: T): T => {
    const problem = problemOf(value);
    if (problem !== undefined) throw new DecodeError(`${type.name}: ${problem}`);
    return value;
  };
  return {
    ...type,
    read: (reader) => check(type.read(reader)),
    decode: (input, start) => check(type.decode(input, start)),
  };
}

/** The same message with what `complete` fills in where older versions wrote less. */
/* @__NO_SIDE_EFFECTS__ */
export function completed<Stored, T extends Stored>(
  type: Message<Stored>,
  complete: (stored: Stored) => T,
): Message<T> {
  return {
    ...(type as unknown as Message<T>),
    read: (reader) => complete(type.read(reader)),
    decode: (input, start) => complete(type.decode(input, start)),
  };
}

/** Encoding is synchronous and never re-entered, so one buffer serves all of it. */
const shared: Writer = new Writer();

function planOf(name: string, fields: Fields, retired: readonly number[]): Plan[] {
  const numbers = new Set<number>(retired);
  let requiredCount = 0;
  const byNumber = Object.entries(fields).toSorted(([, a], [, b]) => a.number - b.number);
  const plans = byNumber.map(([key, { number, presence, type, countMax }]) => {
    invariant(number >= 1 && number <= 127 && !numbers.has(number), `${name}.${key} has a number of its own in 1..127`);
    numbers.add(number);
    const bit = presence === "required" ? 1 << requiredCount++ : 0;
    return {
      key,
      label: `${name}.${key}`,
      presence,
      type,
      tag: number * 8 + type.wire,
      countMax,
      bit,
    };
  });
  invariant(requiredCount <= 31, `${name} has at most 31 required fields`);
  return plans;
}

function writeField(writer: Writer, plan: Plan, message: Loose): void {
  const value = message[plan.key];
  if (value === undefined) {
    if (plan.presence === "optional") return;
    writer.label = plan.label;
    writer.fail("required, but not given");
  }
  if (plan.presence === "repeated") writeAll(writer, plan, value as readonly unknown[]);
  else writeOne(writer, plan, value);
}

function writeAll(writer: Writer, plan: Plan, values: readonly unknown[]): void {
  writer.label = plan.label;
  if (values.length > plan.countMax) writer.fail(`${values.length} values, at most ${plan.countMax} fit`);
  for (let i = values.length - 1; i >= 0; i--) writeOne(writer, plan, values[i]);
}

function writeOne(writer: Writer, plan: Plan, value: unknown): void {
  writer.label = plan.label;
  plan.type.write(writer, value);
  writer.varint(plan.tag);
}

function readField(reader: Reader, plan: Plan, found: Loose): void {
  if (plan.presence !== "repeated") {
    found[plan.key] = plan.type.read(reader);
    return;
  }
  const values = found[plan.key] as unknown[];
  if (values.length >= plan.countMax) reader.fail(`more than ${plan.countMax} values`);
  values.push(plan.type.read(reader));
}

function failMissing(reader: Reader, plans: readonly Plan[], seen: number): never {
  reader.label = plans.find((plan) => plan.bit !== 0 && (seen & plan.bit) === 0)!.label;
  return reader.fail("required, but missing");
}
