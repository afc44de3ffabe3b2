import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { NodeId } from "../../../core/identity.ts";
import type { PartitionView } from "../../../core/quorum/holders.ts";
import { type WriteAck, type WriteNeeds, type WriteOutcome, WriteTally } from "../../../core/quorum/write-tally.ts";
import { completeness, host, hosts, view, viewOf } from "./view.ts";

const id = (name: string): NodeId => name as NodeId;
const held = (state: "complete" | "filling" = "complete"): WriteAck => ({ kind: "held", state });
const hintFor = (owner: string): WriteAck => ({ kind: "hint", for: id(owner) });

/** No host is a browser. */
const anybody = (): boolean => true;

function tallyOf(partition: PartitionView, needs: Partial<WriteNeeds>, asked: string): WriteTally {
  const tally = new WriteTally(partition, { w: 1, pw: 0, anchors: anybody, ...needs });
  for (const node of asked.split(" ")) tally.ask(id(node));
  return tally;
}

describe("a write", () => {
  test("is met by the W-th durable copy, whoever made the copies", () => {
    const tally = tallyOf(viewOf("a b c"), { w: 2 }, "a b c");
    assert.equal(tally.ack(id("a"), held()).kind, "pending");
    assert.equal(tally.ack(id("c"), held()).kind, "met");
    assert.deepEqual(tally.durable, ["a", "c"]);
  });

  test("counts a stand-in's hint as a copy: the quorum is sloppy", () => {
    const tally = tallyOf(viewOf("a b c"), { w: 3 }, "a b d");
    tally.ack(id("a"), held());
    tally.ack(id("d"), hintFor("c"));
    assert.equal(tally.ack(id("b"), held()).kind, "met");
    assert.deepEqual(tally.hinted, [{ for: "c", at: "d" }]);
  });

  test("counts one host once, also when it keeps hints for two owners beside its own copy", () => {
    const tally = tallyOf(viewOf("a b c"), { w: 2 }, "a b c");
    tally.ack(id("a"), held());
    tally.ack(id("a"), hintFor("b"));
    assert.equal(tally.ack(id("a"), hintFor("c")).kind, "pending");
    assert.deepEqual(tally.durable, ["a"]);
  });

  test("with PW is met by owners only for that part, and fails when too few are left", () => {
    const tally = tallyOf(viewOf("a b c"), { w: 2, pw: 2 }, "a b d");
    tally.ack(id("a"), held());
    assert.equal(tally.ack(id("d"), hintFor("c")).kind, "pending", "two copies, one of them an owner's");
    assert.deepEqual(tally.fail(id("b")), { kind: "failed", needed: 2, got: 1 });
  });

  test("waits for both answers of a host that was asked twice: to hold it, and to stand in", () => {
    const tally = tallyOf(viewOf("a b c", { a: "filling", b: "filling", d: "complete" }), { w: 2 }, "a d d");
    tally.ack(id("a"), held("filling"));
    assert.equal(tally.ack(id("d"), held()).kind, "pending", "one of two complete holders has it");
    assert.equal(tally.ack(id("d"), hintFor("c")).kind, "met");
    const failed = tallyOf(viewOf("a b"), { w: 2 }, "a d d");
    failed.ack(id("a"), held());
    assert.equal(failed.fail(id("d")).kind, "pending", "one answer may still come");
    assert.equal(failed.fail(id("d")).kind, "failed");
  });

  test("is not met by browsers alone where there are other hosts, and fails when only browsers are left to answer", () => {
    const anchors = (nodes: readonly NodeId[]): boolean => nodes.includes(id("a"));
    const tally = tallyOf(viewOf("a b c"), { w: 2, anchors }, "a b c");
    tally.ack(id("b"), held());
    assert.equal(tally.ack(id("c"), held()).kind, "pending", "two copies, and both may be closed");
    assert.equal(tally.ack(id("a"), held()).kind, "met");
    const failed = tallyOf(viewOf("a b c"), { w: 2, anchors }, "a b c");
    failed.ack(id("b"), held());
    assert.deepEqual(failed.fail(id("a")), { kind: "failed", needed: 2, got: 1 });
  });

  test("counts what the coordinator did itself all at once, though nobody asked it", () => {
    const partition = viewOf("a b c", { a: "filling" });
    const tally = new WriteTally(partition, { w: 1, pw: 0, anchors: anybody });
    const outcome = tally.ackOwn(id("a"), [held("filling"), hintFor("b"), hintFor("c")]);
    assert.equal(outcome.kind, "met", "the hints cover complete holders, the own copy is the durable one");
    assert.deepEqual(tally.durable, ["a"]);
  });

  test("fails as soon as W is out of reach, not at the time-out", () => {
    const tally = tallyOf(viewOf("a b c"), { w: 3 }, "a b c");
    assert.deepEqual(tally.fail(id("b")), { kind: "failed", needed: 3, got: 0 });
  });

  test("that failed stays failed and that was met stays met, whatever comes later", () => {
    const failed = tallyOf(viewOf("a b"), { w: 2 }, "a b");
    failed.fail(id("a"));
    assert.equal(failed.ack(id("a"), held()).kind, "failed");
    assert.equal(failed.ack(id("b"), held()).kind, "failed");
    const met = tallyOf(viewOf("a b c", { c: "complete" }), { w: 1 }, "a b c");
    met.ack(id("a"), held());
    assert.equal(met.ack(id("b"), held("filling")).kind, "met");
  });
});

