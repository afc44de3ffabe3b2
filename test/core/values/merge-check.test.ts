/** What a merge function is told when it does not keep what `merge` asks of it, and that good ones are left alone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { bytes, json } from "../../../core/values/codecs.ts";
import { merge } from "../../../core/values/conflict-rules.ts";
import { problemOfMerge } from "../../../core/values/merge-check.ts";

const candidates = <T>(values: readonly T[]) => values.map((value, i) => ({ value, timeMs: i, dot: `a:${i + 1}` }));
const problemOf = <T>(fn: (values: readonly T[]) => T, values: readonly T[]): string | undefined =>
  problemOfMerge(merge(fn), json<T>(), candidates(values));

type Lists = readonly string[];
const union = (all: readonly Lists[]): Lists => [...new Set(all.flat())].toSorted();

test("a union, a maximum and a record of them pass on all values", () => {
  const lists = fc.array(fc.array(fc.string()), { minLength: 2, maxLength: 5 });
  fc.assert(
    fc.property(lists, (all) =>
      assert.equal(
        problemOf(
          union,
          all.map((list) => union([list])),
        ),
        undefined,
      ),
    ),
  );
  const records = fc.array(fc.dictionary(fc.constantFrom("a", "b", "c"), fc.nat(9)), { minLength: 2, maxLength: 4 });
  const highest = (all: readonly Record<string, number>[]): Record<string, number> => {
    const names = all.flatMap((each) => Object.keys(each)); // in the order of the values: that of keys says nothing
    return Object.fromEntries(names.map((name) => [name, Math.max(...all.map((each) => each[name] ?? 0))]));
  };
  fc.assert(fc.property(records, (all) => assert.equal(problemOf(highest, all), undefined)));
});

test("one whose result depends on the order, on time, or on chance is told so", () => {
  assert.match(problemOf<Lists>((all) => [...new Set(all.flat())], [["a"], ["b"]]) ?? "", /order/);
  assert.match(problemOf<number>((all) => all[0]!, [1, 2]) ?? "", /order/);
  let calls = 0;
  assert.match(problemOf<number>(() => calls++, [1, 2]) ?? "", /each time/);
});

test("one that adds up is told that what was merged is merged again", () => {
  assert.match(problemOf<number>((all) => all.reduce((a, b) => a + b, 0), [1, 2]) ?? "", /counter\(\)/);
});

test("one that depends on what was merged before, as an average does, is told so", () => {
  const average = (all: readonly number[]): number => all.reduce((a, b) => a + b, 0) / all.length;
  assert.match(problemOf<number>(average, [1, 2, 6]) ?? "", /merged with itself or with what is in it/);
});

test("one whose result is another in memory than where it is read again is judged by what others read", () => {
  interface Visit {
    readonly last: string | Date;
  }
  // Of a date it would lose the milliseconds; but JSON has made text of it.
  const latest = (all: readonly Visit[]): Visit => ({
    last: new Date(Math.max(...all.map(({ last }) => Date.parse(last as string)))),
  });
  const visits = ["2026-11-22T10:00:00.123Z", "2026-11-22T10:00:00.456Z"].map((last) => ({ last }));
  assert.equal(problemOf(latest, visits), undefined);
});

test("one that changes its input is told so, of whatever type, and the application's values stay as they are", () => {
  const sortInPlace = (all: readonly string[][]): string[] =>
    all.flatMap((list) => list.toSorted().concat(list.splice(0)));
  const given = [["b", "a"], ["c"]];
  assert.match(problemOf<string[]>(sortInPlace, given) ?? "", /changes the values/);
  assert.deepEqual(given, [["b", "a"], ["c"]]);
  const zero = (all: readonly Uint8Array[]): Uint8Array => all[0]!.fill(0);
  assert.match(
    problemOfMerge(merge(zero), bytes, candidates([Uint8Array.of(1), Uint8Array.of(2)])) ?? "",
    /changes the values/,
  );
});
