import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { toBase64url } from "../../../core/bytes/base64url.ts";
import { contextSecret, sealContext } from "../../../core/causality/context.ts";
import { compareDots, covers, coversAll, type Dot, nothingSeen } from "../../../core/causality/version-set.ts";
import { coverageOf, dotOf, evidenceOf, noEvidence, textOf, unite } from "../../../core/edge/evidence.ts";
import type { ActorId, Key, NodeId } from "../../../core/identity.ts";
import { failsWith } from "../../support/values.ts";

const subject = { edge: "e1" as NodeId, key: "b/k" as Key };
const secret = contextSecret(new Uint8Array(32).fill(7));
const nonceOf = (i: number): string => i.toString(16).padStart(16, "0");

const sealed = (counters: readonly number[]): string => {
  const vector: Dot[] = counters.flatMap((counter, i) =>
    counter === 0 ? [] : [{ actor: nonceOf(i + 1) as ActorId, counter }],
  );
  return sealContext({ ...nothingSeen, vector: vector.toSorted(compareDots) }, subject.key, secret);
};

const plain = { noNullPrototype: true };
const nonce = fc.nat(2).map(nonceOf);
const evidence = fc.record(
  {
    contexts: fc.array(fc.array(fc.nat(3), { minLength: 3, maxLength: 3 }).map(sealed), { maxLength: 4 }),
    own: fc.array(fc.record({ nonce, counter: fc.integer({ min: 1, max: 5 }) }, plain), { maxLength: 4 }),
  },
  plain,
);

describe("what an edge has seen", () => {
  test("covers together what its parts cover, and nothing else", () => {
    fc.assert(
      fc.property(fc.array(evidence, { maxLength: 3 }), (parts) => {
        const whole = coverageOf(subject, unite(subject, parts)).vector;
        const each = parts.map((part) => coverageOf(subject, part).vector);
        assert.ok(each.every((vector) => coversAll(whole, vector)));
        assert.ok(whole.every((entry) => each.some((vector) => covers(vector, entry))));
      }),
    );
  });

  test("of one actor is its highest event, in whatever order they are named", () => {
    const [low, high] = [1, 7].map((counter) => ({ nonce: nonceOf(3), counter }));
    for (const own of [
      [low!, high!],
      [high!, low!],
    ]) {
      assert.deepEqual(coverageOf(subject, { contexts: [], own }).vector, [dotOf(subject, high!)]);
    }
  });

  test("leaves out what a later context covers", () => {
    const parts = [sealed([1, 1, 0]), sealed([1, 2, 1])].map((context) => ({ contexts: [context], own: [] }));
    assert.deepEqual(unite(subject, parts).contexts, [sealed([1, 2, 1])]);
    assert.deepEqual(unite(subject, parts.toReversed()).contexts, [sealed([1, 2, 1])]);
    const own = { nonce: nonceOf(1), counter: 2 };
    const dot = dotOf(subject, own);
    const covering = sealContext({ ...nothingSeen, vector: [dot] }, subject.key, secret);
    assert.deepEqual(unite(subject, [{ contexts: [covering], own: [own] }]).own, []);
  });

  test("comes back from its text", () => {
    fc.assert(
      fc.property(evidence, (given) => {
        const seen = unite(subject, [given]);
        const text = textOf(subject, seen);
        if (text === null) assert.deepEqual(seen, noEvidence);
        else assert.deepEqual(evidenceOf(subject, text), seen);
      }),
    );
  });

  test("is a host's own context where that is all", () => {
    assert.equal(textOf(subject, { contexts: [sealed([1, 0, 0])], own: [] }), sealed([1, 0, 0]));
  });

  test("is refused when it is damaged, cut short, or of another key", () => {
    const text = textOf(subject, { contexts: [sealed([1, 0, 0])], own: [{ nonce: nonceOf(1), counter: 2 }] })!;
    assert.throws(() => evidenceOf({ ...subject, key: "b/other" as Key }, text), failsWith("bad-context"));
    for (let length = 0; length < text.length; length += 7) {
      assert.throws(() => evidenceOf(subject, text.slice(0, length)), failsWith("bad-context"), `cut to ${length}`);
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        assert.throws(() => evidenceOf(subject, toBase64url(bytes)), failsWith("bad-context"));
      }),
    );
  });
});
