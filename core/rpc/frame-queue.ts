/**
 * What waits to be written to one peer, and the order in which it goes: small messages first come, first served, and
 * after each run of them a piece of a big one, the big ones taking turns.
 *
 * Invariant: an item is `sent` only when its last byte has been taken, so whatever is not `sent` was certainly not seen
 * by the peer as a message.
 */
import { Fifo } from "./fifo.ts";
import { bodiesInPiecesMax, headerBytes, pieceHeaderBytes, restOf, writeFrame, type Message } from "./frames.ts";

/** Small enough that a request behind it waits about 1 ms on a 1 Gbit/s link, large enough to keep the stream full. */
const pieceBytes = 64 * 1024;
/** What an item costs beside its bytes, about: a million empty ones are not free. */
const itemBytes = 64;

export interface Outgoing {
  readonly message: Message;
  /** Body or reason, encoded. */
  readonly rest: Uint8Array;
  /** Bytes of `rest` that were taken. */
  taken: number;
  state: "queued" | "sent" | "dropped";
}

interface Part {
  readonly item: Outgoing;
  readonly from: number;
  readonly to: number;
}

export class FrameQueue {
  readonly #assemblyBytesMax: number;
  readonly #small = new Fifo<Outgoing>();
  readonly #big = new Fifo<Outgoing>();
  /** Big ones under way in pieces; the first is the next to send one. */
  readonly #turns: Outgoing[] = [];
  #turnBytes = 0;
  #bytes = 0;
  /** Those that still stand among `#small` and `#big`. */
  #dropped = 0;

  constructor({ assemblyBytesMax }: { assemblyBytesMax: number }) {
    this.#assemblyBytesMax = assemblyBytesMax;
  }

  /** Memory that waits. */
  get bytes(): number {
    return this.#bytes;
  }

  get empty(): boolean {
    return this.#small.size === 0 && this.#big.size === 0 && this.#turns.length === 0;
  }

  push(message: Message): Outgoing {
    const item: Outgoing = { message, rest: restOf(message), taken: 0, state: "queued" };
    this.#bytes += item.rest.length + itemBytes;
    (item.rest.length <= pieceBytes ? this.#small : this.#big).push(item);
    return item;
  }

  /** Takes back an item of which nothing was taken yet; false when it is too late. */
  drop(item: Outgoing): boolean {
    if (item.state !== "queued" || item.taken > 0) return false;
    item.state = "dropped";
    this.#bytes -= item.rest.length + itemBytes;
    const turn = this.#turns.indexOf(item);
    if (turn >= 0) {
      this.#turns.splice(turn, 1);
      this.#turnBytes -= item.rest.length;
      return true;
    }
    this.#dropped += 1;
    // Amortised: a queue that cannot move must not fill with the bodies of requests that nobody waits for.
    if (this.#dropped * 2 > this.#small.size + this.#big.size) this.#sweep();
    return true;
  }

  #sweep(): void {
    for (const queue of [this.#small, this.#big]) queue.filter(({ state }) => state !== "dropped");
    this.#dropped = 0;
  }

  /** The next frames as one write of about `bytes`, or undefined when nothing waits. */
  take(bytes: number, nowMs: number): Uint8Array | undefined {
    const parts: Part[] = [];
    let size = 0;
    while (size < bytes) {
      const part = this.#nextSmall() ?? this.#nextPiece();
      if (part === undefined) break;
      parts.push(part);
      size += partBytes(part);
    }
    // Small ones alone must not starve the big ones.
    const last = parts.at(-1);
    const piece = last !== undefined && last.item.rest.length <= pieceBytes ? this.#nextPiece() : undefined;
    if (piece !== undefined) {
      parts.push(piece);
      size += partBytes(piece);
    }
    if (size === 0) return undefined;
    const write = new Uint8Array(size);
    let at = 0;
    for (const { item, from, to } of parts)
      at = writeFrame(write, at, item.message, { rest: item.rest, from, to, nowMs });
    return write;
  }

  #nextSmall(): Part | undefined {
    let item = this.#small.shift();
    while (item?.state === "dropped") {
      this.#dropped -= 1;
      item = this.#small.shift();
    }
    return item === undefined ? undefined : this.#part(item, item.rest.length);
  }

  #nextPiece(): Part | undefined {
    this.#startTurns();
    const item = this.#turns.shift();
    if (item === undefined) return undefined;
    const part = this.#part(item, Math.min(item.rest.length, item.taken + pieceBytes));
    if (item.state === "sent") this.#turnBytes -= item.rest.length;
    else this.#turns.push(item);
    return part;
  }

  /** Lets further big ones begin, within what the peer is willing to assemble at once. */
  #startTurns(): void {
    while (this.#turns.length < bodiesInPiecesMax) {
      const next = this.#big.peek();
      if (next === undefined) return;
      if (next.state === "dropped") {
        this.#dropped -= 1;
      } else {
        if (this.#turns.length > 0 && this.#turnBytes + next.rest.length > this.#assemblyBytesMax) return;
        this.#turns.push(next);
        this.#turnBytes += next.rest.length;
      }
      this.#big.shift();
    }
  }

  #part(item: Outgoing, to: number): Part {
    const from = item.taken;
    item.taken = to;
    this.#bytes -= to - from;
    if (to === item.rest.length) {
      item.state = "sent";
      this.#bytes -= itemBytes;
    }
    return { item, from, to };
  }
}

function partBytes({ item, from, to }: Part): number {
  return (from === 0 ? headerBytes(item.message) : pieceHeaderBytes) + to - from;
}
