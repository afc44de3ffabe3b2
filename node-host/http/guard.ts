/**
 * Keeps web pages out of a store that listens on loopback.
 * A page of another site can reach us in two ways: directly (its browser adds a foreign `Origin`), or by DNS rebinding
 * (its own name suddenly resolves to 127.0.0.1, and `Host` carries that name). An address in `Host` cannot be rebound.
 */
import type { IncomingMessage } from "node:http";
import { StoreError } from "../../core/errors.ts";

/** `name`, `name:port`, `1.2.3.4:port`, `[::1]:port`; nothing that a URL parser would read as user, path or query. */
const hostPattern = /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?$/i;

/** Throws `forbidden` unless the request was meant for this server: `names` are what it was bound to or told to answer to. */
export function refuseForeign(request: IncomingMessage, names: readonly string[]): void {
  const { host, origin } = request.headers;
  if (host === undefined) throw new StoreError("bad-request", "the Host header is missing");
  // Node shows the first one; whatever stands between may have gone by another.
  if (hostHeaders(request) > 1) throw new StoreError("bad-request", "the Host header is given twice");
  const target = parseHost(host);
  if (target === null || !isOurs(target.hostname, request.socket.localAddress, names)) {
    throw new StoreError(
      "forbidden",
      `this host does not answer to "${host}"; start it with --http-name to allow a name`,
    );
  }
  // Another port of this machine is another site: any development server there could act for a stranger.
  if (origin !== undefined && !isSameOrigin(origin, target)) {
    throw new StoreError("forbidden", `pages of ${origin} may not use this host`);
  }
}

function hostHeaders({ rawHeaders }: IncomingMessage): number {
  return rawHeaders.filter((name, i) => i % 2 === 0 && name.length === 4 && name.toLowerCase() === "host").length;
}

function parseHost(host: string): URL | null {
  const url = `http://${host}`;
  return hostPattern.test(host) && URL.canParse(url) ? new URL(url) : null;
}

function isOurs(hostname: string, localAddress: string | undefined, names: readonly string[]): boolean {
  const name = bare(hostname);
  return (
    name === "localhost" ||
    name === "::1" ||
    /^127(?:\.[0-9]+){3}$/.test(name) ||
    name === bare(localAddress ?? "") ||
    names.some((ours) => bare(ours) === name)
  );
}

/** Without brackets, the root's dot and the prefix of an IPv4 address on a dual-stack socket. */
function bare(host: string): string {
  return host
    .toLowerCase()
    .replace(/^\[(.*)\]$/, "$1")
    .replace(/\.$/, "")
    .replace(/^::ffff:(?=[0-9.]+$)/, "");
}

function isSameOrigin(origin: string, target: URL): boolean {
  if (!URL.canParse(origin)) return false;
  const { protocol, host } = new URL(origin);
  return (protocol === "http:" || protocol === "https:") && host === target.host;
}
