import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { yjs } from "../../../core/documents/index.ts";
import { json } from "../../../core/values/codecs.ts";
import { addWinsSet } from "../../../core/values/add-wins-set.ts";
import { cart } from "../../../core/values/cart.ts";
import { lww, merge, siblings } from "../../../core/values/conflict-rules.ts";
import { counter } from "../../../core/values/counter.ts";
import { registers } from "../../../core/values/registers.ts";
import { checkGrouping, conflictRuleTests } from "./conformance.ts";
import { siblingsOf } from "./devices.ts";
import { contentFrom, editing, edits } from "./yjs-edits.ts";

const numbers = fc.array(fc.integer(), { minLength: 1, maxLength: 6 });
conflictRuleTests("siblings", { rule: siblings<number>(), codec: json<number>(), siblings: numbers });
conflictRuleTests("lww", { rule: lww<number>(), codec: json<number>(), siblings: numbers });

const union = merge<readonly string[]>((all) => [...new Set(all.flat())].toSorted());
conflictRuleTests("merge by union", {
  rule: union,
  codec: json<readonly string[]>(),
  siblings: fc.array(
    fc.array(fc.constantFrom("a", "b", "c", "d")).map((all) => [...new Set(all)].toSorted()),
    { minLength: 1, maxLength: 5 },
  ),
});

const counts = counter();
conflictRuleTests("counter", {
  rule: counts,
  codec: counts.codec!,
  siblings: siblingsOf(counts, fc.integer({ min: -5, max: 5 }), (count, by) => count.add(by)),
});

const items = fc.constantFrom("a", "b", "c");
const tags = addWinsSet<string>();
conflictRuleTests("addWinsSet", {
  rule: tags,
  codec: tags.codec!,
  siblings: siblingsOf(tags, fc.tuple(fc.boolean(), items), (set, [adds, tag]) =>
    adds ? set.add(tag) : set.delete(tag),
  ),
});

const records = registers<Record<string, number>>();
conflictRuleTests("registers", {
  rule: records,
  codec: records.codec!,
  siblings: siblingsOf(records, fc.tuple(fc.boolean(), items, fc.nat(9)), (record, [sets, field, value]) =>
    sets ? record.set(field, value) : record.delete(field),
  ),
});

const carts = cart();
conflictRuleTests("cart", {
  rule: carts,
  codec: carts.codec!,
  siblings: siblingsOf(
    carts,
    fc.tuple(fc.constantFrom("add", "set", "remove"), items, fc.integer({ min: 1, max: 3 })),
    (present, [verb, item, quantity]) =>
      verb === "add"
        ? present.add(item, quantity)
        : verb === "set"
          ? present.set(item, quantity)
          : present.remove(item),
  ),
});

const documents = yjs();
conflictRuleTests("yjs", {
  rule: documents,
  codec: documents.codec!,
  // Bytes of merged updates depend on the order.
  contentOf: (update) => contentFrom([update]),
  siblings: edits.map((steps) => editing(steps).updates.slice(-8)).filter((updates) => updates.length > 0),
});

test("an average does not pass: what it made of some, merged with one of them, is another", () => {
  const average = merge<number>((all) => all.reduce((sum, each) => sum + each, 0) / all.length);
  const candidates = [1, 2, 6].map((value, i) => ({ value, timeMs: i, dot: `a:${i}` }));
  assert.throws(() => checkGrouping({ rule: average, codec: json<number>() }, candidates), assert.AssertionError);
});
