import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Health, sweepIntervalMs } from "../../../core/cluster/health.ts";
import type { NodeId } from "../../../core/identity.ts";
import type { PeerState, Transport } from "../../../core/ports.ts";
import type { StoreEvent } from "../../../core/telemetry.ts";
import { ManualClock } from "../../support/manual-clock.ts";

const [self, h2, h3] = ["h1", "h2", "h3"] as [NodeId, NodeId, NodeId];

/** Health of a node whose peers are as the test says. */
class Scene {
  readonly clock = new ManualClock();
  readonly events: StoreEvent[] = [];
  readonly health: Health;
  peers: Partial<PeerState>[] = [];

  constructor() {
    const transport = { self, peers: () => this.peers.map((peer) => ({ connected: true, addresses: [], ...peer })) };
    const telemetry = { event: (event: StoreEvent) => void this.events.push(event) };
    const deps = { transport: transport as unknown as Transport, clock: this.clock, telemetry };
    this.health = new Health(deps, { suspectAfterMs: 1_000 });
  }

  /** Sweeps during `ms`, while the peers are as given. */
  async after(ms: number, ...peers: Partial<PeerState>[]): Promise<Health> {
    this.peers = peers;
    for (let left = ms; left > 0; left -= sweepIntervalMs) {
      await this.clock.advance(Math.min(left, sweepIntervalMs));
      this.health.sweep();
    }
    return this.health;
  }
}

describe("a peer", () => {
  test("is up while it is connected, a node itself always", () => {
    const { health } = new Scene();
    assert.deepEqual([health.isUp(self), health.isUp(h2)], [true, false]);
    health.connectionChanged(h2, true);
    assert.equal(health.isUp(h2), true);
    health.connectionChanged(h2, false);
    assert.equal(health.isUp(h2), false);
  });

  test("that leaves a request unanswered and says nothing is routed around, until it says something", async () => {
    const scene = new Scene();
    scene.health.connectionChanged(h2, true);
    assert.equal((await scene.after(900, { id: h2, waitingSinceMs: 0, lastHeardMs: 0 })).isUp(h2), true);
    assert.equal((await scene.after(200, { id: h2, waitingSinceMs: 0, lastHeardMs: 0 })).isUp(h2), false);
    assert.deepEqual([...scene.health.suspects], [h2]);
    assert.equal((await scene.after(100, { id: h2, waitingSinceMs: 0, lastHeardMs: 1_150 })).isUp(h2), true);
    const told = scene.events.flatMap((event) => (event.kind === "peer" ? [event.state] : []));
    assert.deepEqual(told, ["connected", "suspect", "recovered"]);
  });

  test("that is slow but answers anything is no suspect, and one that nobody asked neither", async () => {
    const scene = new Scene();
    scene.health.connectionChanged(h2, true);
    scene.health.connectionChanged(h3, true);
    const health = await scene.after(
      60_000,
      { id: h2, waitingSinceMs: 100, lastHeardMs: 59_500 },
      { id: h3, lastHeardMs: 5 },
    );
    assert.deepEqual([health.isUp(h2), health.isUp(h3)], [true, true]);
  });

  test("that comes back on a new connection is no suspect any more", async () => {
    const scene = new Scene();
    scene.health.connectionChanged(h2, true);
    await scene.after(5_000, { id: h2, waitingSinceMs: 0 });
    scene.health.connectionChanged(h2, false);
    scene.health.connectionChanged(h2, true);
    assert.equal(scene.health.isUp(h2), true);
  });

  test("that answered fastest lately is asked first, one never asked before all", async () => {
    const scene = new Scene();
    const unknown = "h4" as NodeId;
    const health = await scene.after(1, { id: h2, rttMs: 9 }, { id: h3, rttMs: 3 });
    assert.deepEqual(health.byRoundTrip([h2, h3, unknown]), [unknown, h3, h2]);
  });

  test("that has said nothing since it connected is asked after all others, however fast it was before", async () => {
    const scene = new Scene();
    const slow = { id: h2, rttMs: 90, lastHeardMs: 40 };
    for (const id of [h2, h3]) scene.health.connectionChanged(id, true);
    await scene.after(100, slow, { id: h3, rttMs: 1, lastHeardMs: 50 });
    scene.health.connectionChanged(h3, false);
    scene.health.connectionChanged(h3, true);
    const first = (): readonly unknown[] => [
      scene.health.byRoundTrip([h3, h2])[0],
      scene.health.fastest([h3, h2], () => true),
      scene.health.fastest([h3], () => true),
    ];
    assert.deepEqual(first(), [h2, h2, h3]);
    await scene.after(100, slow, { id: h3, rttMs: 1, lastHeardMs: 50, waitingSinceMs: 100 });
    assert.deepEqual(first(), [h2, h2, h3]);
    await scene.after(100, slow, { id: h3, rttMs: 1, lastHeardMs: 201 });
    assert.deepEqual(first(), [h3, h3, h3]);
  });
});

describe("phi-accrual", () => {
  const askedAt = (ms: number, lastHeardMs: number): Partial<PeerState> => ({
    id: h2,
    waitingSinceMs: ms,
    lastHeardMs,
  });

  test("a peer that is often silent for long is given longer than one that never was", async () => {
    const scene = new Scene();
    scene.health.connectionChanged(h2, true);
    for (let i = 0; i < 20; i++) {
      const now = scene.clock.now();
      await scene.after(800, askedAt(now, now - 1));
      await scene.after(100, { id: h2, lastHeardMs: scene.clock.now() + 50 });
    }
    const now = scene.clock.now();
    assert.equal((await scene.after(1_400, askedAt(now, now - 1))).isUp(h2), true);
    assert.equal((await scene.after(2_000, askedAt(now, now - 1))).isUp(h2), false);
    assert.ok(scene.health.phi(h2) > 8);
  });

  test("a process that was itself stopped suspects nobody for it", async () => {
    const scene = new Scene();
    scene.health.connectionChanged(h2, true);
    await scene.after(300, askedAt(0, 0));
    await scene.clock.advance(60_000); // no sweep: the whole process stood still
    scene.health.sweep();
    assert.equal(scene.health.isUp(h2), true);
    assert.equal((await scene.after(1_000, askedAt(0, 0))).isUp(h2), false);
  });

  test("a suspect whose last request gave up stays one until it is heard", async () => {
    const scene = new Scene();
    scene.health.connectionChanged(h2, true);
    await scene.after(1_200, askedAt(0, 0));
    assert.equal((await scene.after(5_000, { id: h2, lastHeardMs: 0 })).isUp(h2), false);
    assert.equal((await scene.after(100, { id: h2, lastHeardMs: scene.clock.now() })).isUp(h2), true);
  });
});