describe("a write while an owner is filling", () => {
  test("needs W a second time among the complete holders, former owners included", () => {
    const tally = tallyOf(viewOf("a b c", { a: "filling", b: "filling", d: "complete" }), { w: 2 }, "a b c d");
    tally.ack(id("a"), held("filling"));
    assert.equal(tally.ack(id("b"), held("filling")).kind, "pending", "W of N, but no complete holder has it");
    assert.equal(tally.ack(id("d"), held()).kind, "pending");
    assert.equal(tally.ack(id("c"), held()).kind, "met");
  });

  test("counts a former owner among the complete holders, never among the N", () => {
    const tally = tallyOf(viewOf("a b c", { a: "filling", d: "complete" }), { w: 2 }, "a b c d");
    tally.ack(id("d"), held());
    assert.equal(tally.ack(id("b"), held()).kind, "pending");
    assert.deepEqual(tally.durable, ["b"]);
  });

  test("needs min(W, c) of the c complete holders, and none when there is none", () => {
    const one = tallyOf(viewOf("a b c", { a: "filling", b: "filling" }), { w: 3 }, "a b c");
    one.ack(id("a"), held("filling"));
    one.ack(id("b"), held("filling"));
    assert.equal(one.ack(id("c"), held()).kind, "met");
    const none = tallyOf(viewOf("a b", { a: "filling", b: "filling" }), { w: 2 }, "a b");
    none.ack(id("a"), held("filling"));
    assert.equal(none.ack(id("b"), held("filling")).kind, "met");
  });

  test("counts a hint for a complete holder that is down as that holder, and one for a filling owner not", () => {
    const partition = viewOf("a b c", { a: "filling" });
    const forComplete = tallyOf(partition, { w: 1 }, "a");
    forComplete.ack(id("a"), hintFor("b"));
    assert.equal(forComplete.ack(id("a"), held("filling")).kind, "met");
    const forFilling = tallyOf(partition, { w: 1 }, "b d");
    assert.equal(forFilling.ack(id("d"), hintFor("a")).kind, "pending");
    assert.equal(forFilling.ack(id("b"), held()).kind, "met");
  });

  test("learns from an ack that an owner is filling, whatever gossip said", () => {
    const tally = tallyOf(viewOf("a b c"), { w: 2 }, "a b c");
    tally.ack(id("a"), held("filling"));
    assert.equal(tally.ack(id("b"), held()).kind, "pending", "two complete holders are left, and one has it");
    assert.equal(tally.ack(id("c"), held()).kind, "met");
  });
});

/** One thing that may happen to a tally. */
type Step =
  | { readonly kind: "ask" | "fail"; readonly node: NodeId }
  | { readonly kind: "ack"; readonly node: NodeId; readonly ack: WriteAck };

const ack: fc.Arbitrary<WriteAck> = fc.oneof(
  completeness.map((state) => ({ kind: "held", state }) as const),
  host.map((owner) => ({ kind: "hint", for: owner }) as const),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constantFrom("ask", "fail"), node: host }),
  fc.record({ kind: fc.constant("ack"), node: host, ack }),
);

/**
 * PROTOCOL 5.2 counted anew from everything that happened, without thrift. A host says one thing of itself for good and
 * a hint counts for what its owner was known to be then: the cases in which counting once and counting anew agree.
 */
