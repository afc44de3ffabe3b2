/**
 * Messages of channels: to take part in those of keys, and what is said there.
 */
import { bool, bytes, field, message, repeated } from "../bytes/codec.ts";
import { StoreError } from "../errors.ts";
import { keyText } from "./common-messages.ts";

/** A cursor or some keystrokes, and room for a pasted page; what is more comes with the stored state. */
export const channelMessageBytesMax = 16_384;
/** Who has joined takes part for so long, and joins again in time. */
export const joinedMs = 30_000;
export const renewMs = 10_000;

export const ChannelJoinRequest = message("ChannelJoinRequest", {
  join: repeated(1, keyText, 10_000),
  leave: repeated(2, keyText, 10_000),
});
export const ChannelJoinResponse = message("ChannelJoinResponse", {});

/** Told, not asked. */
export const ChannelTellRequest = message("ChannelTellRequest", {
  key: field(1, keyText),
  body: field(2, bytes(channelMessageBytesMax)),
  /** By the host where the channel's hosts meet, or by the own host: it goes no further. */
  passedOn: field(3, bool),
});
export const ChannelTellResponse = message("ChannelTellResponse", {});

/** @throws StoreError `value-too-large` */
export function checkChannelMessage({ length }: Uint8Array): void {
  if (length <= channelMessageBytesMax) return;
  throw new StoreError("value-too-large", `a message of ${length} bytes; at most ${channelMessageBytesMax} are told`);
}
