import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { NodeId } from "../../../core/identity.ts";
import type { PartitionView } from "../../../core/quorum/holders.ts";
import { type ReadOutcome, type ReadRole, ReadTally } from "../../../core/quorum/read-tally.ts";
import { WriteTally } from "../../../core/quorum/write-tally.ts";
import { hosts, view, viewOf } from "./view.ts";

const id = (name: string): NodeId => name as NodeId;

function tallyOf(partition: PartitionView, r: number, asked: string): ReadTally {
  const tally = new ReadTally(partition, r);
  for (const node of asked.split(" ")) tally.ask(id(node));
  return tally;
}

describe("a read", () => {
  test("is met by R owners, and by no stand-in", () => {
    const tally = tallyOf(viewOf("a b c"), 2, "a b d");
    assert.equal(tally.reply(id("d"), "hint").kind, "pending");
    assert.equal(tally.reply(id("a"), "complete").kind, "pending");
    assert.equal(tally.reply(id("b"), "complete").kind, "met");
  });

  test("with R replies but too few owners is degraded, with fewer it failed", () => {
    const tally = tallyOf(viewOf("a b c"), 2, "a b d");
    tally.reply(id("a"), "complete");
    tally.fail(id("b"));
    assert.equal(tally.reply(id("d"), "hint").kind, "degraded");
    const failed = tallyOf(viewOf("a b c"), 2, "a b c");
    failed.reply(id("a"), "complete");
    failed.fail(id("b"));
    assert.deepEqual(failed.fail(id("c")), { kind: "failed", needed: 2, got: 1 });
  });

  test("counts one host once, however often it answers", () => {
    const tally = tallyOf(viewOf("a b c"), 2, "a b");
    tally.reply(id("a"), "complete");
    assert.equal(tally.reply(id("a"), "complete").kind, "pending");
    assert.deepEqual(tally.replied, ["a"]);
  });

  test("that is degraded goes on when further hosts are asked", () => {
    const tally = tallyOf(viewOf("a b c"), 1, "d");
    assert.equal(tally.reply(id("d"), "hint").kind, "degraded");
    tally.ask(id("a"));
    assert.equal(tally.outcome().kind, "pending");
    assert.equal(tally.reply(id("a"), "complete").kind, "met");
  });

  test("needs no complete holder while no owner fills: each owner covers what it acked", () => {
    const tally = tallyOf(viewOf("a b c", { d: "complete" }), 1, "a");
    assert.equal(tally.reply(id("a"), "complete").kind, "met");
  });
});

describe("a read while an owner is filling", () => {
  test("also needs R of the complete holders; one reply may serve both", () => {
    const tally = tallyOf(viewOf("a b c", { a: "filling" }), 2, "a b c");
    tally.reply(id("a"), "filling");
    assert.equal(tally.reply(id("b"), "complete").kind, "pending", "two owners, one of them complete");
    assert.equal(tally.reply(id("c"), "complete").kind, "met");
  });

  test("needs R + c - N of the c complete holders when former owners make them more than N", () => {
    const states = { a: "filling", d: "complete", e: "complete" } as const;
    const tally = tallyOf(viewOf("a b c", states), 2, "a b c d e");
    tally.reply(id("b"), "complete");
    assert.equal(tally.reply(id("c"), "complete").kind, "pending", "c = 4: three of them must answer");
    assert.equal(tally.reply(id("d"), "complete").kind, "met");
  });

  test("needs all complete holders when there are fewer than R", () => {
    const tally = tallyOf(viewOf("a b c", { a: "filling", b: "filling" }), 2, "a b c");
    tally.reply(id("a"), "filling");
    assert.equal(tally.reply(id("b"), "filling").kind, "pending");
    assert.equal(tally.reply(id("c"), "complete").kind, "met");
  });

  test("is never met when nobody claims to be complete", () => {
    const tally = tallyOf(viewOf("a b", { a: "filling", b: "filling" }), 1, "a b");
    tally.reply(id("a"), "filling");
    assert.equal(tally.reply(id("b"), "filling").kind, "degraded");
  });

  test("that was met stays met when a later reply says filling", () => {
    const tally = tallyOf(viewOf("a b c", { d: "complete", e: "complete" }), 2, "a b c");
    tally.reply(id("a"), "complete");
    assert.equal(tally.reply(id("b"), "complete").kind, "met");
    assert.equal(tally.reply(id("c"), "filling").kind, "met");
  });

  test("with R = 1 is not met by a filling owner alone", () => {
    const tally = tallyOf(viewOf("a b c"), 1, "a");
    assert.equal(tally.reply(id("a"), "filling").kind, "degraded", "gossip said complete; the reply says filling");
  });
});

