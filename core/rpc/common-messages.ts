/**
 * What messages of hosts and of edges are made of. In a file of its own: an edge has it, and not the messages among hosts.
 */
import { field, hex, type Infer, message, optional, repeated, text, varint } from "../bytes/codec.ts";

/** States are bounded by `siblingBytesMax` where they grow; merging may exceed that, the transport's limit is the end. */
export const stateBytesMax = 67_108_864;
export const keyText = text(1_024);
export const nodeText = text(128);
export const contextText = text(32_768);

/** Where the sender stands: receivers that see another ring merge membership first (PROTOCOL 9, *Views meet*). */
export const View = message("View", {
  ring: field(1, hex(8)),
  life: field(2, varint),
  /** The beginning of the sender's latest mark, which is another after each start; who restarts on an old copy is met anew. */
  mark: optional(3, hex(8)),
});
export type View = Infer<typeof View>;

export const Hinted = message("Hinted", { for: field(1, nodeText), at: field(2, nodeText) });

export const ErrorMessage = message("Error", {
  code: field(1, text(64)),
  message: field(2, text(4_096)),
  needed: optional(3, varint),
  got: optional(4, varint),
  from: repeated(5, nodeText, 64),
});
