/** The parts that keep links alive and requests in time, on a clock that the test moves. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import type { NodeId } from "../../core/identity.ts";
import { Deadlines } from "../../core/deadlines.ts";
import { defaultTransportLimits } from "../../core/libp2p/limits.ts";
import type { TransportProblem } from "../../core/libp2p/problem.ts";
import { Reconnect } from "../../core/libp2p/reconnect.ts";
import { RoundTrips } from "../../core/libp2p/round-trips.ts";
import { pageTransportLimits } from "../../core/browser/network.ts";
import { Silence } from "../../core/libp2p/silence.ts";
import { ManualClock } from "../support/manual-clock.ts";

const self = "first" as NodeId;
const peer = "second" as NodeId;

function reconnecting(
  connect: (n: number) => Promise<void>,
  hasDetour = false,
): {
  clock: ManualClock;
  reconnect: Reconnect<NodeId>;
  triesMs: number[];
  problems: TransportProblem[];
} {
  const clock = new ManualClock();
  const triesMs: number[] = [];
  const problems: TransportProblem[] = [];
  const reconnect = new Reconnect({
    self,
    clock,
    limits: defaultTransportLimits,
    isConnected: () => false,
    hasDetour: () => hasDetour,
    connect: () => connect(triesMs.push(clock.now())),
    onUnreachable: (peer, message) => problems.push({ kind: "unreachable", peer, message }),
  });
  return { clock, reconnect, triesMs, problems };
}

async function refused(): Promise<void> {
  throw new Error("refused");
}

describe("reconnect", () => {
  it("tries at once, then ever more rarely up to the longest pause, and tells the reason once", async () => {
    const { clock, reconnect, triesMs, problems } = reconnecting(refused);
    reconnect.keep(new Map([[peer, ["a"]]]));
    await clock.advance(60_000);
    assert.equal(triesMs[0], 0);
    const gaps = triesMs.slice(1).map((at, n) => at - triesMs[n]!);
    for (const [n, gap] of gaps.entries()) {
      const most = Math.min(5_000, 100 * 2 ** n);
      assert.ok(gap >= most / 2 && gap <= most, `pause ${n} of ${gap} ms, at most ${most}`);
    }
    assert.deepEqual(problems, [{ kind: "unreachable", peer, message: "refused" }]);
    reconnect.stop();
    assert.deepEqual(clock.pendingMs, []);
  });

  it("goes on trying, but ever more rarely, to be rid of a detour", async () => {
    const { clock, reconnect, triesMs } = reconnecting(refused, true);
    reconnect.keep(new Map([[peer, ["a"]]]));
    await clock.advance(600_000);
    const gaps = triesMs.slice(1).map((at, n) => at - triesMs[n]!);
    assert.ok(gaps.at(-1)! >= 30_000 && Math.max(...gaps) <= 60_000, gaps.join());
  });

  it("tries at once when told that the machine woke, and when the peer moved", async () => {
    const { clock, reconnect, triesMs } = reconnecting(refused);
    reconnect.keep(new Map([[peer, ["a"]]]));
    await clock.advance(60_000);
    const before = triesMs.length;
    reconnect.wake();
    await clock.advance(0);
    reconnect.keep(new Map([[peer, ["b"]]]));
    await clock.advance(0);
    assert.equal(triesMs.length, before + 2);
  });

  it("redials soon after a connection that lasted, and backs off from one that keeps breaking", async () => {
    const { clock, reconnect, triesMs } = reconnecting(() => Promise.resolve());
    reconnect.keep(new Map([[peer, ["a"]]]));
    await clock.advance(0);
    reconnect.changed(peer, true);
    await clock.advance(60_000);
    reconnect.changed(peer, false);
    await clock.advance(50);
    assert.equal(triesMs.length, 2);
    for (let n = 0; n < 20; n += 1) {
      reconnect.changed(peer, true);
      reconnect.changed(peer, false);
    }
    await clock.advance(1000);
    assert.equal(triesMs.length, 2, "a connection that broke 20 times is left alone for a while");
  });

  it("lets a peer of smaller id dial first, so that two that start together meet on one connection", async () => {
    const { clock, reconnect, triesMs } = reconnecting(refused);
    reconnect.keep(new Map([["earlier" as NodeId, ["a"]]]));
    await clock.advance(60);
    assert.deepEqual(triesMs, [50]);
  });

  it("leaves alone whom it no longer keeps, and itself", async () => {
    const { clock, reconnect, triesMs } = reconnecting(refused);
    reconnect.keep(new Map([[self, ["a"]]]));
    reconnect.keep(new Map([[peer, ["a"]]]));
    reconnect.keep(new Map());
    await clock.advance(60_000);
    assert.deepEqual(triesMs, []);
  });
});

describe("deadlines", () => {
  it("each rings once, in time to 10 ms, unless stopped, whatever the order in which they are set", async () => {
    const cases = fc.array(fc.record({ ms: fc.integer({ min: 0, max: 2000 }), stopped: fc.boolean() }), {
      maxLength: 60,
    });
    await fc.assert(
      fc.asyncProperty(cases, async (all) => {
        const clock = new ManualClock();
        const deadlines = new Deadlines(clock);
        const rungMs = all.map((): number[] => []);
        const stops = all.map(({ ms }, n) => deadlines.add(ms, () => rungMs[n]!.push(clock.now())));
        for (const [n, { stopped }] of all.entries()) if (stopped) stops[n]!();
        await clock.advance(3000);
        for (const [n, { ms, stopped }] of all.entries()) {
          assert.equal(rungMs[n]!.length, stopped ? 0 : 1);
          if (!stopped) assert.ok(rungMs[n]![0]! >= ms && rungMs[n]![0]! <= ms + 10, `${ms} rang at ${rungMs[n]![0]}`);
        }
      }),
      { numRuns: 30 },
    );
  });

  it("a thousand of them hold one timer, and none once stopped", () => {
    const clock = new ManualClock();
    const deadlines = new Deadlines(clock);
    let rung = 0;
    for (let n = 0; n < 1000; n += 1) deadlines.add(n, () => (rung += 1));
    assert.equal(clock.pendingMs.length, 1);
    deadlines.stop();
    assert.deepEqual([clock.pendingMs.length, rung], [0, 1000]);
  });
});

describe("silence", () => {
  const idle = { answerDue: false, blocked: false, paused: false };
  const due = { ...idle, answerDue: true };
  const hostLimits = { pingMs: 500, silentMs: 10_000, notReadingMs: 10_000, idlePingMs: 30_000, probeMs: 3_000 };

  it("pings while an answer is due, forgives whoever answers, and gives up on whoever does not", () => {
    const silence = new Silence(hostLimits);
    for (let n = 0; n < 100; n += 1) {
      assert.equal(silence.tick(due), "ping");
      silence.heard();
      silence.pong();
    }
    const verdicts = Array.from({ length: 21 }, () => silence.tick(due));
    assert.equal(verdicts[0], "ping");
    assert.ok(verdicts.slice(1, 20).every((verdict) => verdict === "nothing"));
    assert.equal(verdicts[20], "silent");
  });

  it("pings an idle link now and then, and gives up when even that is not answered", () => {
    const silence = new Silence(hostLimits);
    const verdicts = Array.from({ length: 81 }, () => silence.tick(idle));
    assert.deepEqual([verdicts.indexOf("ping"), verdicts.indexOf("silent")], [59, 80]);
  });

  it("asks nobody who was heard just now, where that is enough, and gives up as soon on whoever is gone", () => {
    const silence = new Silence({ ...hostLimits, pingMs: 250, duePingMs: 500 });
    for (let n = 0; n < 100; n += 1) {
      assert.equal(silence.tick(due), "nothing");
      silence.heard();
    }
    const verdicts = Array.from({ length: 41 }, () => silence.tick(due));
    assert.deepEqual([verdicts.indexOf("ping"), verdicts.indexOf("silent")], [1, 40]);
  });

  it("gives up on whoever takes no bytes, also while that one is not read", () => {
    const silence = new Silence(hostLimits);
    const verdicts = Array.from({ length: 21 }, () => silence.tick({ ...due, blocked: true, paused: true }));
    assert.equal(verdicts.indexOf("not-reading"), 20);
  });

  it("asks at once after the machine slept, gives up sooner then, and is as patient as before with whoever answers", () => {
    const silence = new Silence(hostLimits);
    silence.probe();
    const verdicts = Array.from({ length: 8 }, () => silence.tick(idle));
    assert.deepEqual([verdicts.indexOf("ping"), verdicts.indexOf("silent")], [0, 7]);
    silence.probe();
    silence.tick(idle);
    silence.heard();
    silence.pong();
    assert.ok(Array.from({ length: 21 }, () => silence.tick(due)).indexOf("silent") === 20);
  });

  it("over WebRTC, in a page, knows within 2 s that the peer is gone, idle or not, and bears with one that stops for 800 ms", () => {
    const limits = { ...defaultTransportLimits, ...pageTransportLimits, ...defaultTransportLimits.webRtc };
    for (const now of [idle, due]) {
      const silence = new Silence(limits);
      const verdicts = Array.from({ length: 20 }, () => silence.tick(now));
      // It may have gone just after a tick at which it was heard.
      const goneMs = (verdicts.indexOf("silent") + 2) * limits.pingMs;
      assert.ok(verdicts.includes("silent") && goneMs <= 2_000, `${goneMs} ms`);
    }
    const silence = new Silence(limits);
    for (let pause = 0; pause < 100; pause += 1) {
      for (let ms = 0; ms <= 800; ms += limits.pingMs) assert.notEqual(silence.tick(due), "silent");
      silence.heard();
      silence.pong();
    }
  });

  it("does not take a slow line for a dead peer: a ping that waits behind what is written proves nothing", () => {
    const silence = new Silence({ ...hostLimits, silentMs: 1_500 });
    const verdicts = Array.from({ length: 19 }, () => silence.tick({ ...due, blocked: true }));
    assert.ok(verdicts.every((verdict) => verdict === "nothing"));
  });
});

it("round trips: the mean follows, the 95th percentile looks back on 64 answers", () => {
  const roundTrips = new RoundTrips();
  assert.equal(roundTrips.p95Ms, undefined);
  for (let n = 1; n <= 64; n += 1) roundTrips.add(n);
  assert.equal(roundTrips.p95Ms, 61);
  for (let n = 0; n < 64; n += 1) roundTrips.add(10);
  assert.equal(roundTrips.p95Ms, 10);
  assert.ok(Math.abs(roundTrips.smoothedMs! - 10) < 0.1);
});
