import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { Key } from "../../../core/identity.ts";
import { type ChangeFilter, ChangeLog, type ChangePosition, type Changes } from "../../../core/replica/change-log.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { World } from "./world.ts";

const any: ChangeFilter = { prefix: "", exact: false };
const wanted: ChangeFilter = { prefix: "b/wanted", exact: true };
const key = (name: string | number): Key => `b/${name}` as Key;
const { random } = new World();

function log(entriesMax = 100): { log: ChangeLog; clock: ManualClock } {
  const clock = new ManualClock(1_000_000);
  return { log: new ChangeLog({ clock, random }, entriesMax), clock };
}

/** As a watcher asks: what is there, else what comes within the wait. */
async function poll(
  changes: ChangeLog,
  after: ChangePosition,
  filter: ChangeFilter,
  waitMs: number,
): Promise<Changes & { readonly position: ChangePosition }> {
  const [now] = changes.since([{ ...filter, after }]) as [Changes];
  if (now.missed || now.keys.length > 0 || waitMs === 0) return { ...now, position: changes.position };
  await changes.next([filter], waitMs);
  return { ...changes.since([{ ...filter, after }])[0]!, position: changes.position };
}

describe("the change log", () => {
  test("tells what changed since a position, each key once, and where it is now", async () => {
    const { log: changes } = log();
    const start = changes.position;
    for (const name of ["a", "b", "a"]) changes.append(key(name));
    const since = await poll(changes, start, any, 0);
    assert.deepEqual(since, { keys: ["b/a", "b/b"], position: changes.position, missed: false });
    assert.deepEqual((await poll(changes, since.position, any, 0)).keys, []);
  });

  test("waits for the first change that matches, and no longer than asked", async () => {
    const { log: changes, clock } = log();
    const waiting = poll(changes, changes.position, wanted, 1_000);
    changes.append(key("other"));
    changes.append(key("wanted"));
    assert.deepEqual((await waiting).keys, ["b/wanted"]);
    const inVain = poll(changes, changes.position, any, 1_000);
    clock.jump(1_000);
    assert.deepEqual(await inVain, { keys: [], position: changes.position, missed: false });
  });

  test("leaves no timer and no listener behind when the change came", async () => {
    const { log: changes, clock } = log();
    const waiting = poll(changes, changes.position, any, 1_000);
    changes.append(key("a"));
    await waiting;
    clock.jump(5_000);
    changes.append(key("b"));
    assert.deepEqual((await poll(changes, (await waiting).position, any, 0)).keys, ["b/b"]);
  });

  test("says missed where it has forgotten, for a position of another run, and for one of the future", async () => {
    const { log: changes } = log(4);
    const start = changes.position;
    for (let i = 0; i < 4; i++) changes.append(key(i));
    assert.equal((await poll(changes, start, any, 0)).missed, false, "four are kept");
    changes.append(key(4));
    const forgotten = await poll(changes, start, any, 0);
    assert.deepEqual(forgotten, { keys: [], position: changes.position, missed: true });
    const other = log().log;
    for (let i = 0; i < 5; i++) other.append(key(i));
    assert.equal(other.position.sequence, changes.position.sequence);
    assert.equal((await poll(changes, other.position, any, 0)).missed, true);
    const future = { ...changes.position, sequence: changes.position.sequence + 1 };
    assert.equal((await poll(changes, future, any, 1_000)).missed, true);
  });

  test("says missed when more than it keeps changed while somebody waited for another key", async () => {
    const { log: changes } = log(4);
    const waiting = poll(changes, changes.position, wanted, 1_000);
    for (let i = 0; i < 9; i++) changes.append(key(i));
    changes.append(key("wanted"));
    for (let i = 0; i < 9; i++) changes.append(key(i));
    assert.equal((await waiting).missed, true);
  });

  test("tells each of many filters what it would have told it alone", () => {
    const filter = fc.record({ prefix: fc.constantFrom("", "b/", "b/1", "b/12", "c/"), exact: fc.boolean() });
    fc.assert(
      fc.property(fc.array(fc.tuple(filter, fc.nat(25))), fc.array(fc.nat(20)), (wants, names) => {
        const { log: changes } = log(15);
        const { epoch } = changes.position;
        for (const name of names) changes.append(key(name));
        const asked = wants.map(([each, sequence]) => ({ ...each, after: { epoch, sequence } }));
        const expected = asked.map(({ prefix, exact, after }) => {
          const isKnown = after.sequence <= names.length && after.sequence >= names.length - 15;
          const since = isKnown ? names.slice(after.sequence).map(key) : [];
          const passed = since.filter((each) => (exact ? each === prefix : each.startsWith(prefix)));
          return { keys: [...new Set(passed)].toSorted(), missed: !isKnown };
        });
        const told = changes.since(asked).map(({ keys, missed }) => ({ keys: keys.toSorted(), missed }));
        assert.deepEqual(told, expected);
      }),
    );
  });

  test("says missed where filters together let through more than an answer takes, and never tells half", () => {
    const { log: changes } = log(1_000);
    const start = changes.position;
    for (let i = 0; i < 1_000; i++) changes.append(key(i));
    const told = changes.since(Array.from({ length: 101 }, () => ({ ...any, after: start })));
    assert.ok(told.every(({ keys, missed }) => keys.length === 0 && missed));
    const fewer = changes.since(Array.from({ length: 100 }, () => ({ ...any, after: start })));
    assert.ok(fewer.every(({ keys, missed }) => keys.length === 1_000 && !missed));
  });

  test("never loses a change without saying so, however it wraps", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 6 }), fc.array(fc.nat(12), { maxLength: 30 }), async (size, steps) => {
        const { log: changes } = log(size);
        let position = changes.position;
        let owed = new Set<Key>();
        for (const [i, step] of steps.entries()) {
          if (step > 2) {
            changes.append(key(step));
            owed.add(key(step));
            continue;
          }
          const since = await poll(changes, position, any, 0);
          if (!since.missed) assert.deepEqual(new Set(since.keys), owed, `step ${i}`);
          position = since.position;
          owed = new Set();
        }
      }),
    );
  });
});
