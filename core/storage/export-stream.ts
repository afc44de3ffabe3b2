/**
 * Exports: all that a node holds, as a stream of bytes that another one merges into what it has. Frames, each of 4 bytes of
 * length (big-endian), 4 of CRC-32C and a message in Protocol Buffers' wire format: a head, then states and unsent writes, then
 * an end. The checksum goes on from that of the frame before, so that none is missing, twice, or in another's place.
 *
 * An import takes frame by frame, each a merge that is safe by itself: nothing of a frame is done before all of it was
 * checked, and what came before a damaged one stays. So a stream of any length needs the memory of one frame, and to import
 * it once more, whole, is all that there is to do.
 */
import {
  bytes,
  choice,
  DecodeError,
  field,
  hex,
  message,
  optional,
  repeated,
  text,
  varint,
  verified,
} from "../bytes/codec.ts";
import { parseKey } from "../bytes/key.ts";
import { decodeVersioned } from "../causality/encoding.ts";
import type { Versioned } from "../causality/version-set.ts";
import { StoreError } from "../errors.ts";
import type { Key } from "../identity.ts";
import { foundingBytes, foundingsMax } from "../membership/forgetting-marks.ts";
import { crc32c } from "./crc32c.ts";

const version = 1;
const headBytes = 8;
/** Above the largest state with the contexts that cover it. */
const frameBytesMax = 1 << 27;
const contextsMax = 64;
const contextBytesMax = 32_768;

const Head = message("ExportHead", {
  format: field(1, text(32)),
  version: field(2, varint),
  cluster: field(3, text(128)),
  node: field(4, text(256)),
  kind: field(5, choice({ edge: 0, host: 1 })),
  /** Wall clock, ms since 1970. */
  atMs: field(6, varint),
  /** Of hosts, of which partitions what was deleted or cut has been forgotten how often (PROTOCOL 9, *Return*). */
  partitions: field(7, varint),
  marks: field(8, bytes(1 << 21)),
  /** Of hosts, the ring: by which foundings had met in it. None: of a version that told no rings apart. */
  foundings: repeated(9, hex(foundingBytes), foundingsMax),
});
const State = message("ExportState", {
  key: field(1, text(1_024)),
  state: field(2, bytes(frameBytesMax)),
  /** Sealed by hosts; together they cover the state. */
  contexts: repeated(3, text(contextBytesMax), contextsMax),
});
const End = message("ExportEnd", { frames: field(1, varint), damaged: field(2, varint) });

const Frame = verified(
  message("ExportFrame", {
    head: optional(1, Head),
    state: optional(2, State),
    /** A row of an edge's outbox, as it is stored. */
    write: optional(3, bytes(frameBytesMax)),
    end: optional(4, End),
  }),
  (frame) => (Object.values(frame).filter((part) => part !== undefined).length === 1 ? undefined : "is not one thing"),
);

export interface ExportHead {
  readonly cluster: string;
  readonly node: string;
  readonly kind: "edge" | "host";
  readonly atMs: number;
  readonly partitions: number;
  readonly marks: Uint8Array;
  readonly foundings: readonly string[];
}

export type ExportItem =
  | { readonly kind: "state"; readonly key: Key; readonly state: Uint8Array; readonly contexts: readonly string[] }
  | { readonly kind: "write"; readonly row: Uint8Array }
  /** A record that cannot be read: whoever imports is told how many there were. */
  | { readonly kind: "damaged" };

const format = "everwrite-export";

export async function* exportStream(
  head: ExportHead,
  items: AsyncIterable<ExportItem>,
): AsyncGenerator<Uint8Array, void, undefined> {
  let checksum = 0;
  let [frames, damaged] = [0, 0];
  const framed = (frame: Parameters<typeof Frame.encode>[0]): Uint8Array => {
    const body = Frame.encode(frame);
    checksum = crc32c(body, checksum);
    const whole = new Uint8Array(headBytes + body.length);
    const view = new DataView(whole.buffer);
    view.setUint32(0, body.length);
    view.setInt32(4, checksum);
    whole.set(body, headBytes);
    return whole;
  };
  yield framed({ head: { ...head, foundings: [...head.foundings], format, version } });
  for await (const item of items) {
    if (item.kind === "damaged") {
      damaged += 1;
      continue;
    }
    frames += 1;
    yield framed(item.kind === "write" ? { write: item.row } : { state: { ...item, contexts: [...item.contexts] } });
  }
  yield framed({ end: { frames, damaged } });
}

