/**
 * Which addresses a page dials. Those of peers come from other nodes, and many are of no use to it: a host's loopback,
 * its network behind a NAT, an unencrypted WebSocket, which a page served over https may not open. Each try would cost time
 * and print an error in the console.
 *
 * Invariant: an unencrypted or private address is dialled only if a seed was of that kind: whoever runs hosts on this
 * machine or in this network, or without TLS, says so by the seeds.
 */
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";

/** @throws Error where a seed is no multiaddr */
export function dialPolicy(seeds: readonly string[]): (address: Multiaddr) => boolean {
  const kinds = seeds.map((seed) => kindOf(multiaddr(seed)));
  const isPlainFine = kinds.some((kind) => kind?.isPlain);
  const isLoopbackFine = kinds.some((kind) => kind?.reach === "loopback");
  const isPrivateFine = isLoopbackFine || kinds.some((kind) => kind?.reach === "private");
  return (address) => {
    const kind = kindOf(address);
    if (kind === undefined || (kind.isPlain && !isPlainFine)) return false;
    if (kind.reach === "loopback") return isLoopbackFine;
    return kind.reach === "public" || isPrivateFine;
  };
}

interface Kind {
  readonly reach: "public" | "private" | "loopback";
  /** A WebSocket without TLS. */
  readonly isPlain: boolean;
}

/** Of the first hop: of a relayed address that is the relay. Undefined: it starts nowhere that a page can go. */
function kindOf(address: Multiaddr): Kind | undefined {
  const all = address.getComponents();
  const end = all.findIndex(({ name }) => name === "p2p-circuit");
  const hop = end === -1 ? all : all.slice(0, end);
  const [first] = hop;
  if (first?.value === undefined || !/^(?:ip|dns)/.test(first.name)) return undefined;
  const names = hop.map(({ name }) => name);
  const isSecure = names.includes("wss") || names.includes("tls");
  if (!isSecure && !names.includes("ws")) return undefined;
  return { reach: reachOf(first.name, first.value.toLowerCase()), isPlain: !isSecure };
}

const loopback = { ip4: /^127\./, ip6: /^::1$/, dns: /(?:^|\.)localhost$/ };
const privateNetwork = {
  // RFC 1918, link-local, carrier-grade NAT (RFC 6598)
  ip4: /^(?:10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|169\.254\.|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|0\.)/,
  // Unique local (RFC 4193), link-local
  ip6: /^(?:f[cd]|fe[89ab])/,
  // mDNS, and the name for home networks (RFC 8375)
  dns: /\.(?:local|home\.arpa)$/,
};

function reachOf(name: string, value: string): Kind["reach"] {
  const kind = name === "ip4" || name === "ip6" ? name : "dns";
  if (loopback[kind].test(value)) return "loopback";
  return privateNetwork[kind].test(value) ? "private" : "public";
}
