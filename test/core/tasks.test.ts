import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "../../core/ports.ts";
import { inLanes, Tasks } from "../../core/tasks.ts";
import type { StoreEvent } from "../../core/telemetry.ts";

/** A clock whose timers ring when the test says so. `told`: called with each event. */
function made(told: (event: StoreEvent) => void = () => {}): {
  readonly tasks: Tasks;
  readonly events: StoreEvent[];
  readonly ring: () => Promise<boolean>;
} {
  const timers = new Set<() => void>();
  const clock: Clock = {
    now: () => 0,
    wallTime: () => 0,
    after: (_ms, run) => {
      timers.add(run);
      return () => timers.delete(run);
    },
  };
  const events: StoreEvent[] = [];
  const tasks = new Tasks({
    clock,
    telemetry: {
      event: (event) => {
        events.push(event);
        told(event);
      },
    },
  });
  const ring = async (): Promise<boolean> => {
    await new Promise(setImmediate);
    const [run] = timers;
    if (run === undefined) return false;
    timers.delete(run);
    run();
    return true;
  };
  return { tasks, events, ring };
}

test("a recurring task goes on after each end, whether it fails at once, fails later or is done at once", async () => {
  const { tasks, events, ring } = made();
  let turns = 0;
  tasks.every("a task", 100, () => {
    turns += 1;
    if (turns === 1) throw new Error("at once");
    return turns === 2 ? Promise.reject(new Error("later")) : undefined;
  });
  for (let i = 0; i < 4; i++) assert.ok(await ring());
  assert.equal(turns, 5);
  const failures = events.map((event) => (event.kind === "task-failed" ? event.reason.split("\n")[0] : event.kind));
  assert.deepEqual(failures, ["Error: at once", "Error: later"]);
});

test("a recurring task is not begun again before its last turn has ended", async () => {
  const { tasks, ring } = made();
  let end = (): void => {};
  tasks.every("a task", 100, () => new Promise<void>((resolve) => (end = resolve)));
  assert.equal(await ring(), false);
  end();
  assert.equal(await ring(), true);
});

test("work that is done at once shares the timer of its interval, and one that fails keeps no other from its turn", async () => {
  const { tasks, events, ring } = made();
  const turns: string[] = [];
  tasks.every("the first", 100, () => {
    turns.push("first");
    throw new Error("as ever");
  });
  tasks.every("the second", 100, () => void turns.push("second"));
  tasks.every("another interval", 200, () => void turns.push("other"));
  turns.length = 0;
  assert.ok(await ring());
  assert.deepEqual(turns, ["first", "second"]);
  assert.ok(await ring());
  assert.deepEqual(turns, ["first", "second", "other"]);
  assert.equal(events.length, 2);
});

test("telemetry that throws ends no recurring task", async () => {
  let throws = false;
  const { tasks, ring } = made(() => {
    if (throws) throw new Error("telemetry");
  });
  const turns: string[] = [];
  tasks.every("the first", 100, () => {
    turns.push("first");
    throw new Error("as ever");
  });
  tasks.every("the second", 100, () => void turns.push("second"));
  turns.length = 0;
  throws = true;
  await assert.rejects(ring(), { message: "telemetry" });
  throws = false;
  await ring();
  assert.deepEqual(turns, ["first", "second", "first", "second"]);
});

test("work that took its time has its whole pause, then the beat of the others", async () => {
  const { tasks, ring } = made();
  const turns: string[] = [];
  let end: (() => void) | undefined = () => {};
  tasks.every("the first", 100, () => void turns.push("first"));
  tasks.every("slow at first", 100, () => {
    turns.push("slow");
    if (end === undefined) return undefined;
    return new Promise<void>((resolve) => (end = resolve));
  });
  end?.();
  end = undefined;
  turns.length = 0;
  // Two timers, for it began to wait later; then one.
  for (let i = 0; i < 3; i++) assert.ok(await ring());
  assert.deepEqual(turns, ["first", "slow", "first", "slow"]);
});

test("a stopping node waits for the turn that runs, and no other begins", async () => {
  const { tasks, ring } = made();
  let end = (): void => {};
  let turns = 0;
  tasks.every("a task", 100, () => {
    turns += 1;
    return new Promise<void>((resolve) => (end = resolve));
  });
  let isOver = false;
  const stopped = tasks.stop(1_000).then(() => (isOver = true));
  await new Promise(setImmediate);
  assert.equal(isOver, false);
  end();
  await stopped;
  assert.equal(await ring(), false);
  assert.equal(turns, 1);
});

test("lanes end together: the others hear of a failure, and it is thrown when they have ended", async () => {
  const told: string[] = [];
  let end = (): void => {};
  const lanes = inLanes([
    () => Promise.reject(new Error("the first")),
    async (isFailed) => {
      await new Promise<void>((resolve) => (end = resolve));
      told.push(`failed: ${isFailed()}`);
      throw new Error("the second");
    },
  ]).catch((error: unknown) => told.push((error as Error).message));
  await new Promise(setImmediate);
  assert.deepEqual(told, []);
  end();
  await lanes;
  assert.deepEqual(told, ["failed: true", "the first"]);
});
