/** Values that merge by themselves, against plain models that remember everything. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type AddWinsSet, addWinsSet } from "../../../core/values/add-wins-set.ts";
import { type Cart, cart } from "../../../core/values/cart.ts";
import type { ConflictRule } from "../../../core/values/conflict-rules.ts";
import { type Counter, counter } from "../../../core/values/counter.ts";
import { type Registers, registers } from "../../../core/values/registers.ts";
import { Devices, pensOf, siblingsOf, type Step, stepsOf } from "./devices.ts";

const at = fc.constantFrom("a", "b", "c");

/** Every change that a device has heard of, and which of them were replaced or removed: nothing is ever forgotten. */
interface Model<P> {
  readonly made: ReadonlyMap<number, { readonly key: string; readonly payload: P }>;
  readonly gone: ReadonlySet<number>;
}

class Models<P> {
  readonly all: Model<P>[] = [0, 1, 2].map(() => ({ made: new Map(), gone: new Set() }));
  #next = 0;

  live(model: Model<P>, key: string): P[] {
    return [...model.made]
      .filter(([id, each]) => each.key === key && !model.gone.has(id))
      .map(([, each]) => each.payload);
  }

  put(device: number, key: string, payload: P, { replaces }: { readonly replaces: boolean }): void {
    if (replaces) this.remove(device, key);
    const { made, gone } = this.all[device]!;
    this.all[device] = { made: new Map(made).set(this.#next++, { key, payload }), gone };
  }

  remove(device: number, key: string): void {
    const { made, gone } = this.all[device]!;
    const ids = [...made].filter(([, each]) => each.key === key).map(([id]) => id);
    this.all[device] = { made, gone: new Set([...gone, ...ids]) };
  }

  hear(device: number, from: number): void {
    const [own, other] = [this.all[device]!, this.all[from]!];
    this.all[device] = { made: new Map([...own.made, ...other.made]), gone: new Set([...own.gone, ...other.gone]) };
  }
}

/** Plays both, and compares after each step. */
function played<T, Change, P>(
  rule: ConflictRule<T>,
  steps: readonly Step<Change>[],
  how: {
    readonly apply: (value: T, change: Change, at: number) => T;
    readonly model: (models: Models<P>, device: number, change: Change) => void;
    readonly compare: (value: T, live: (key: string) => readonly P[]) => void;
  },
): void {
  const devices = new Devices(rule);
  const models = new Models<P>();
  for (const step of steps) {
    devices.play([step], how.apply);
    if (step.kind === "hear") models.hear(step.at, step.from);
    else if (step.kind === "change") how.model(models, step.at, step.change);
    const model = models.all[step.at]!;
    how.compare(devices.values[step.at]!, (key) => models.live(model, key));
  }
}

test("increments of all devices add up, whoever hears of whom how often and starts anew meanwhile", () => {
  fc.assert(
    fc.property(stepsOf(fc.integer({ min: -3, max: 9 })), (steps) => {
      const devices = new Devices(counter());
      devices.play(steps, (count, by) => count.add(by));
      const expected = steps.reduce((sum, step) => (step.kind === "change" ? sum + step.change : sum), 0);
      assert.equal(devices.merged().total, expected);
      assert.equal(devices.merged([...devices.values, devices.merged(), ...devices.values]).total, expected);
    }),
  );
});

test("a change of an older value, and two of one value at once, are counted beside what came after it", () => {
  const rule = counter();
  const pen = pensOf(1).of("k");
  const first = rule.seal!(rule.empty!.add(1), rule.empty, pen);
  const second = rule.seal!(first.add(10), first, pen);
  const third = rule.seal!(first.add(100), second, pen);
  assert.equal(third.total, 111);
  const blind = rule.seal!(first.add(1_000), undefined, pen);
  assert.equal(rule.resolve([third, blind].map((value, i) => ({ value, timeMs: 0, dot: `a:${i}` })))!.total, 1_111);
});

test("an update that is written again, under whatever dot of the store, counts once", () => {
  const rule = counter();
  const pen = pensOf(1).of("k");
  const lost = rule.seal!(rule.empty!.add(5), rule.empty, pen);
  const again = rule.codec!.decode(rule.codec!.encode(lost));
  const later = rule.seal!(rule.empty!.add(7), rule.empty, pen); // it was not found: a writer of its own
  assert.equal(rule.resolve([lost, again, later].map((value, i) => ({ value, timeMs: 0, dot: `a:${i}` })))!.total, 12);
});

test("a set has what was added and not removed by somebody who saw it", () => {
  fc.assert(
    fc.property(stepsOf(fc.tuple(fc.boolean(), at)), (steps) => {
      played<AddWinsSet<string>, readonly [boolean, string], true>(addWinsSet<string>(), steps, {
        apply: (set, [adds, tag]) => (adds ? set.add(tag) : set.delete(tag)),
        model: (models, device, [adds, tag]) =>
          adds ? models.put(device, tag, true, { replaces: true }) : models.remove(device, tag),
        compare: (set, live) => {
          const expected = ["a", "b", "c"].filter((tag) => live(tag).length > 0);
          assert.deepEqual([...set], expected);
          assert.deepEqual([set.size, set.has("a")], [expected.length, expected.includes("a")]);
        },
      });
    }),
  );
});

test("a cart loses no item that was added, and a removed one returns only where it was added at the same time", () => {
  type Change = readonly ["add" | "set" | "remove", string, number];
  const changes: fc.Arbitrary<Change> = fc.tuple(
    fc.constantFrom("add", "set", "remove"),
    at,
    fc.integer({ min: 1, max: 4 }),
  );
  fc.assert(
    fc.property(stepsOf(changes, 30), (steps) => {
      // Many additions of a device become one, which a model that forgets nothing does not do.
      fc.pre(steps.filter((step) => step.kind === "change" && step.change[0] === "add").length <= 8);
      played<Cart, Change, readonly ["add" | "set", number]>(cart(), steps, {
        apply: (present, [verb, item, quantity]) =>
          verb === "remove" ? present.remove(item) : present[verb](item, quantity),
        model: (models, device, [verb, item, quantity]) =>
          verb === "remove"
            ? models.remove(device, item)
            : models.put(device, item, [verb, quantity], { replaces: verb === "set" }),
        compare: (present, live) => {
          for (const item of ["a", "b", "c"]) {
            const amounts = live(item)
              .filter(([kind]) => kind === "set")
              .map(([, quantity]) => quantity);
            const additions = live(item)
              .filter(([kind]) => kind === "add")
              .map(([, quantity]) => quantity);
            const expected = Math.max(0, ...amounts) + additions.reduce((a, b) => a + b, 0);
            assert.equal(present.quantity(item), expected);
            assert.equal(present.has(item), expected > 0);
          }
        },
      });
    }),
  );
});

test("many additions of one item take few bytes, and are exact beside those of others", () => {
  const rule = cart();
  const devices = new Devices(rule, 2);
  const sizes: number[] = [];
  for (let i = 0; i < 100; i++) {
    for (const device of [0, 1]) devices.change(device, (present) => present.add("book"));
    if (i % 7 === 0) devices.values[0] = devices.merged();
    sizes.push(rule.codec!.encode(devices.values[0]!).length);
  }
  assert.equal(devices.merged().quantity("book"), 200);
  assert.ok(Math.max(...sizes) < 300, `${Math.max(...sizes)} bytes`);
});

test("several changes in one update are one change, in their order", () => {
  const rule = cart();
  const pen = pensOf(1).of("k");
  const changed = rule.empty!.add("a").add("a", 2).add("b").remove("b").add("b", 5).set("c", 9).add("c");
  assert.deepEqual(changed.toJSON(), { a: 3, b: 5, c: 10 });
  const sealed = rule.seal!(changed, rule.empty, pen);
  assert.deepEqual(rule.codec!.decode(rule.codec!.encode(sealed)).toJSON(), { a: 3, b: 5, c: 10 });
  assert.deepEqual([...sealed.clear()], []);
});

test("registers: fields change one by one; what was written to one at the same time is all there until one sees it", () => {
  type Fields = Record<string, number>;
  fc.assert(
    fc.property(stepsOf(fc.tuple(fc.boolean(), at, fc.nat(9))), (steps) => {
      played<Registers<Fields>, readonly [boolean, string, number], number>(registers<Fields>(), steps, {
        apply: (record, [sets, field, value]) => (sets ? record.set(field, value) : record.delete(field)),
        model: (models, device, [sets, field, value]) =>
          sets ? models.put(device, field, value, { replaces: true }) : models.remove(device, field),
        compare: (record, live) => {
          for (const field of ["a", "b", "c"]) {
            assert.deepEqual(new Set(record.all(field)), new Set(live(field)));
            assert.equal(record.get(field), record.all(field)[0]);
          }
        },
      });
    }),
  );
});

test("of values written at the same time the last by the clocks is shown, before it is stored the new one", () => {
  const rule = registers<{ city: string }>();
  const [early, late] = [pensOf(1, () => 20_000), pensOf(2, () => 20_001)].map((pens) => pens.of("k"));
  const oslo = rule.seal!(rule.empty!.set("city", "Oslo"), rule.empty, late!);
  const rome = rule.seal!(rule.empty!.set("city", "Rome"), rule.empty, early!);
  const both = rule.resolve([rome, oslo].map((value, i) => ({ value, timeMs: 0, dot: `a:${i}` })))!;
  assert.deepEqual([both.get("city"), both.all("city")], ["Oslo", ["Oslo", "Rome"]]);
  assert.equal(both.set("city", "Bonn").get("city"), "Bonn");
  assert.deepEqual(both.toJSON(), { city: "Oslo" });
});

test("what cannot be in a value is refused before anything is written", () => {
  const count = counter().empty!;
  for (const by of [Number.NaN, 0.5, Infinity, 2 ** 52]) assert.throws(() => count.add(by), RangeError);
  assert.throws(() => count.add(2 ** 52 - 1).add(1), RangeError);
  const much = counter().seal!(count.add(2 ** 52 - 1), count, pensOf(1).of("k"));
  const others = counter().seal!(much.add(2 - 2 ** 52), much, pensOf(2).of("k"));
  assert.throws(() => counter().seal!(others.add(2 ** 51), others, pensOf(3).of("k")), RangeError);
  assert.throws(() => addWinsSet<number>().empty!.add(Number.NaN), RangeError);
  for (const quantity of [0, -1, 1.5, 2 ** 33]) assert.throws(() => cart().empty!.add("a", quantity), RangeError);
  assert.throws(() => registers<{ a: unknown }>().empty!.set("a", undefined), TypeError);
});

// -- Bytes of others --------------------------------------------------------------------------------------------------

const rules: readonly (readonly [string, fc.Arbitrary<Uint8Array>, ConflictRule<{ toJSON(): unknown }>])[] = [
  sample("counter", counter(), fc.integer({ min: -9, max: 9 }), (count: Counter, by) => count.add(by)),
  sample("addWinsSet", addWinsSet<string>(), at, (set: AddWinsSet<string>, tag) => set.add(tag)),
  sample("registers", registers<Record<string, string>>(), at, (record: Registers<Record<string, string>>, field) =>
    record.set(field, "é"),
  ),
  sample("cart", cart(), at, (present: Cart, item) => present.add(item)),
];

function sample<T extends { toJSON(): unknown }, Change>(
  name: string,
  rule: ConflictRule<T>,
  changes: fc.Arbitrary<Change>,
  apply: (value: T, change: Change) => T,
): readonly [string, fc.Arbitrary<Uint8Array>, ConflictRule<{ toJSON(): unknown }>] {
  const encoded = siblingsOf(rule, changes, apply).map(([value]) => rule.codec!.encode(value!));
  const damaged = fc.tuple(encoded, fc.nat(), fc.nat(255)).map(([body, where, byte]) => {
    if (body.length > 0) body[where % body.length] = byte;
    return body;
  });
  const bytes = fc.oneof(fc.uint8Array({ maxLength: 60 }), encoded, damaged);
  return [name, bytes, rule];
}

for (const [name, bytes, rule] of rules) {
  test(`${name}: bytes of others are refused, or are a value like any other`, () => {
    const codec = rule.codec!;
    let read = 0;
    fc.assert(
      fc.property(bytes, (body) => {
        let value: { toJSON(): unknown };
        try {
          value = codec.decode(body);
        } catch (error: unknown) {
          assert.ok(error instanceof Error && !(error instanceof RangeError), String(error));
          return;
        }
        read += 1;
        const told = JSON.stringify(value.toJSON());
        assert.equal(JSON.stringify(codec.decode(codec.encode(value)).toJSON()), told);
        assert.equal(JSON.stringify(rule.resolve([0, 1].map((i) => ({ value, timeMs: i, dot: `a:${i}` })))), told);
      }),
      { numRuns: 1_000 },
    );
    assert.ok(read > 100, `only ${read} could be read`);
  });
}

// -- Writers of years ------------------------------------------------------------------------------------------------

test("a counter of three years and a thousand page loads stays exact and small, while none is offline for two months", () => {
  const rule = counter();
  fc.assert(
    fc.property(fc.array(fc.nat(19), { minLength: 3, maxLength: 3 }), fc.nat(1_000), (delays, seed) => {
      // Each device loads a page a day, and hears of the others after a delay of its own, in threes of days.
      let [shared, total] = [rule.empty!, 0];
      const past: Counter[] = [];
      for (let day = 0; day < 365; day++) {
        const values = delays.map((delay, device) => {
          const present = past[day - 1 - delay] ?? rule.empty!;
          const by = ((day * 7 + device + seed) % 5) + 1;
          total += by;
          return rule.seal!(present.add(by), present, pensOf(device, () => 20_000 + day * 3).of("k"));
        });
        const all = [shared, ...values].map((value, i) => ({ value, timeMs: 0, dot: `a:${i}` }));
        shared = rule.resolve(all)!;
        past.push(shared);
        assert.equal(shared.total, total, `after ${day} of 365`);
      }
      const { length } = rule.codec!.encode(shared);
      assert.ok(length < 6_000, `${length} bytes`);
    }),
    { numRuns: 4 },
  );
});

test("clocks that are years ahead or behind lose no increment", () => {
  const rule = counter();
  let [shared, total] = [rule.empty!, 0];
  for (let load = 0; load < 400; load++) {
    // Every tenth load is of a device of 1970, every eleventh of one of 2080.
    const day = load % 10 === 0 ? 0 : load % 11 === 0 ? 40_000 : 20_000 + load;
    const present = shared;
    const values = [0, 1].map((device) => {
      total += 1;
      return rule.seal!(present.add(1), present, pensOf(device + load * 2, () => day).of("k"));
    });
    shared = rule.resolve([shared, ...values].map((value, i) => ({ value, timeMs: 0, dot: `a:${i}` })))!;
    assert.equal(shared.total, total, `after ${load} loads`);
  }
});

test("writers that nobody uses any more leave a set, and what they added stays", () => {
  const rule = addWinsSet<string>();
  let value = rule.empty!;
  for (let load = 0; load < 1_000; load++) {
    const pen = pensOf(load, () => 20_000 + load).of("k");
    const tag = `tag ${load % 20}`;
    value = rule.seal!(load % 3 === 0 ? value.delete(tag).add("always") : value.add(tag), value, pen);
  }
  assert.ok(value.has("always"));
  const { length } = rule.codec!.encode(value);
  assert.ok(length < 6_000, `${length} bytes`);
});