function modelOutcome(partition: PartitionView, needs: WriteNeeds, steps: readonly Step[]): WriteOutcome {
  const states = new Map(partition.holders);
  for (const owner of partition.owners) if (!states.has(owner)) states.set(owner, "complete");
  const waiting = new Map<NodeId, number>();
  const durable = new Set<NodeId>();
  const covered = new Set<NodeId>();
  const owners = new Set<NodeId>();
  const complete = new Set<NodeId>();
  for (const each of steps) {
    const owed = waiting.get(each.node) ?? 0;
    waiting.set(each.node, each.kind === "ask" ? owed + 1 : Math.max(owed - 1, 0));
    if (each.kind !== "ack") continue;
    if (each.ack.kind === "hint") {
      durable.add(each.node);
      if (partition.owners.includes(each.ack.for)) covered.add(each.ack.for);
      if (states.get(each.ack.for) === "complete") complete.add(each.ack.for);
      continue;
    }
    states.set(each.node, each.ack.state);
    if (partition.owners.includes(each.node)) durable.add(each.node);
    if (partition.owners.includes(each.node)) owners.add(each.node).forEach((owner) => covered.add(owner));
    if (each.ack.state === "complete") complete.add(each.node);
  }
  const c = hosts.filter((node) => states.get(node) === "complete").length;
  const isFilling = partition.owners.some((owner) => states.get(owner) === "filling");
  const wanted: [needed: number, got: number][] = [
    [needs.w, Math.min(durable.size, covered.size)],
    [needs.pw, owners.size],
    [isFilling ? Math.min(needs.w, c) : 0, complete.size],
  ];
  const isAnchored = needs.anchors([...durable]);
  if (isAnchored && wanted.every(([needed, got]) => got >= needed)) return { kind: "met" };
  const toCome = [...waiting.values()].reduce((sum, owed) => sum + owed, 0);
  const lost = wanted.find(([needed, got]) => got + toCome < needed);
  if (lost) return { kind: "failed", needed: lost[0], got: lost[1] };
  if (isAnchored || needs.anchors(hosts.filter((node) => (waiting.get(node) ?? 0) > 0))) return { kind: "pending" };
  return { kind: "failed", needed: wanted[0]![0], got: wanted[0]![1] };
}

test("a hint and the owner that it is for are one copy: one disk is left when the hint is delivered", () => {
  const tally = new WriteTally(viewOf("a b c"), { w: 2, pw: 0, anchors: anybody });
  for (const node of ["a", "d"] as NodeId[]) tally.ask(node);
  tally.ack("d" as NodeId, { kind: "hint", for: "a" as NodeId });
  assert.notEqual(tally.ack("a" as NodeId, { kind: "held", state: "complete" }).kind, "met");
});

test("a write tally agrees with a count from scratch until it is decided, and never changes its mind afterwards", () => {
  const needs = fc
    .record({
      w: fc.integer({ min: 1, max: 4 }),
      pw: fc.integer({ min: 0, max: 4 }),
      noBrowsers: fc.option(fc.subarray(hosts, { minLength: 1 })),
    })
    .map(({ w, pw, noBrowsers }) => ({
      w,
      pw: Math.min(w, pw),
      anchors: (nodes: readonly NodeId[]) => noBrowsers === null || nodes.some((node) => noBrowsers.includes(node)),
    }));
  fc.assert(
    fc.property(view, needs, fc.array(step, { maxLength: 14 }), (partition, wanted, steps) => {
      const asked = hosts.map((node): Step => ({ kind: "ask", node }));
      const happened: Step[] = [...asked];
      const tally = new WriteTally(partition, wanted);
      for (const node of hosts) tally.ask(node);
      let decided: WriteOutcome | undefined;
      for (const next of steps) {
        happened.push(next);
        if (next.kind === "ask") tally.ask(next.node);
        if (next.kind === "fail") tally.fail(next.node);
        if (next.kind === "ack") tally.ack(next.node, next.ack);
        decided ??= definite(modelOutcome(partition, wanted, happened));
        assert.deepEqual(tally.outcome(), decided ?? { kind: "pending" });
      }
      assert.equal(new Set(tally.durable).size, tally.durable.length, "each host counts once");
    }),
    { numRuns: 3_000 },
  );
});

function definite(outcome: WriteOutcome): WriteOutcome | undefined {
  return outcome.kind === "pending" ? undefined : outcome;
}
