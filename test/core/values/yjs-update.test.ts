/**
 * What is taken for an update of a Yjs document: as Yjs itself takes it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as Y from "yjs";
import { problemOfUpdate } from "../../../core/values/yjs-update.ts";
import { edits, editing } from "./yjs-edits.ts";

test("every update that Yjs writes is one: text, formatting, nested types, XML, deletions, any JSON, binary", () => {
  fc.assert(
    fc.property(edits, (steps) => {
      const { docs, updates } = editing(steps);
      for (const update of [...updates, ...docs.map((doc) => Y.encodeStateAsUpdate(doc)), Y.mergeUpdates(updates)])
        assert.equal(problemOfUpdate(update), undefined);
    }),
    { numRuns: 200 },
  );
});

test("what is cut short, or has more than an update, is none", () => {
  fc.assert(
    fc.property(edits, fc.nat(), (steps, at) => {
      const [update] = editing(steps).updates;
      if (update === undefined) return;
      assert.notEqual(problemOfUpdate(update.subarray(0, at % update.length)), undefined);
      assert.notEqual(problemOfUpdate(Uint8Array.of(...update, 0)), undefined);
    }),
  );
});

test("of damaged bytes it takes none that Yjs cannot read", () => {
  let taken = 0;
  fc.assert(
    fc.property(edits, fc.nat(), fc.integer({ min: 1, max: 255 }), (steps, at, flip) => {
      const [update] = editing(steps).updates;
      if (update === undefined) return;
      update[at % update.length]! ^= flip;
      if (problemOfUpdate(update) !== undefined) return;
      taken += 1;
      assert.doesNotThrow(() => Y.decodeUpdate(update));
      assert.doesNotThrow(() => Y.mergeUpdates([update, Y.encodeStateAsUpdate(new Y.Doc())]));
    }),
    { numRuns: 2_000 },
  );
  assert.ok(taken > 0, "some damage leaves an update");
});

test("what has no length is refused: Yjs takes it in, and can merge it with nothing afterwards", () => {
  const none = [
    [1, 1, 5, 0, 0, 0, 0], // collected
    [1, 1, 5, 0, 1, 1, 1, 98, 0, 0], // deleted
    [0, 1, 5, 1, 0, 0], // a range of deletions
  ];
  for (const bytes of none) assert.equal(problemOfUpdate(Uint8Array.from(bytes)), "something has no length");
});

test("nesting without end, and counts beyond reason, are refused and not followed", () => {
  const deep = Uint8Array.from([1, 1, 1, 0, 8, 1, 1, 97, 1, ...Array.from({ length: 200_000 }, () => [117, 1]).flat()]);
  assert.notEqual(problemOfUpdate(deep), undefined);
  assert.notEqual(problemOfUpdate(Uint8Array.of(255, 255, 255, 255, 15)), undefined);
});