/** One thing of an export, checked: a state is one, a key is one. */
export type ImportItem =
  | { readonly kind: "head"; readonly head: ExportHead }
  | {
      readonly kind: "state";
      readonly key: Key;
      readonly state: Versioned;
      readonly encoded: Uint8Array;
      readonly contexts: readonly string[];
    }
  | { readonly kind: "write"; readonly row: Uint8Array }
  | { readonly kind: "end"; readonly damaged: number };

/** The head first, the end last. @throws StoreError `bad-request`: it is no export, of a later version, damaged, or cut short */
export async function* readExport(source: AsyncIterable<Uint8Array>): AsyncGenerator<ImportItem, void, undefined> {
  let place: "start" | "middle" | "end" = "start";
  let frames = 0;
  for await (const body of bodiesOf(source)) {
    const item = itemOf(body);
    if ((item.kind === "head") !== (place === "start") || place === "end") throw refused("its frames are out of order");
    place = item.kind === "end" ? "end" : "middle";
    if (item.kind === "end" && item.frames !== frames) throw refused("frames are missing");
    if (item.kind === "state" || item.kind === "write") frames += 1;
    yield item;
  }
  if (place !== "end") throw refused("it was cut short");
}

/** However the bytes come in pieces. */
async function* bodiesOf(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  let checksum = 0;
  let pieces: Uint8Array[] = [];
  let waiting = 0;
  let needed = headBytes;
  for await (const piece of source) {
    if (!(piece instanceof Uint8Array)) throw refused("it is no stream of bytes");
    pieces.push(piece);
    waiting += piece.length;
    while (waiting >= needed) {
      let all = joined(pieces, waiting);
      for (needed = lengthOf(all); all.length >= needed; needed = lengthOf(all)) {
        const body = all.slice(headBytes, needed);
        checksum = crc32c(body, checksum);
        if (viewOf(all).getInt32(4) !== checksum) throw refused("a checksum is wrong");
        yield body;
        all = all.subarray(needed);
      }
      pieces = [all];
      waiting = all.length;
    }
  }
  if (waiting > 0) throw refused("it was cut short");
}

/** Of the frame that the bytes begin with, as far as it is known. */
function lengthOf(all: Uint8Array): number {
  if (all.length < headBytes) return headBytes;
  const length = viewOf(all).getUint32(0);
  if (length > frameBytesMax) throw refused(`a frame of ${length} bytes is none`);
  return headBytes + length;
}

function itemOf(body: Uint8Array): ImportItem & { readonly frames?: number } {
  try {
    const { head, state, write, end } = Frame.decode(body);
    if (head !== undefined) {
      if (head.format !== format) throw refused("it is none");
      if (head.version !== version)
        throw refused(`it is of version ${head.version}, and this program reads ${version}`);
      return { kind: "head", head };
    }
    if (state !== undefined) {
      const { key, state: encoded, contexts } = state;
      return { kind: "state", key: parseKey(key), state: decodeVersioned(encoded), encoded, contexts };
    }
    return write === undefined ? { kind: "end", ...end! } : { kind: "write", row: write };
  } catch (error: unknown) {
    if (!(error instanceof DecodeError)) throw error;
    throw refused(`something in it cannot be read: ${error.message}`);
  }
}

function joined(pieces: readonly Uint8Array[], length: number): Uint8Array {
  const [first] = pieces;
  if (pieces.length === 1 && first !== undefined) return first;
  const all = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

function viewOf(array: Uint8Array): DataView {
  return new DataView(array.buffer, array.byteOffset, array.length);
}

function refused(why: string): StoreError {
  return new StoreError(
    "bad-request",
    `this is not a whole export: ${why}; what came before is imported, and may be again`,
  );
}

/** @throws StoreError `bad-request` */
export function checkHead(head: ExportHead, cluster: string): void {
  if (head.cluster === cluster) return;
  throw new StoreError("bad-request", `this export is of the cluster "${head.cluster}", not of "${cluster}"`);
}
