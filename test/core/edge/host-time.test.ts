import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { HostTime } from "../../../core/edge/host-time.ts";
import type { NodeId } from "../../../core/identity.ts";
import type { Clock } from "../../../core/ports.ts";

const hour = 3_600_000;
const h = (n: number): NodeId => `h${n}` as NodeId;

/** An own clock that a test moves, and hosts whose clocks show the true time plus what they are off. */
class World implements Clock {
  trueMs = 1_700_000_000_000;
  steadyMs = 0;
  wrongMs = 0;
  readonly time = new HostTime(this);

  now(): number {
    return this.steadyMs;
  }

  wallTime(): number {
    return this.trueMs + this.wrongMs;
  }

  after(): () => void {
    throw new Error("nothing here waits");
  }

  pass(ms: number): void {
    this.trueMs += ms;
    this.steadyMs += ms;
  }

  /** `asleepMs`: before the answer is taken, unnoticed by the steady clock. */
  ask(host: NodeId, { thereMs = 5, backMs = 5, offMs = 0, asleepMs = 0 } = {}): boolean {
    const { asked } = this.time;
    this.pass(thereMs);
    const hostMs = this.trueMs + offMs;
    this.pass(backMs);
    this.trueMs += asleepMs;
    return this.time.note(host, asked, { hostMs, tripMsMax: 5_000 });
  }

  get errorMs(): number {
    return this.time.wallMs - this.trueMs;
  }
}

describe("the hosts' time at an edge", () => {
  test("is the own clock's before any host was asked", () => {
    const world = new World();
    world.wrongMs = hour;
    assert.deepEqual([world.errorMs, world.time.isKnown], [hour, false]);
  });

  test("is wrong by at most half the shortest round trip, however late the others", () => {
    const trip = fc.record({ thereMs: fc.nat(2_000), backMs: fc.nat(2_000) });
    fc.assert(
      fc.property(
        fc.integer({ min: -24 * hour, max: 24 * hour }),
        fc.array(trip, { minLength: 1 }),
        (wrongMs, trips) => {
          const world = new World();
          world.wrongMs = wrongMs;
          for (const each of trips) world.ask(h(1), each);
          const last = trips.slice(-8).map(({ thereMs, backMs }) => thereMs + backMs);
          assert.ok(Math.abs(world.errorMs) <= Math.min(...last) / 2, `${world.errorMs} ms off`);
        },
      ),
    );
  });

  test("is that of most hosts, where the clock of one is wrong by an hour", () => {
    for (const offMs of [hour, -hour]) {
      const world = new World();
      world.wrongMs = -3 * hour;
      world.ask(h(1), { offMs, thereMs: 0, backMs: 0 });
      world.ask(h(2));
      world.ask(h(3));
      assert.ok(Math.abs(world.errorMs) <= 5, `${world.errorMs} ms off`);
    }
  });

  test("follows a clock that is set while hosts answer: rounds of before count no more", () => {
    const world = new World();
    world.ask(h(1), { thereMs: 0, backMs: 0 });
    world.wrongMs = hour;
    assert.equal(world.time.isKnown, false);
    world.ask(h(2), { thereMs: 40, backMs: 20 });
    assert.ok(Math.abs(world.errorMs) <= 30 && world.time.isKnown, `${world.errorMs} ms off`);
  });

  test("is not told by an answer that waited while the page was stopped, or the machine asleep", () => {
    const world = new World();
    for (const stop of [{ backMs: 20_000 }, { asleepMs: 20_000 }]) {
      assert.equal(world.ask(h(1), stop), false);
      assert.deepEqual([world.time.isKnown, world.errorMs], [false, 0]);
    }
    assert.ok(world.ask(h(1)));
    assert.ok(world.time.isKnown);
  });

  test("stands, though it is not known, until it is measured anew", () => {
    const world = new World();
    world.wrongMs = -hour;
    world.ask(h(1));
    world.time.forget();
    assert.deepEqual([world.time.isKnown, Math.abs(world.errorMs) <= 5], [false, true]);
  });
});
