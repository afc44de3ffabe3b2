/** A node as a page is: it dials WebSockets, listens nowhere, and is found through relays only. */
import "../../node-host/polyfill.ts";
import assert from "node:assert/strict";
import { identify } from "@libp2p/identify";
import type { Libp2p } from "@libp2p/interface";
import { noise } from "@libp2p/noise";
import { webSockets } from "@libp2p/websockets";
import { yamux } from "@libp2p/yamux";
import { createLibp2p } from "libp2p";
import { defaultTransportLimits } from "../../core/libp2p/limits.ts";
import { MeetingPoints } from "../../core/libp2p/meeting-points.ts";
import { reservations, type Reservations } from "../../core/libp2p/reservations.ts";
import { libp2pTransport, type Libp2pTransport } from "../../core/libp2p/transport.ts";
import { realClock } from "./real-clock.ts";

const limits = { ...defaultTransportLimits, redialMsMax: 1_000 };
const text = new TextEncoder();
const started: Visitor[] = [];

export class Visitor {
  readonly libp2p: Libp2p;
  readonly points: MeetingPoints;
  readonly transport: Libp2pTransport;

  private constructor(libp2p: Libp2p, relays: Reservations, seeds: readonly string[]) {
    this.libp2p = libp2p;
    this.points = new MeetingPoints({ libp2p, clock: realClock, limits, reservations: relays }, seeds);
    this.transport = libp2pTransport({ libp2p, clock: realClock }, limits);
  }

  static async start(...seeds: readonly string[]): Promise<Visitor> {
    const relays = reservations();
    const libp2p = await createLibp2p({
      addresses: { listen: ["/p2p-circuit", "/p2p-circuit", "/p2p-circuit"] },
      transports: [webSockets(), relays.transport],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      connectionMonitor: { enabled: false },
      services: { identify: identify() },
    });
    const visitor = new Visitor(libp2p, relays, seeds);
    visitor.transport.serve(async (_from, body) => body);
    await visitor.transport.start();
    visitor.points.start();
    started.push(visitor);
    return visitor;
  }

  get addresses(): readonly string[] {
    return this.libp2p.getMultiaddrs().map(String);
  }

  isFoundThrough(...ids: readonly string[]): boolean {
    return ids.every((id) => this.addresses.some((address) => address.includes(`/p2p/${id}/p2p-circuit`)));
  }

  async asks(other: Visitor): Promise<void> {
    // While the own way to the relay is still opening, a dial through it may fail.
    await this.points.connected(10_000);
    const id = await this.transport.meet(other.addresses[0]!);
    const body = text.encode(`to ${id}`);
    assert.deepEqual(await this.transport.request(id, body, 10_000), body);
  }

  static async stopAll(): Promise<void> {
    await Promise.all(started.map((visitor) => visitor.stop()));
  }

  async stop(): Promise<void> {
    this.points.stop();
    await this.transport.stop();
    await this.libp2p.stop();
  }
}
