import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Recent } from "../../../core/bytes/recent.ts";

describe("recent", () => {
  it("keeps within its bound whatever is put in, taken out and asked for, and answers with what was put in last", () => {
    const key = fc.integer({ min: 0, max: 9 });
    const step = fc.oneof(
      fc.record({ kind: fc.constant("set" as const), key, size: fc.integer({ min: 1, max: 30 }) }),
      fc.record({ kind: fc.constantFrom("get" as const, "delete" as const), key }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const recent = new Recent<number, { size: number }>(40, (_key, { size }) => size);
        const last = new Map<number, { size: number }>();
        for (const one of steps) {
          if (one.kind === "set") {
            const value = { size: one.size };
            recent.set(one.key, value);
            last.set(one.key, value);
          } else if (one.kind === "delete") {
            recent.delete(one.key);
            last.delete(one.key);
          } else {
            const found = recent.get(one.key);
            if (found !== undefined) assert.equal(found, last.get(one.key));
          }
          assert.ok(recent.size <= 40, `${recent.size} of 40`);
        }
      }),
    );
  });

  it("keeps what is used between two uses of everything else", () => {
    const recent = new Recent<number, number>(100, () => 1);
    for (let n = 0; n < 1_000; n += 1) {
      recent.set(n, n);
      if (n % 40 === 0) assert.equal(recent.get(0), 0);
    }
    assert.equal(recent.get(0), 0);
    assert.equal(recent.get(999), 999);
    assert.equal(recent.get(500), undefined);
  });

  it("does not keep what would fill it alone", () => {
    const recent = new Recent<string, number>(100, (_key, size) => size);
    recent.set("small", 1);
    recent.set("huge", 51);
    assert.equal(recent.get("huge"), undefined);
    assert.equal(recent.get("small"), 1);
  });
});