type Step = { readonly node: NodeId; readonly role: ReadRole | "fails" };

/** PROTOCOL 6.1 from everything that happened. */
function modelOutcome(partition: PartitionView, r: number, steps: readonly Step[], waiting: number): ReadOutcome {
  const replies = steps.flatMap(({ node, role }) => (role === "fails" ? [] : [{ node, role }]));
  const stateOf = (node: NodeId): string => {
    const said = replies.findLast((reply) => reply.node === node && reply.role !== "hint")?.role;
    return said ?? partition.holders.get(node) ?? (partition.owners.includes(node) ? "complete" : "none");
  };
  const c = hosts.filter((node) => stateOf(node) === "complete").length;
  const owners = hosts.filter(
    (node) => partition.owners.includes(node) && replies.some((reply) => reply.node === node && reply.role !== "hint"),
  ).length;
  const complete = new Set(replies.filter(({ role }) => role === "complete").map(({ node }) => node)).size;
  const isFilling = partition.owners.some((owner) => stateOf(owner) === "filling");
  const wanted = Math.min(r + Math.max(0, c - partition.owners.length), c);
  if (owners >= r && (!isFilling || (c > 0 && complete >= wanted))) return { kind: "met" };
  if (waiting > 0) return { kind: "pending" };
  const got = new Set(replies.map(({ node }) => node)).size;
  return got >= r ? { kind: "degraded" } : { kind: "failed", needed: r, got };
}

test("a read tally agrees with a count from scratch until it is met", () => {
  const role: fc.Arbitrary<Step["role"]> = fc.constantFrom("complete", "filling", "hint", "fails");
  const order = fc.shuffledSubarray(hosts, { minLength: 1 });
  fc.assert(
    fc.property(
      view,
      fc.integer({ min: 1, max: 4 }),
      order,
      fc.array(role, { minLength: 6, maxLength: 6 }),
      (partition, r, asked, roles) => {
        const tally = new ReadTally(partition, r);
        for (const node of asked) tally.ask(node);
        const happened: Step[] = [];
        for (const [i, node] of asked.entries()) {
          const next = { node, role: roles[i]! };
          happened.push(next);
          const outcome = next.role === "fails" ? tally.fail(node) : tally.reply(node, next.role);
          assert.deepEqual(outcome, modelOutcome(partition, r, happened, asked.length - i - 1));
          if (outcome.kind === "met") break;
        }
      },
    ),
    { numRuns: 3_000 },
  );
});

test("a read is met when all reply that were asked until none was lacking, and not without the last of them", () => {
  const order = fc.shuffledSubarray(hosts, { minLength: hosts.length });
  fc.assert(
    fc.property(view, fc.integer({ min: 1, max: 4 }), order, (partition, r, inTurn) => {
      const tally = new ReadTally(partition, r);
      const stateOf = (node: NodeId) =>
        partition.holders.get(node) ?? (partition.owners.includes(node) ? ("complete" as const) : undefined);
      const asked: NodeId[] = [];
      for (const next of inTurn) {
        const { owners, complete } = tally.lacking(asked);
        if (owners <= 0 && complete <= 0) break;
        if (stateOf(next) !== undefined) asked.push(next);
      }
      const { owners, complete } = tally.lacking(asked);
      fc.pre(owners <= 0 && complete <= 0);
      for (const node of asked) {
        assert.notEqual(tally.outcome().kind, "met", `before ${node} replied`);
        tally.reply(node, stateOf(node)!);
        assert.deepEqual(
          tally.lacking([]).owners <= 0 && tally.lacking([]).complete <= 0,
          tally.outcome().kind === "met",
        );
      }
      assert.equal(tally.outcome().kind, "met");
    }),
    { numRuns: 3_000 },
  );
});

