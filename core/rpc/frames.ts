/**
 * The wire format of requests between two nodes: what travels on the one stream of a pair.
 *
 * The stream (protocol `/everwrite/1/requests`) carries frames in both directions. Integers are big-endian.
 *
 *   frame         = length u32 (of the rest, 5 .. 13 + 256 KiB) | kind u8 | id u32 | rest
 *   1 request     = budgetMs u32 | total u32 | first bytes of the body     budget: time left for an answer
 *   2 response    = total u32 | first bytes of the body                    answers the request of this id
 *   3 failed      = reason, UTF-8                                          the handler threw: it may have acted
 *   4 refused     = reason, UTF-8                                          certainly not begun (expired, overloaded)
 *   5 more-request, 6 more-response = the next bytes of a body of `total` bytes that did not fit its first frame
 *   7 ping, 8 pong                                                         a pong echoes the ping's id
 *   9 bye                                                                  no further request comes this way
 *  10 told        = body                                                   a request that wants no answer; its id is 0
 *
 * Ids are chosen by whoever asks, so the two directions count apart; an id is free again after its answer.
 * Every request gets exactly one of response, failed, refused. At most `bodiesInPiecesMax` bodies of a direction are
 * under way in pieces at once. Frames of unknown kind are skipped, so that a later minor version can add some.
 *
 * Invariant: whatever bytes come, a reader holds at most one frame plus twice the body bytes that it really received
 * (bounded by `assemblyBytesMax`), and ends in a `FrameError` rather than in a wrong message.
 */
import { decodeUtf8, encodeUtf8 } from "lib0/string";
import { toldBytesMax } from "../ports.ts";

export const requestProtocol = "/everwrite/1/requests";

/** A body above this travels in pieces, so that a big state does not hold up the small requests behind it. */
const frameBodyBytesMax = 256 * 1024;
/** Bodies of one direction that may be under way in pieces at the same time. */
export const bodiesInPiecesMax = 4;
/** A reason is for people; longer ones are cut. */
const reasonBytesMax = 512;
/** `length` counts from the kind on. */
const lengthBytes = 4;
const frameBytesMin = 5;
const frameBytesMax = frameBytesMin + 8 + frameBodyBytesMax;

const kindNumber = {
  request: 1,
  response: 2,
  failed: 3,
  refused: 4,
  "more-request": 5,
  "more-response": 6,
  ping: 7,
  pong: 8,
  bye: 9,
  told: 10,
} as const;

/** What a reader hands over: whole bodies only. `deadlineMs` is on the reader's own clock. */
export type Message =
  | {
      readonly kind: "request";
      readonly id: number;
      readonly deadlineMs: number;
      readonly body: Uint8Array;
    }
  | { readonly kind: "response"; readonly id: number; readonly body: Uint8Array }
  | { readonly kind: "told"; readonly id: number; readonly body: Uint8Array }
  | { readonly kind: "failed" | "refused"; readonly id: number; readonly reason: string }
  | { readonly kind: "ping" | "pong" | "bye"; readonly id: number };

/** The peer broke the format; its stream cannot be understood any more and must be given up. */
export class FrameError extends Error {
  override readonly name = "FrameError";
  readonly kind: "malformed" | "too-long" | "too-much";

  constructor(kind: "malformed" | "too-long" | "too-much", message: string) {
    super(message);
    this.kind = kind;
  }
}

export interface FrameLimits {
  /** One body, bytes. */
  readonly messageBytesMax: number;
  /** All bodies of one direction that are under way in pieces, bytes. */
  readonly assemblyBytesMax: number;
}

export const defaultFrameLimits: FrameLimits = {
  // A state of siblings at their limits (100 x 1 MiB) is refused by the store long before; 64 MiB is a Yjs document nobody wants.
  messageBytesMax: 64 * 1024 * 1024,
  assemblyBytesMax: 128 * 1024 * 1024,
};

// -- Writing --------------------------------------------------------------------------------------------------------

/** Bytes before the body in the first frame of `message`. */
export function headerBytes(message: Message): number {
  if (message.kind === "request") return lengthBytes + frameBytesMin + 8;
  if (message.kind === "response") return lengthBytes + frameBytesMin + 4;
  return lengthBytes + frameBytesMin;
}

/** Header of a piece that follows the first. */
export const pieceHeaderBytes: number = lengthBytes + frameBytesMin;

/** What follows the header: body or reason. */
export function restOf(message: Message): Uint8Array {
  if ("body" in message) return message.body;
  if ("reason" in message) return encodeReason(message.reason);
  return nothing;
}

/**
 * Writes one frame of `message` at `at`: the bytes `from..to` of its `rest`, behind the header that they need.
 * Returns the offset after it.
 */
