/**
 * The bytes of Protocol Buffers' wire format: a cursor to read them and a buffer to write them.
 * Invariant: a reader never leaves its input, and what it fails with says where.
 */

import { asciiText } from "./ascii.ts";

/** 0 = varint, 2 = length-delimited; the format's other types are only ever skipped. */
export type WireType = 0 | 2;

/** The input is not an encoding of what it should be. The message names the message and the field. */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
}

/** It is of an older release, whose fields meant something else: nothing is wrong with it. */
export class RetiredError extends DecodeError {}

const LENGTH_BYTES = 2;
const ASCII_BYTES_MAX = 64;

export class Reader {
  readonly buffer: Uint8Array;
  position = 0;
  /** End of the message being read. */
  end: number;
  /** Message and field being read, for errors. */
  label: string;

  constructor(buffer: Uint8Array, label: string) {
    this.buffer = buffer;
    this.end = buffer.length;
    this.label = label;
  }

  fail(reason: string, cause?: unknown): never {
    throw new DecodeError(`${this.label}: ${reason}`, cause === undefined ? undefined : { cause });
  }

  varint(): number {
    const first = this.position < this.end ? this.buffer[this.position]! : this.fail("ends within a number");
    if (first >= 0x80) return this.#longVarint();
    this.position += 1;
    return first;
  }

  #longVarint(): number {
    let value = 0;
    // Sums, not shifts: 53 bits do not fit JavaScript's 32-bit operators. Ten bytes are the format's longest number.
    for (let factor = 1, count = 0; count < 10; factor *= 128, count++) {
      if (this.position >= this.end) this.fail("ends within a number");
      const byte = this.buffer[this.position++]!;
      value += (byte & 0x7f) * factor;
      if (byte >= 0x80) continue;
      return value <= Number.MAX_SAFE_INTEGER ? value : this.fail("a number above 2^53-1");
    }
    return this.fail("a number longer than 10 bytes");
  }

  /** Reads a length that the input can pay for and the definition allows. */
  length(maxBytes: number): number {
    const length = this.varint();
    if (length > maxBytes) this.fail(`${length} bytes, at most ${maxBytes} allowed`);
    if (length > this.end - this.position) this.fail(`${length} bytes announced, ${this.end - this.position} left`);
    return length;
  }

  /** Steps over `count` bytes, already checked by `length`; returns where they start. */
  advance(count: number): number {
    const start = this.position;
    this.position += count;
    return start;
  }

  /** A plain `Uint8Array` view, also of a Node `Buffer`. */
  take(count: number): Uint8Array {
    return new Uint8Array(this.buffer.buffer, this.buffer.byteOffset + this.advance(count), count);
  }

  /** The next `count` bytes when they are short and ASCII, as most names are: several times faster than a text decoder. */
  asciiOf(count: number): string | undefined {
    if (count > ASCII_BYTES_MAX) return undefined;
    const start = this.position;
    let bits = 0;
    for (let i = start; i < start + count; i++) bits |= this.buffer[i]!;
    if (bits >= 0x80) return undefined;
    return asciiText(this.buffer, this.advance(count), start + count);
  }

  /** Steps over a length and that many bytes where they are just this ASCII text; tells whether they were. */
  skipIfAscii(text: string): boolean {
    const start = this.position + 1;
    if (this.end - start < text.length || text.length >= 0x80 || this.buffer[start - 1] !== text.length) return false;
    for (let i = 0; i < text.length; i++) if (this.buffer[start + i] !== text.charCodeAt(i)) return false;
    this.position = start + text.length;
    return true;
  }

  /** Limits reading to the next `count` bytes; returns the outer end, to give back to `leave`. */
  enter(count: number): number {
    const outer = this.end;
    this.end = this.position + count;
    return outer;
  }

  leave(outerEnd: number): void {
    this.end = outerEnd;
  }

  /** Steps over the field of a newer version. */
  skipField(tag: number): void {
    const wire = tag % 8;
    if (tag < 8 || tag > 0xffff_ffff) this.fail(`tag ${tag} is no field`);
    if (wire === 0) this.#skipVarint();
    else if (wire === LENGTH_BYTES) this.advance(this.length(Number.MAX_SAFE_INTEGER));
    else if (wire === 1 || wire === 5) this.#skipFixed(wire === 1 ? 8 : 4);
    else this.fail(`unknown field ${Math.floor(tag / 8)} has wire type ${wire}`);
  }

  #skipVarint(): void {
    for (let count = 0; count < 10; count++) {
      if (this.position >= this.end) this.fail("ends within a number");
      if (this.buffer[this.position++]! < 0x80) return;
    }
    this.fail("a number longer than 10 bytes");
  }

  #skipFixed(count: number): void {
    if (count > this.end - this.position) this.fail("ends within a number");
    this.position += count;
  }
}