test("with R + W above N, a met read meets a met write at some complete holder, also while owners fill", () => {
  const sets = fc.tuple(fc.shuffledSubarray(hosts), fc.shuffledSubarray(hosts));
  fc.assert(
    fc.property(view, fc.integer({ min: 1, max: 3 }), sets, (partition, r, [writers, readers]) => {
      const n = partition.owners.length;
      fc.pre(r <= n);
      const w = n + 1 - r;
      const stateOf = (node: NodeId) =>
        partition.holders.get(node) ?? (partition.owners.includes(node) ? ("complete" as const) : undefined);
      fc.pre(hosts.some((node) => stateOf(node) === "complete"));
      const write = new WriteTally(partition, { w, pw: w, anchors: () => true });
      const read = new ReadTally(partition, r);
      for (const node of writers) {
        const state = stateOf(node);
        if (state !== undefined) write.ack(node, { kind: "held", state });
      }
      for (const node of readers) {
        const state = stateOf(node);
        if (state !== undefined) read.reply(node, state);
      }
      if (write.outcome().kind !== "met" || read.outcome().kind !== "met") return;
      const met = hosts.filter(
        (node) => writers.includes(node) && readers.includes(node) && stateOf(node) !== undefined,
      );
      assert.notEqual(met.length, 0, "somebody who has the write was read");
      const isFilling = partition.owners.some((owner) => stateOf(owner) === "filling");
      if (!isFilling) return;
      assert.ok(
        met.some((node) => stateOf(node) === "complete"),
        "and claims to be complete",
      );
    }),
    { numRuns: 5_000 },
  );
});

test("with R + W above N, a met read meets a met write at some complete holder, also when the owners changed in between", () => {
  const sets = fc.record({
    writers: fc.shuffledSubarray(hosts),
    readers: fc.shuffledSubarray(hosts),
    order: fc.shuffledSubarray(hosts, { minLength: hosts.length }),
  });
  fc.assert(
    fc.property(view, fc.integer({ min: 1, max: 4 }), sets, (before, r, { writers, readers, order }) => {
      const n = before.owners.length;
      fc.pre(r <= n);
      const w = n + 1 - r;
      const stateBefore = (node: NodeId) =>
        before.holders.get(node) ?? (before.owners.includes(node) ? ("complete" as const) : undefined);
      // Nobody fills in between: who was complete still is, and new owners begin to fill (PROTOCOL 9).
      const owners = order.slice(0, n);
      const stateAfter = (node: NodeId) =>
        stateBefore(node) ?? (owners.includes(node) ? ("filling" as const) : undefined);
      const known = hosts.flatMap((node) => {
        const state = stateAfter(node);
        return state === undefined ? [] : [[node, state] as const];
      });
      fc.pre(owners.some((owner) => stateAfter(owner) === "filling"));
      const write = new WriteTally(before, { w, pw: 0, anchors: () => true });
      const read = new ReadTally({ owners, holders: new Map(known) }, r);
      for (const node of writers) {
        const state = stateBefore(node);
        if (state !== undefined) write.ack(node, { kind: "held", state });
      }
      for (const node of readers) {
        const state = stateAfter(node);
        if (state !== undefined) read.reply(node, state);
      }
      if (write.outcome().kind !== "met" || read.outcome().kind !== "met") return;
      const isMeeting = (node: NodeId): boolean => writers.includes(node) && readers.includes(node);
      assert.ok(
        hosts.some((node) => stateBefore(node) === "complete" && isMeeting(node)),
        "a complete holder that has the write was read",
      );
    }),
    { numRuns: 20_000 },
  );
});
