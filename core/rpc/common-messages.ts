/**
 * What messages of hosts and of edges are made of. In a file of its own: an edge has it, and not the messages among hosts.
 */
import { fromBase64url, toBase64url } from "../bytes/base64url.ts";
import {
  bool,
  bytes,
  field,
  hex,
  type Infer,
  message,
  optional,
  repeated,
  text,
  type Type,
  varint,
} from "../bytes/codec.ts";

/** States are bounded by `siblingBytesMax` where they grow; merging may exceed that, the transport's limit is the end. */
export const stateBytesMax = 67_108_864;
export const keyText = text(1_024);
export const nodeText = text(128);
const contextCharsMax = 32_768;
export const contextText = text(contextCharsMax);
const contextBytes = bytes((contextCharsMax / 4) * 3);
/** A context that is known to be one: as the bytes that its text spells, a quarter shorter. */
export const sealedContext: Type<string> = {
  wire: contextBytes.wire,
  write: (writer, value) => contextBytes.write(writer, fromBase64url(value) ?? writer.fail("a context is base64url")),
  read: (reader) => toBase64url(contextBytes.read(reader)),
};

/** Where the sender stands: receivers that see another ring merge membership first (PROTOCOL 9, *Views meet*). */
export const View = message("View", {
  ring: field(1, hex(8)),
  life: field(2, varint),
  /** The beginning of the sender's latest mark, which is another after each start; who restarts on an old copy is met anew. */
  mark: optional(3, hex(8)),
});
export type View = Infer<typeof View>;

export const Hinted = message("Hinted", { for: field(1, nodeText), at: field(2, nodeText) });

/** An edge reads from hosts that agree, so that one context covers the others; more are needed while hosts are behind. */
export const edgeContextsMax = 64;

/** Of the nodes that an error names, so many are told. */
export const errorNodesMax = 64;

export const ErrorMessage = message("Error", {
  code: field(1, text(64)),
  message: field(2, text(4_096)),
  needed: optional(3, varint),
  got: optional(4, varint),
  from: repeated(5, nodeText, errorNodesMax),
  /** Places of contexts that cannot be opened, a byte each. */
  contexts: optional(6, bytes(edgeContextsMax)),
  nothingWritten: optional(7, bool),
});
