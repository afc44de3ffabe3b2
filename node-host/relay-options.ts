/** What `everwrite relay` can be told; how it is told is in settings.ts. */
import { defaultRelayLimits } from "../core/libp2p/limits.ts";
import { logFormats } from "./log-options.ts";
import { multiaddrText, one, several, type Settings } from "./settings.ts";
import { integerUpTo, oneOf, someText } from "./text-values.ts";

export interface RelayOptions {
  /** Directory of the relay's key. */
  readonly data: string;
  /** File of the key; null: inside the data directory. */
  readonly identity: string | null;
  /** Multiaddrs to listen on, and to tell others instead. */
  readonly p2p: readonly string[];
  readonly announce: readonly string[];
  /** Browsers that can be reached through this relay at the same time. */
  readonly reservations: number;
  readonly logFormat: (typeof logFormats)[number];
}

/** In the order of the help. */
export const relaySettings: Settings<RelayOptions> = {
  data: one("DIR", someText, ".everwrite/relay", "directory of this relay's key"),
  identity: { ...one("FILE", someText, "", "the key, if it is to be kept outside the data directory"), initial: null },
  p2p: several("MULTIADDR", multiaddrText, ["/ip4/127.0.0.1/tcp/4002/ws"], "where browsers connect"),
  announce: several("MULTIADDR", multiaddrText, [], "an address to tell others, where it differs from --p2p"),
  reservations: one(
    "COUNT",
    integerUpTo(100_000),
    defaultRelayLimits.reservationsMax,
    "browsers that meet here at the same time",
  ),
  logFormat: one("FORMAT", oneOf(...logFormats), "pretty", logFormats.join(" or ")),
};