export function writeFrame(
  target: Uint8Array,
  at: number,
  message: Message,
  part: {
    readonly rest: Uint8Array;
    readonly from: number;
    readonly to: number;
    readonly nowMs: number;
  },
): number {
  const { rest, from, to, nowMs } = part;
  const first = from === 0;
  const header = first ? headerBytes(message) : pieceHeaderBytes;
  writeUint32(target, at, header - lengthBytes + to - from);
  target[at + 4] = first
    ? kindNumber[message.kind]
    : kindNumber[message.kind === "request" ? "more-request" : "more-response"];
  writeUint32(target, at + 5, message.id);
  if (first && message.kind === "request") {
    // A budget, not a deadline: the two clocks have nothing in common.
    writeUint32(target, at + 9, Math.max(0, Math.min(0xffffffff, Math.round(message.deadlineMs - nowMs))));
    writeUint32(target, at + 13, rest.length);
  } else if (first && message.kind === "response") {
    writeUint32(target, at + 9, rest.length);
  }
  target.set(from === 0 && to === rest.length ? rest : rest.subarray(from, to), at + header);
  return at + header + to - from;
}

const nothing = new Uint8Array(0);

function encodeReason(reason: string): Uint8Array {
  const bytes = encodeUtf8(reason);
  if (bytes.length <= reasonBytesMax) return bytes;
  // Cut by characters, not by bytes, so that it stays UTF-8.
  return encodeUtf8(reason.slice(0, Math.floor(reasonBytesMax / 4)));
}

function writeUint32(target: Uint8Array, at: number, value: number): void {
  target[at] = value >>> 24;
  target[at + 1] = value >>> 16;
  target[at + 2] = value >>> 8;
  target[at + 3] = value;
}

// -- Reading --------------------------------------------------------------------------------------------------------

interface Assembly {
  readonly deadlineMs: number;
  readonly total: number;
  bytes: Uint8Array;
  received: number;
}

/** Bodies of one direction that are under way in pieces. */
interface Assemblies {
  readonly kind: "request" | "response";
  readonly byId: Map<number, Assembly>;
  /** Sum of the totals that were claimed. */
  claimedBytes: number;
}

/**
 * Turns chunks of a stream, cut anywhere, into messages, and hands each over in order. Bodies are copies: a chunk may
 * be reused. After a `FrameError` a reader must not be used again.
 */
export class FrameReader {
  readonly #limits: FrameLimits;
  readonly #deliver: (message: Message) => void;
  /** The beginning of a frame whose end has not come yet; `#heldBytes` of it are filled. */
  #held: Uint8Array = nothing;
  #heldBytes = 0;
  readonly #requests: Assemblies = { kind: "request", byId: new Map(), claimedBytes: 0 };
  readonly #responses: Assemblies = { kind: "response", byId: new Map(), claimedBytes: 0 };

  constructor(limits: FrameLimits, deliver: (message: Message) => void) {
    this.#limits = limits;
    this.#deliver = deliver;
  }

