/**
 * Flow control that costs little: js-libp2p's yamux opens its receive window again after every message, which makes one
 * more encrypted message and socket write of each that arrives, on both ends.
 */
import type { Stream } from "@libp2p/interface";
import { StreamState, YamuxStream } from "@libp2p/yamux/stream";

/**
 * Lets `stream` open its window when half of it is used up, as hashicorp/yamux does. The peer never waits for more than
 * that: who has used up the whole window has used up half of it.
 */
export function openWindowByHalves(stream: Stream): void {
  // Other muxers (WebRTC data channels) have windows of their own.
  if (!(stream instanceof YamuxStream)) return;
  const sendWindowUpdate = stream.sendWindowUpdate.bind(stream);
  stream.sendWindowUpdate = () => {
    const isAmple = stream["recvWindowCapacity"] > stream["recvWindow"] / 2;
    // In other states the update carries the flags that open the stream.
    if (isAmple && stream.state === StreamState.Established) return;
    sendWindowUpdate();
  };
}
