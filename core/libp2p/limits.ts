/** Every number of the transport and of the relay, with unit and reason. */
import { defaultFrameLimits, type FrameLimits } from "../rpc/frames.ts";

export interface TransportLimits extends FrameLimits {
  /**
   * Requests to one peer without an answer; more wait here, where they still are `not-sent`. The peer holds as many at
   * most and stops reading beyond, so both sides should have the same value.
   */
  readonly requestsInFlightMax: number;
  /** Their bytes; a single larger request goes alone. */
  readonly requestBytesInFlightMax: number;
  /** Requests of one peer that the handler works on at the same time; more wait for their turn, or for their deadline. */
  readonly handlersMax: number;
  /** Bytes that wait to be written to one peer: above it a request is refused, and no further request of it is begun. */
  readonly outboundBytesMax: number;
  /** While an answer is due and nothing comes, the peer is asked for a sign of life this often, ms: slow is not dead. */
  readonly pingMs: number;
  /** What has come within this long is sign enough, ms; absent: nothing is. */
  readonly duePingMs?: number;
  /** A connection on which an answer is due and nothing at all comes is cut after this, ms. Slow handlers are fine: pongs count. */
  readonly silentMs: number;
  /** So is one that takes no bytes for this long, ms: a slow one takes some. */
  readonly notReadingMs: number;
  /** An idle link is pinged this often, ms, so that a dead one is found before a request needs it. */
  readonly idlePingMs: number;
  /** What a link has instead of `silentMs` for its first sign of life after the machine slept or the network changed, ms. */
  readonly probeMs: number;
  /**
   * What links over WebRTC have instead: there, no socket says that the peer is gone, and libp2p takes 14 s to find out,
   * in which it hands the dead connection to whoever dials.
   */
  readonly webRtc: { readonly silentMs: number; readonly duePingMs: number; readonly idlePingMs: number };
  /** How long `stop` waits for running handlers, ms. */
  readonly graceMs: number;
  /** Backoff of redials, ms; the first try is at once. */
  readonly redialMsMin: number;
  readonly redialMsMax: number;
  /** The longest pause of it while a relay carries the requests: some pairs never find a direct way, and each try costs both. */
  readonly detourMsMax: number;
  /** One attempt to dial and open the stream, ms. */
  readonly dialTimeoutMs: number;
}

export const defaultTransportLimits: TransportLimits = {
  ...defaultFrameLimits,
  requestsInFlightMax: 1024,
  requestBytesInFlightMax: 64 * 1024 * 1024,
  handlersMax: 256,
  outboundBytesMax: 64 * 1024 * 1024,
  // Well below the store's `suspectAfterMs`, so that a peer with a slow handler is not suspected.
  pingMs: 500,
  silentMs: 10_000,
  notReadingMs: 10_000,
  idlePingMs: 30_000,
  probeMs: 3_000,
  // A peer that stops for most of a second lives on; one that is gone is noticed within two.
  webRtc: { silentMs: 1_000, duePingMs: 250, idlePingMs: 250 },
  graceMs: 5_000,
  redialMsMin: 100,
  redialMsMax: 5_000,
  detourMsMax: 60_000,
  dialTimeoutMs: 5_000,
};

export interface RelayLimits {
  /** Nodes that can be reached through this one at the same time. */
  readonly reservationsMax: number;
  /** How long a reservation holds without being renewed, ms; its node renews it five minutes before its end. */
  readonly reservationMs: number;
  /** One relayed connection: how long it may last, ms, and how many bytes it may carry. */
  readonly relayedMs: number;
  readonly relayedBytes: bigint;
}

export const defaultRelayLimits: RelayLimits = {
  // libp2p's 15 are used up by one office. A reservation is a WebSocket and a row of a table.
  reservationsMax: 1_000,
  reservationMs: 2 * 3_600_000,
  // libp2p's 2 minutes and 128 KiB cut pairs that find no direct way in the middle of their work (js-libp2p#2413). It stays
  // metered, so that a host is no free tunnel; a pair that used its share connects anew.
  relayedMs: 3_600_000,
  relayedBytes: 256n * 1024n * 1024n,
};
