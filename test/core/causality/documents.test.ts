/**
 * Documents on replicas (PROTOCOL 3, yjs): however updates arrive, whoever folds them, equal clocks are equal content.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as Y from "yjs";
import { actorFromRandom } from "../../../core/causality/actor.ts";
import { sameClock } from "../../../core/causality/clock.ts";
import {
  contextOf,
  deleted,
  isUpdate,
  type LiveValue,
  merge,
  mint,
  nothing,
  siblings,
  type Versioned,
} from "../../../core/causality/version-set.ts";
import { makeKey } from "../../../core/bytes/key.ts";
import { clockHash, entryHash, type Hash64, sameHash } from "../../../core/merkle/hash.ts";
import { HashTrees } from "../../../core/merkle/trees.ts";
import { locate } from "../../../core/placement/locate.ts";
import { contentFrom, edits, editing } from "../values/yjs-edits.ts";

const replicaCount = 3;

/** A replica that mints under an actor of its own. */
class Replica {
  state: Versioned = nothing;
  readonly #actor;
  #counter = 0;

  constructor(index: number) {
    this.#actor = actorFromRandom(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, index));
  }

  take(body: Uint8Array, folds: readonly LiveValue[] = []): void {
    this.#mint({ body, kind: "yjs", tombstone: false }, folds);
  }

  /** All that is live here becomes one update. */
  fold(): void {
    const live = this.state.values.filter(isUpdate);
    if (live.length > 0) this.take(Y.mergeUpdates(live.map(({ body }) => body)), live);
  }

  delete(): void {
    this.#mint({ body: new Uint8Array(0), kind: "opaque", tombstone: true }, []);
  }

  updates(): Uint8Array[] {
    return siblings(this.state, 0).map(({ body }) => body);
  }

  #mint(value: Pick<LiveValue, "body" | "kind" | "tombstone">, folds: readonly LiveValue[]): void {
    const dot = { actor: this.#actor, counter: (this.#counter += 1) };
    const event = { ...value, dot, stamp: this.#counter, contentType: "x" };
    const dots = folds.map((update) => update.dot);
    this.state = mint(this.state, contextOf(this.state), event, dots);
  }
}

/** The Merkle root of a replica that holds a document beside another one, when it has had these states of it. */
function rootAfter(states: readonly Versioned[]): Hash64 {
  const trees = new HashTrees(1);
  const { row, partition } = locate(makeKey("notes", "plan"), 1);
  const beside = locate(makeKey("notes", "beside"), 1).row;
  trees.update(beside, undefined, entryHash(beside, clockHash(nothing)));
  const hashes = states.map((state) => entryHash(row, clockHash(state)));
  for (const [i, hash] of hashes.entries()) trees.update(row, hashes[i - 1], hash);
  return trees.rootOf(partition);
}

/** Which replica takes the next update, and what else happens there before. */
const chances = fc.array(
  fc.record({
    at: fc.nat(replicaCount - 1),
    from: fc.nat(replicaCount - 1),
    also: fc.constantFrom("nothing", "meet", "fold"),
  }),
  { minLength: 1, maxLength: 60, size: "max" },
);

test("replicas that were told the same updates, in any order, folded anywhere, agree in clock, hash and content", () => {
  fc.assert(
    fc.property(edits, chances, (steps, happenings) => {
      const { updates } = editing(steps);
      const replicas = Array.from({ length: replicaCount }, (_, i) => new Replica(i));
      for (const [i, update] of updates.entries()) {
        const { at, from, also } = happenings[i % happenings.length]!;
        const replica = replicas[at]!;
        if (also === "meet") replica.state = merge(replica.state, replicas[from]!.state);
        if (also === "fold") replica.fold();
        replica.take(update);
      }
      const [first, second, third] = replicas.map(({ state }) => state) as [Versioned, Versioned, Versioned];
      const [here, there] = [
        [first, merge(first, second), merge(merge(first, second), third)],
        [third, merge(second, first), merge(third, merge(second, first))],
      ] as const;
      const [one, other] = [here[2], there[2]];
      assert.ok(sameClock(one, other));
      assert.deepEqual(clockHash(one), clockHash(other));
      assert.deepEqual(rootAfter(here), rootAfter(there));
      assert.equal(sameHash(rootAfter([first]), rootAfter(there)), sameClock(first, other));
      const bodies = siblings(one, 0).map(({ body }) => body);
      assert.deepEqual(
        bodies,
        siblings(other, 0).map(({ body }) => body),
      );
      assert.deepEqual(contentFrom(bodies), contentFrom(updates));
    }),
    { numRuns: 300 },
  );
});

test("no update is lost to one that had only seen it", () => {
  const [a, b] = [new Replica(0), new Replica(1)];
  const { updates } = editing([
    { do: "type", who: 0, at: 0, text: "one" },
    { do: "type", who: 1, at: 0, text: "two" },
    { do: "type", who: 2, at: 0, text: "three" },
  ]);
  a.take(updates[0]!);
  b.state = merge(b.state, a.state);
  b.take(updates[1]!);
  b.take(updates[2]!);
  a.state = merge(a.state, b.state);
  assert.equal(a.updates().length, 3);
  a.fold();
  assert.equal(a.updates().length, 1);
  b.state = merge(b.state, a.state);
  assert.deepEqual(b.updates(), a.updates());
  assert.deepEqual(contentFrom(b.updates()), contentFrom(updates));
});

test("a delete ends what it has seen, also where that is not known yet; what it has not seen stays beside it", () => {
  const [a, b, c] = [new Replica(0), new Replica(1), new Replica(2)];
  const { updates } = editing([
    { do: "type", who: 0, at: 0, text: "one" },
    { do: "type", who: 1, at: 0, text: "two" },
  ]);
  a.take(updates[0]!);
  const before = a.state;
  a.delete();
  b.state = merge(b.state, a.state);
  b.state = merge(b.state, before);
  assert.deepEqual(b.updates(), []);
  c.take(updates[1]!);
  b.state = merge(b.state, c.state);
  assert.ok(deleted(b.state, 0));
  assert.deepEqual(b.updates(), [updates[1]]);
});