const BUFFER_BYTES_INITIAL = 4096;
/** A buffer that one large value has grown is not kept for the small ones that follow. */
const BUFFER_BYTES_KEPT = 1 << 18;

/**
 * Writes back to front: a nested message's length is known once its fields are written, so it takes one pass, no
 * measuring and no moving of bytes. Fields and the items of lists are therefore given last first.
 */
export class Writer {
  #buffer = new Uint8Array(BUFFER_BYTES_INITIAL);
  #start = BUFFER_BYTES_INITIAL;
  /** Message and field being written, for errors. */
  label = "";

  fail(reason: string): never {
    throw new RangeError(`${this.label}: ${reason}`);
  }

  reset(): void {
    this.#start = this.#buffer.length;
  }

  /** What was written, copied out. */
  finish(): Uint8Array {
    const written = this.#buffer.slice(this.#start);
    if (this.#buffer.length > BUFFER_BYTES_KEPT) this.#buffer = new Uint8Array(BUFFER_BYTES_INITIAL);
    return written;
  }

  /** A place to measure from. Counted from the end, which stays put when the buffer grows. */
  mark(): number {
    return this.#buffer.length - this.#start;
  }

  writtenSince(mark: number): number {
    return this.mark() - mark;
  }

  byte(value: number): void {
    if (this.#start === 0) this.#grow(1);
    this.#buffer[--this.#start] = value;
  }

  bytes(value: Uint8Array): void {
    if (this.#start < value.length) this.#grow(value.length);
    this.#start -= value.length;
    this.#buffer.set(value, this.#start);
  }

  varint(value: number): void {
    if (value >= 0 && value < 0x80 && Number.isInteger(value)) this.byte(value);
    else this.#longVarint(value);
  }

  #longVarint(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) this.fail(`${value} is not an integer of 0..2^53-1`);
    if (this.#start < 8) this.#grow(8);
    // In two halves, since shifts know 32 bits: the low four groups of seven bits, and the rest.
    const high = Math.floor(value / 2 ** 28);
    let rest = value % 2 ** 28;
    this.#start -= high === 0 ? groupsOf(rest) : 4 + groupsOf(high);
    const buffer = this.#buffer;
    let at = this.#start;
    if (high > 0) {
      for (let group = 0; group < 4; group++, rest >>>= 7) buffer[at++] = (rest & 0x7f) | 0x80;
      rest = high;
    }
    for (; rest >= 0x80; rest >>>= 7) buffer[at++] = (rest & 0x7f) | 0x80;
    buffer[at] = rest;
  }

  /** UTF-8 with its length. By hand: a text encoder would replace lone surrogates without a word. */
  text(value: string, maxBytes: number): void {
    // A code unit takes at most 3 bytes; beyond maxBytes the text is refused anyway.
    if (value.length > maxBytes) this.fail(`more than ${maxBytes} bytes of UTF-8`);
    if (this.#start < 3 * value.length) this.#grow(3 * value.length);
    const buffer = this.#buffer;
    const end = this.#start;
    let at = end;
    for (let i = value.length - 1; i >= 0; i--) {
      const unit = value.charCodeAt(i);
      if (unit < 0x80) {
        buffer[--at] = unit;
        continue;
      }
      let point = unit;
      if (unit >= 0xd800 && unit < 0xe000) {
        point = unit >= 0xdc00 && i > 0 ? value.codePointAt(--i)! : unit;
        if (point < 0x10000) this.fail("a lone surrogate is not Unicode");
      }
      buffer[--at] = 0x80 | (point & 0x3f);
      if (point >= 0x800) buffer[--at] = 0x80 | ((point >> 6) & 0x3f);
      if (point >= 0x10000) buffer[--at] = 0x80 | ((point >> 12) & 0x3f);
      buffer[--at] = leadByte(point);
    }
    this.#start = at;
    if (end - at > maxBytes) this.fail(`${end - at} bytes of UTF-8, at most ${maxBytes} fit`);
    this.varint(end - at);
  }

  #grow(byteCount: number): void {
    const written = this.#buffer.length - this.#start;
    const grown = new Uint8Array(Math.max(2 * this.#buffer.length, written + byteCount));
    grown.set(this.#buffer.subarray(this.#start), grown.length - written);
    this.#buffer = grown;
    this.#start = grown.length - written;
  }
}

/** How many groups of 7 bits a number below 2^32 takes, at least one. */
function groupsOf(value: number): number {
  return value === 0 ? 1 : Math.trunc((38 - Math.clz32(value)) / 7);
}

function leadByte(point: number): number {
  if (point < 0x800) return 0xc0 | (point >> 6);
  return point < 0x10000 ? 0xe0 | (point >> 12) : 0xf0 | (point >> 18);
}
