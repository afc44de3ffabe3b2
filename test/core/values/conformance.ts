/** What every conflict rule must keep, whatever values meet: deterministic, independent of order and grouping, idempotent, and pure. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import fc from "fast-check";
import { toHex } from "../../../core/bytes/hex.ts";
import type { Codec } from "../../../core/values/codecs.ts";
import type { Candidate, ConflictRule } from "../../../core/values/conflict-rules.ts";

interface Subject<T> {
  readonly rule: ConflictRule<T>;
  readonly codec: Codec<T>;
  /** Values that may be siblings of one key: at least one. */
  readonly siblings: fc.Arbitrary<readonly T[]>;
  /** Equal content may have several forms in bytes. */
  readonly contentOf?: (value: T) => unknown;
}

export function conflictRuleTests<T>(name: string, subject: Subject<T>): void {
  const { rule, codec, siblings } = subject;
  const contentOf = contentBy(subject);
  const copy = (value: T): T => codec.decode(codec.encode(value));
  const resolved = (candidates: readonly Candidate<T>[]): unknown => {
    const value = rule.resolve(candidates);
    return value === undefined ? undefined : contentOf(value);
  };
  const candidates = siblings.map((values) =>
    values.map((value, i) => ({ value, timeMs: (i * 7) % 5, dot: `a${i % 2}:${i + 1}` })),
  );
  const shuffled = candidates.chain((all) =>
    fc
      .shuffledSubarray([...all], { minLength: all.length, maxLength: all.length })
      .map((others) => [all, others] as const),
  );

  before(() => rule.load?.());

  test(`${name}: what becomes of siblings does not depend on their order, nor on when it is asked`, () => {
    fc.assert(
      fc.property(shuffled, ([all, others]) => {
        const result = resolved(all);
        assert.deepEqual(resolved(others), result);
        assert.deepEqual(resolved(all.map((each) => ({ ...each, value: copy(each.value) }))), result);
      }),
    );
  });

  test(`${name}: a value that meets itself stays as it is, and so does what siblings became`, () => {
    fc.assert(
      fc.property(candidates, (all) => {
        const [first] = all;
        assert.deepEqual(resolved([first!]) ?? contentOf(first!.value), contentOf(first!.value));
        const value = rule.resolve(all);
        if (value === undefined) return;
        const twice = [0, 1].map((i) => ({ value: copy(value), timeMs: i, dot: `b:${i + 1}` }));
        assert.deepEqual(resolved(twice), contentOf(value));
      }),
    );
  });

  test(`${name}: what siblings became, merged with any of them once more, stays as it is`, () => {
    fc.assert(fc.property(candidates, (all) => checkGrouping(subject, all)));
  });

  test(`${name}: what it is given is not changed`, () => {
    fc.assert(
      fc.property(candidates, (all) => {
        const before = all.map(({ value }) => toHex(codec.encode(value)));
        rule.resolve(all);
        assert.deepEqual(
          all.map(({ value }) => toHex(codec.encode(value))),
          before,
        );
      }),
    );
  });

  test(`${name}: a value that was stored and read again is the same value`, () => {
    fc.assert(
      fc.property(siblings, (values) => {
        for (const value of values) assert.deepEqual(contentOf(copy(value)), contentOf(value));
      }),
    );
  });
}

/** What was merged is written, and meets values that were merged into it, of whoever had not seen that. */
export function checkGrouping<T>(
  subject: Pick<Subject<T>, "rule" | "codec" | "contentOf">,
  all: readonly Candidate<T>[],
): void {
  const { rule } = subject;
  const contentOf = contentBy(subject);
  const value = rule.resolve(all);
  if (value === undefined) return;
  const later = { value, timeMs: Math.max(...all.map(({ timeMs }) => timeMs)) + 1, dot: "b:1" };
  for (const each of all) {
    for (const pair of [
      [each, later],
      [later, each],
    ]) {
      assert.deepEqual(contentOf(rule.resolve(pair) as T), contentOf(value));
    }
  }
}

function contentBy<T>({ codec, contentOf }: Pick<Subject<T>, "codec" | "contentOf">): (value: T) => unknown {
  return contentOf ?? ((value) => toHex(codec.encode(value)));
}
