/**
 * What a node knows of one other: its links, how fast it answers, its requests under way.
 *
 * Invariants: `current` is the best open link, by an order on which both ends agree, so that two streams opened at the
 * same moment end as one; after `add` there is a current one.
 */
import type { NodeId } from "../identity.ts";
import type { PeerState } from "../ports.ts";
import type { Inbox } from "./inbox.ts";
import type { Link } from "./link.ts";
import { RoundTrips } from "./round-trips.ts";
import { isRelayed } from "./route.ts";

/** Streams opened within this time are taken for a simultaneous open; a later one means that the older may be dead, ms. */
const simultaneousMs = 5_000;

interface Opened {
  readonly link: Link;
  /** Who opened the stream. */
  readonly opener: NodeId;
}

export class Peer {
  readonly id: NodeId;
  readonly inbox: Inbox;
  readonly roundTrips: RoundTrips = new RoundTrips();
  lastHeardMs: number | undefined;
  /** Best first. */
  readonly #links: Opened[] = [];

  constructor(id: NodeId, inbox: Inbox) {
    this.id = id;
    this.inbox = inbox;
  }

  get current(): Link | undefined {
    return this.#links.find(({ link }) => !link.retired)?.link;
  }

  /** Requests go straight to it, not through a relay. */
  get isDirect(): boolean {
    const { current } = this;
    return current !== undefined && !isRelayed(current.connection);
  }

  get links(): readonly Link[] {
    return this.#links.map(({ link }) => link);
  }

  add(link: Link, opener: NodeId): void {
    const opened = { link, opener };
    // One that either side has given up does not compete: its end is agreed, and nothing may be left but it.
    const worse = this.#links.findIndex((other) => other.link.departing || better(opened, other));
    this.#links.splice(worse === -1 ? this.#links.length : worse, 0, opened);
    for (const { link: spare } of this.#links.slice(1)) spare.retire();
  }

  remove(link: Link): void {
    const at = this.#links.findIndex((opened) => opened.link === link);
    if (at !== -1) this.#links.splice(at, 1);
  }

  state(): PeerState {
    const { current, lastHeardMs } = this;
    const waiting = this.#links.map(({ link }) => link.waitingSinceMs).filter((ms) => ms !== undefined);
    const { smoothedMs, p95Ms } = this.roundTrips;
    return {
      id: this.id,
      connected: current !== undefined,
      ...(lastHeardMs === undefined ? {} : { lastHeardMs }),
      ...(waiting.length === 0 ? {} : { waitingSinceMs: Math.min(...waiting) }),
      ...(smoothedMs === undefined ? {} : { rttMs: smoothedMs }),
      ...(p95Ms === undefined ? {} : { rttP95Ms: p95Ms }),
      addresses: [...new Set(this.#links.map(({ link }) => link.connection.remoteAddr.toString()))],
    };
  }
}

/** Direct before relayed; of a simultaneous open the stream of the smaller id; else the newer. */
function better(a: Opened, b: Opened): boolean {
  const relayedA = isRelayed(a.link.connection);
  const relayedB = isRelayed(b.link.connection);
  if (relayedA !== relayedB) return relayedB;
  const together = Math.abs(a.link.openedMs - b.link.openedMs) < simultaneousMs;
  if (together && a.opener !== b.opener) return a.opener < b.opener;
  return a.link.openedMs >= b.link.openedMs;
}
