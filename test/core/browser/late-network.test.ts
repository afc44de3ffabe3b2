import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { LateNetwork } from "../../../core/browser/late-network.ts";
import type { PageNetwork } from "../../../core/browser/network.ts";
import type { NodeId } from "../../../core/identity.ts";
import type { Transport } from "../../../core/ports.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { realClock } from "../../support/real-clock.ts";
import { realRandom } from "../../support/memory-cluster.ts";
import { testIdentity } from "../../support/test-identity.ts";
import { utf8 } from "../../support/values.ts";
import { MemoryNetwork } from "../memory-transport.ts";

const self = "page" as NodeId;

/** A page whose network opens when the test says so. */
function scene() {
  const wires = new MemoryNetwork({ clock: realClock, random: realRandom });
  const clock = new ManualClock();
  const problems: (string | undefined)[] = [];
  const wakers = new Set<() => void>();
  const attempts: { open: (transport?: Transport) => void; fail: (error: Error) => void }[] = [];
  const met: string[] = [];
  let stopped = 0;
  const networkOver = (transport: Transport): PageNetwork => ({
    transport,
    identity: testIdentity(self),
    addresses: () => [],
    onAddresses: () => () => undefined,
    seeds: () => [],
    connected: async () => undefined,
    stop: async () => void (stopped += 1),
  });
  const open = () =>
    new Promise<PageNetwork>((resolve, reject) => {
      attempts.push({ open: (transport = wires.node(self)) => resolve(networkOver(transport)), fail: reject });
    });
  const late = new LateNetwork({
    self,
    isIntroduced: false,
    clock,
    open,
    onWake: (run) => {
      wakers.add(run);
      return () => wakers.delete(run);
    },
    onProblem: (problem) => problems.push(problem),
  });
  const wake = (): void => {
    for (const run of wakers) run();
  };
  return { wires, clock, problems, attempts, met, late, wake, stopped: () => stopped };
}

/** One that never answers a dial. */
function silent(met: string[]): Transport {
  return {
    self,
    request: () => Promise.reject(new Error("nobody asks")),
    tell: () => undefined,
    serve: () => () => undefined,
    meet: (address) => new Promise(() => met.push(address)),
    keep: () => undefined,
    peers: () => [],
    onPeerChange: () => () => undefined,
  };
}

describe("the network of a page", () => {
  test("is not opened before it is wanted", async () => {
    const { late, attempts } = scene();
    late.onPeerChange(() => undefined);
    late.keep(new Map());
    await assert.rejects(late.request("host" as NodeId, utf8("hello"), 100), { kind: "not-sent" });
    assert.deepEqual([...late.peers()], []);
    assert.equal(attempts.length, 0);
  });

  test("has what was kept, served and listened for before it was open", async () => {
    const { wires, late, attempts, problems } = scene();
    const host = wires.node("host");
    host.serve(async (from) => utf8(`hello ${from}`));
    const changes: unknown[] = [];
    late.serve(async () => utf8("from the page"));
    late.onPeerChange((...change) => changes.push(change));
    const ended = late.onPeerChange(() => assert.fail("it was taken back"));
    ended();
    late.keep(new Map([[host.self, ["memory:host"]]]));
    const meeting = late.meet("memory:host");
    attempts[0]!.open();
    assert.equal(await meeting, host.self);
    assert.deepEqual(changes, [[host.self, true]]);
    assert.equal(String(await late.request(host.self, utf8("x"), 1_000)), String(utf8("hello page")));
    assert.equal(String(await host.request(self, utf8("x"), 1_000)), String(utf8("from the page")));
    assert.equal(attempts.length, 1);
    assert.deepEqual(problems, [undefined]);
  });

  test("that cannot be opened is told, and tried again: after a pause, and at once when the page wakes", async () => {
    const { clock, late, attempts, problems, wake } = scene();
    const first = late.meet("memory:host");
    attempts[0]!.fail(new TypeError("its code cannot be loaded"));
    await assert.rejects(first, { kind: "not-sent", message: /code cannot be loaded/ });
    // Whoever asks between two tries is not kept waiting.
    await assert.rejects(late.meet("memory:host"), { kind: "not-sent", message: /code cannot be loaded/ });
    await clock.advance(10_000);
    assert.equal(attempts.length, 2);
    attempts[1]!.fail(new TypeError("still not"));
    await clock.advance(0);
    wake();
    assert.equal(attempts.length, 3);
    attempts[2]!.open();
    await clock.advance(100_000);
    assert.equal(attempts.length, 3);
    assert.deepEqual(
      problems.map((problem) => problem?.replace(/.*: /, "")),
      ["its code cannot be loaded", "still not", undefined],
    );
  });

  test("dials each seed once for whoever asks, and all first tries end within one second", async () => {
    const { clock, late, attempts, met } = scene();
    const tries = (async () => {
      for (const address of ["memory:a", "memory:b", "memory:a"]) {
        await assert.rejects(late.meet(address), { kind: "not-sent" });
      }
      return clock.now();
    })();
    attempts[0]!.open(silent(met));
    await clock.advance(60_000);
    assert.equal(await tries, 1_000);
    assert.deepEqual(met, ["memory:a", "memory:b"]);
  });

  test("that opens after the page's node was closed is stopped", async () => {
    const { late, attempts, stopped, clock, problems } = scene();
    const meeting = late.meet("memory:host");
    await late.stop();
    attempts[0]!.open();
    await assert.rejects(meeting, { kind: "not-sent" });
    assert.equal(stopped(), 1);
    await clock.advance(60_000);
    assert.equal(attempts.length, 1);
    assert.deepEqual(problems, []);
  });

  test("verifies with the network's identity", async () => {
    const { late, attempts } = scene();
    const body = utf8("statement");
    const signing = late.identity.sign(body);
    attempts[0]!.open();
    assert.ok(await late.identity.verify(self, body, await signing));
  });
});