  /** Memory in use for incomplete frames and bodies. */
  get heldBytes(): number {
    let bytes = this.#held.length;
    for (const { byId } of [this.#requests, this.#responses]) {
      for (const assembly of byId.values()) bytes += assembly.bytes.length;
    }
    return bytes;
  }

  /** @throws FrameError when the peer broke the format. */
  read(chunk: Uint8Array, nowMs: number): void {
    let at = this.#finishHeld(chunk, nowMs);
    while (chunk.length - at >= lengthBytes) {
      const end = at + lengthBytes + checkedLength(chunk, at);
      if (end > chunk.length) break;
      this.#frame(chunk, at + lengthBytes, end, nowMs);
      at = end;
    }
    if (at < chunk.length) this.#hold(chunk, at, chunk.length);
  }

  /** Completes the held frame with the start of `chunk` if it can; returns how much of the chunk it used. */
  #finishHeld(chunk: Uint8Array, nowMs: number): number {
    if (this.#heldBytes === 0) return 0;
    let at = 0;
    if (this.#heldBytes < lengthBytes) {
      at = Math.min(chunk.length, lengthBytes - this.#heldBytes);
      this.#hold(chunk, 0, at);
      if (this.#heldBytes < lengthBytes) return at;
    }
    const frameEnd = lengthBytes + checkedLength(this.#held, 0);
    const to = Math.min(chunk.length, at + frameEnd - this.#heldBytes);
    this.#hold(chunk, at, to);
    if (this.#heldBytes < frameEnd) return to;
    const frame = this.#held;
    this.#held = nothing;
    this.#heldBytes = 0;
    this.#frame(frame, lengthBytes, frameEnd, nowMs);
    return to;
  }

  #hold(chunk: Uint8Array, from: number, to: number): void {
    this.#held = grown(this.#held, this.#heldBytes, this.#heldBytes + to - from, lengthBytes + frameBytesMax);
    this.#held.set(chunk.subarray(from, to), this.#heldBytes);
    this.#heldBytes += to - from;
  }

  /** One frame from its kind at `at` to its `end`. */
  #frame(bytes: Uint8Array, at: number, end: number, nowMs: number): void {
    const id = readUint32(bytes, at + 1);
    const rest = at + frameBytesMin;
    switch (bytes[at]!) {
      case kindNumber.request: {
        requireBytes(rest + 8 <= end);
        const total = readUint32(bytes, rest + 4);
        const deadlineMs = nowMs + readUint32(bytes, rest);
        return this.#first(this.#requests, id, { total, deadlineMs }, copyOf(bytes, rest + 8, end));
      }
      case kindNumber.response:
        requireBytes(rest + 4 <= end);
        return this.#first(
          this.#responses,
          id,
          { total: readUint32(bytes, rest), deadlineMs: 0 },
          copyOf(bytes, rest + 4, end),
        );
      case kindNumber["more-request"]:
        return this.#more(this.#requests, id, bytes.subarray(rest, end));
      case kindNumber["more-response"]:
        return this.#more(this.#responses, id, bytes.subarray(rest, end));
      case kindNumber.failed:
        return this.#deliver({ kind: "failed", id, reason: decodeReason(bytes.subarray(rest, end)) });
      case kindNumber.refused:
        return this.#deliver({ kind: "refused", id, reason: decodeReason(bytes.subarray(rest, end)) });
      case kindNumber.ping:
        return this.#deliver({ kind: "ping", id });
      case kindNumber.pong:
        return this.#deliver({ kind: "pong", id });
      case kindNumber.bye:
        return this.#deliver({ kind: "bye", id });
      case kindNumber.told:
        if (end - rest > toldBytesMax) throw new FrameError("too-long", `${end - rest} bytes are told at once`);
        return this.#deliver({ kind: "told", id, body: copyOf(bytes, rest, end) });
      default: // A kind of a later version: skipped.
    }
  }

  #first(
    assemblies: Assemblies,
    id: number,
    { total, deadlineMs }: { total: number; deadlineMs: number },
    part: Uint8Array,
  ): void {
    const { messageBytesMax, assemblyBytesMax } = this.#limits;
    const { kind, byId, claimedBytes } = assemblies;
    if (total > messageBytesMax) {
      throw new FrameError("too-long", `a body of ${total} bytes; at most ${messageBytesMax} are allowed`);
    }
    if (part.length === total) return this.#whole(kind, id, deadlineMs, part);
    if (part.length === 0 || part.length > total || byId.has(id)) {
      throw new FrameError("malformed", `a ${kind} of ${total} bytes begins with ${part.length} bytes, id ${id}`);
    }
    if (byId.size >= bodiesInPiecesMax || claimedBytes + total > assemblyBytesMax) {
      throw new FrameError("too-much", `a ${kind} of ${total} bytes in pieces, beside ${byId.size} of ${claimedBytes}`);
    }
    assemblies.claimedBytes += total;
    byId.set(id, { deadlineMs, total, bytes: part, received: part.length });
  }

  #more(assemblies: Assemblies, id: number, part: Uint8Array): void {
    const assembly = assemblies.byId.get(id);
    if (assembly === undefined) throw new FrameError("malformed", `a piece of a body that was never begun, id ${id}`);
    const { total, deadlineMs } = assembly;
    const received = assembly.received + part.length;
    // An empty piece would let a peer send for ever without getting on.
    if (part.length === 0 || received > total) {
      throw new FrameError("malformed", `a piece of ${part.length} bytes makes ${received} of ${total}, id ${id}`);
    }
    assembly.bytes = grown(assembly.bytes, assembly.received, received, total);
    assembly.bytes.set(part, assembly.received);
    assembly.received = received;
    if (received < total) return;
    assemblies.byId.delete(id);
    assemblies.claimedBytes -= total;
    this.#whole(assemblies.kind, id, deadlineMs, assembly.bytes);
  }

  #whole(kind: "request" | "response", id: number, deadlineMs: number, body: Uint8Array): void {
    this.#deliver(kind === "request" ? { kind, id, deadlineMs, body } : { kind, id, body });
  }
}

function checkedLength(bytes: Uint8Array, at: number): number {
  const length = readUint32(bytes, at);
  if (length > frameBytesMax)
    throw new FrameError("too-long", `a frame of ${length} bytes; at most ${frameBytesMax} are allowed`);
  if (length < frameBytesMin)
    throw new FrameError("malformed", `a frame of ${length} bytes; at least ${frameBytesMin} are needed`);
  return length;
}

function requireBytes(enough: boolean): void {
  if (!enough) throw new FrameError("malformed", "a frame ends within its header");
}

function decodeReason(bytes: Uint8Array): string {
  if (bytes.length > reasonBytesMax) throw new FrameError("too-long", `a reason of ${bytes.length} bytes`);
  try {
    return decodeUtf8(bytes);
  } catch {
    throw new FrameError("malformed", "a reason that is not UTF-8");
  }
}

function readUint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** `bytes` with room for `needed`: doubled as it fills, never more than `most`, so a claimed length costs nothing. */
function grown(bytes: Uint8Array, used: number, needed: number, most: number): Uint8Array {
  if (needed <= bytes.length) return bytes;
  const larger = new Uint8Array(Math.min(most, Math.max(needed, 2 * bytes.length)));
  larger.set(bytes.subarray(0, used));
  return larger;
}

/** Not `slice`: on a Buffer that would be a view of the network's memory. */
function copyOf(bytes: Uint8Array, from: number, to: number): Uint8Array {
  const copy = new Uint8Array(to - from);
  copy.set(bytes.subarray(from, to));
  return copy;
}
