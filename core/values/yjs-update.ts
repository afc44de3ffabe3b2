/**
 * Whether bytes are an update of a Yjs document, in its first format (yjs/src/utils/encoding.js): what replicas check before
 * they keep one, without Yjs. They never look into it again: merging documents is for those who show them.
 */
import {
  createDecoder,
  type Decoder,
  hasContent,
  readAny,
  readUint8,
  readVarString,
  readVarUint,
  readVarUint8Array,
} from "lib0/decoding";

/** Of a document and of the updates that it is made of; as Yjs itself writes them. */
export const documentType = "application/yjs";

/** Of the byte that begins a struct: what it has beside its content, and which content that is. */
const hasOrigin = 0b1000_0000;
const hasRightOrigin = 0b0100_0000;
const hasParentSub = 0b0010_0000;
const contentBits = 0b0001_1111;

/** Undefined: it is one. */
export function problemOfUpdate(update: Uint8Array): string | undefined {
  try {
    const decoder = createDecoder(update);
    times(readVarUint(decoder), () => checkStructs(decoder));
    times(readVarUint(decoder), () => checkDeletions(decoder));
    return hasContent(decoder) ? "something follows its end" : undefined;
  } catch (error: unknown) {
    // A bug of this file would say so too; a test compares its verdicts with those of Yjs.
    return error instanceof Error ? error.message : String(error);
  }
}

/** Structs of one client, in the order of its clock. */
function checkStructs(decoder: Decoder): void {
  const count = readVarUint(decoder);
  readVarUint(decoder);
  let clock = readVarUint(decoder);
  times(count, () => {
    const length = checkStruct(decoder);
    checkLength(length);
    clock += length;
    checkClock(clock);
  });
}

/** @returns by how much it raises its client's clock */
function checkStruct(decoder: Decoder): number {
  const info = readUint8(decoder);
  const content = info & contentBits;
  if (content === 0 || content === 10) return readVarUint(decoder);
  if (info & hasOrigin) checkId(decoder);
  if (info & hasRightOrigin) checkId(decoder);
  if ((info & (hasOrigin | hasRightOrigin)) === 0) {
    if (readVarUint(decoder) === 1) readVarString(decoder);
    else checkId(decoder);
    if (info & hasParentSub) readVarString(decoder);
  }
  return checkContent(decoder, content);
}

function checkContent(decoder: Decoder, content: number): number {
  switch (content) {
    case 1: // what was deleted: its length
      return readVarUint(decoder);
    case 2:
      return times(readVarUint(decoder), () => {
        const text = readVarString(decoder);
        if (text !== "undefined") JSON.parse(text);
      });
    case 3:
      readVarUint8Array(decoder);
      return 1;
    case 4:
      return readVarString(decoder).length;
    case 5:
      JSON.parse(readVarString(decoder));
      return 1;
    case 6: // formatting: key and value
      readVarString(decoder);
      JSON.parse(readVarString(decoder));
      return 1;
    case 7:
      checkType(decoder);
      return 1;
    case 8:
      return times(readVarUint(decoder), () => readAny(decoder));
    case 9: // a document within: id and options
      readVarString(decoder);
      readAny(decoder);
      return 1;
    default:
      throw new Error(`there is no content of number ${content}`);
  }
}

/** Array, map, text, XML element, fragment, hook and text; elements and hooks have names. */
function checkType(decoder: Decoder): void {
  const type = readVarUint(decoder);
  if (type > 6) throw new Error(`there is no type of number ${type}`);
  if (type === 3 || type === 5) readVarString(decoder);
}

function checkDeletions(decoder: Decoder): void {
  readVarUint(decoder);
  times(readVarUint(decoder), () => {
    const clock = readVarUint(decoder);
    const length = readVarUint(decoder);
    checkLength(length);
    checkClock(clock + length);
  });
}

/** Yjs writes none of length 0, and takes one in; but no document that holds one can be merged with others. */
function checkLength(length: number): void {
  if (length === 0) throw new Error("something has no length");
}

function checkId(decoder: Decoder): void {
  readVarUint(decoder);
  readVarUint(decoder);
}

function checkClock(clock: number): void {
  if (!Number.isSafeInteger(clock)) throw new Error("a clock is no safe integer");
}

/** Each step reads something, so a count beyond reason meets the end of the bytes. @returns `count` */
function times(count: number, step: () => void): number {
  for (let i = 0; i < count; i++) step();
  return count;
}
