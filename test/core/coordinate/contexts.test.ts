import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Cluster } from "../../../core/cluster/cluster.ts";
import { Contexts } from "../../../core/coordinate/contexts.ts";
import { contextOf, type Versioned } from "../../../core/causality/version-set.ts";
import type { ActorId, Key } from "../../../core/identity.ts";
import { encodedAnew } from "../../../core/replica/state-cache.ts";

const key = "b/k" as Key;
const older = "11".repeat(32);
const newer = "22".repeat(32);

function stateOf(counter: number): Versioned {
  return { vector: [{ actor: "00000000000000aa" as ActorId, counter, timeMs: 1 }], values: [] };
}

describe("the context kept with a copy", () => {
  test("is sealed once, and each copy has its own", () => {
    const contexts = new Contexts({ roster: { secrets: [older] } } as unknown as Cluster);
    const [first, second] = [encodedAnew(stateOf(1)), encodedAnew(stateOf(2))];
    const text = contexts.seal(first, first.state, key);
    const kept = first.sealed;
    assert.equal(contexts.seal(first, first.state, key), text);
    assert.equal(first.sealed, kept);
    assert.deepEqual(contexts.open(text, key), contextOf(stateOf(1)));
    assert.deepEqual(contexts.open(contexts.seal(second, second.state, key), key), contextOf(stateOf(2)));
  });

  test("is sealed anew when another secret comes first", () => {
    const roster = { secrets: [older] };
    const contexts = new Contexts({ roster } as unknown as Cluster);
    const held = encodedAnew(stateOf(1));
    const before = contexts.seal(held, held.state, key);
    roster.secrets = [newer, older];
    const after = contexts.seal(held, held.state, key);
    assert.notEqual(after, before);
    roster.secrets = [newer];
    assert.deepEqual(contexts.open(after, key), contextOf(stateOf(1)));
  });
});
