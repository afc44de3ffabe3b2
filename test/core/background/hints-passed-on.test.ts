import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { deliverHints, type HintDeps } from "../../../core/background/deliver-hints.ts";
import { nodeDefaults } from "../../../core/config.ts";
import { StoreError } from "../../../core/errors.ts";
import type { NodeId } from "../../../core/identity.ts";
import { Ring } from "../../../core/placement/ring.ts";
import { TransportError } from "../../../core/ports.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import { Tasks } from "../../../core/tasks.ts";
import type { StoreEvent } from "../../../core/telemetry.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { microtasks } from "../../support/values.ts";
import { statesIn } from "../coordinate/scene.ts";
import { member } from "../placement-cases.ts";
import { at, host, put, World } from "../replica/world.ts";

/** A stand-in with a hint of each key for each target; the others are as the test has them. */
async function standIn(names: readonly string[] = ["k"], targets: readonly string[] = ["h2", "h3"]) {
  const run = await new World().start("none");
  for (const name of names) {
    const { held } = await (await new World().start()).replica.write(at(name), put("v"));
    for (const target of targets) await run.replica.keepHint(at(name), host(target), held.toBytes());
  }
  const clock = new ManualClock();
  const told: string[] = [];
  const telemetry = {
    event: (event: StoreEvent): void => {
      if (event.kind === "replica-failed") told.push(event.reason);
    },
  };
  const outside = {
    up: new Set<string>(),
    ring: { fingerprint: "before", owners: ["h2", "h3"] } as Ring | { fingerprint: string; owners: string[] },
    own: { status: "up", kind: "host" },
    sent: [] as string[],
    paid: [] as number[],
    gone: new Set<string>(),
    answer: async (_to: string): Promise<void> => {},
    /** How many of those in one message are taken in. */
    applied: 0,
  };
  const members = ["h1", "h2", "h3", "h4", "h5", "h6"].map((name) => ({ id: host(name) }));
  const cluster = {
    self: host("h1"),
    get ring() {
      if (outside.ring instanceof Ring) return outside.ring;
      const { fingerprint, owners } = outside.ring;
      return { fingerprint, partitions: 4, members, owners: () => owners };
    },
    health: { isUp: (id: string) => outside.up.has(id) },
    isMember: (id: string) => !outside.gone.has(id),
    get ownRecord() {
      return outside.own;
    },
  };
  const transport = {
    async request(to: string, body: Uint8Array): Promise<Uint8Array> {
      outside.sent.push(statesIn(body).length > 1 ? `${to}: ${statesIn(body).length}` : to);
      await outside.answer(to);
      if (body[0] === methods.swap.number) {
        const { applied } = outside;
        return Uint8Array.of(0, ...methods.swap.response.encode({ states: [], done: 0, applied }));
      }
      return Uint8Array.of(0, ...methods.replicate.response.encode({ role: "complete" }));
    },
  };
  const tasks = new Tasks({ clock, telemetry });
  const { hints } = run.replica;
  const page = hints.page.bind(hints);
  let pagesRead = 0;
  hints.page = (...args) => {
    pagesRead += 1;
    return page(...args);
  };
  const deliveries = deliverHints({
    admission: { turn: async () => {} },
    rate: { pay: async (bytes: number) => void outside.paid.push(bytes) },
    cluster,
    exchange: { view: () => ({ ring: "00".repeat(8), life: 1 }) },
    replica: run.replica,
    transport,
    clock,
    tasks,
    telemetry,
    config: nodeDefaults,
  } as unknown as HintDeps);
  const owed = (): string[] => run.replica.hints.summaries().flatMap(({ target, count }) => Array(count).fill(target));
  const secondPasses = async (): Promise<void> => {
    clock.jump(1_000);
    await microtasks();
  };
  await microtasks();
  const sends = (name: string): boolean => deliveries.sendsTo(host(name));
  const isRefusedBy = (name: string): boolean => deliveries.isRefusedBy(host(name));
  return {
    ...run,
    outside,
    owed,
    secondPasses,
    sendsTo: sends,
    isRefusedBy,
    told: () => told,
    pagesRead: () => pagesRead,
  };
}

describe("a stand-in", () => {
  test("delivers to who is back while a delivery to another one goes on and on", async () => {
    const { outside, owed, secondPasses } = await standIn();
    outside.answer = (to) => (to === "h2" ? new Promise(() => {}) : Promise.resolve());
    outside.up.add("h2");
    await secondPasses();
    outside.up.add("h3");
    await secondPasses();
    await secondPasses();
    assert.deepEqual(outside.sent, ["h2", "h3"]);
    assert.deepEqual(owed(), ["h2"]);
  });

  test("counts as sending from the moment its target is back, until it has delivered or the target took none", async () => {
    const { outside, secondPasses, sendsTo } = await standIn();
    assert.deepEqual([sendsTo("h2"), sendsTo("h3")], [false, false]);
    let answer = (): void => {};
    const answered = new Promise<void>((resolve) => (answer = resolve));
    outside.answer = async (to) => {
      await answered;
      if (to === "h3") throw new TransportError("lost", "no answer");
    };
    outside.up.add("h2").add("h3");
    assert.deepEqual([sendsTo("h2"), sendsTo("h3")], [true, true]);
    await secondPasses();
    assert.deepEqual([sendsTo("h2"), sendsTo("h3")], [true, true]);
    answer();
    await microtasks();
    assert.deepEqual([sendsTo("h2"), sendsTo("h3")], [false, false]);
  });

  test("looks ever more seldom at what it cannot let go of for one that is gone, though nobody refuses it", async () => {
    const { outside, replica, secondPasses, pagesRead } = await standIn(["k"], ["h2"]);
    replica.hintDelivered = async () => false;
    outside.gone.add("h2");
    outside.up.add("h3");
    for (let second = 0; second < 100; second++) await secondPasses();
    assert.ok(pagesRead() > 2 && pagesRead() < 12, `${pagesRead()} looks`);
  });

  test("pays for what it sends, together or alone", async () => {
    const { outside, owed, secondPasses } = await standIn(["k", "l", "m"], ["h2"]);
    const { held } = await (await new World().start()).replica.write(at("k"), put("v"));
    const { length } = held.toBytes();
    outside.applied = 3;
    outside.up.add("h2");
    await secondPasses();
    assert.deepEqual(owed(), []);
    assert.deepEqual(outside.paid, [3 * length]);
    const alone = await standIn(["k"], ["h2"]);
    alone.outside.up.add("h2");
    await alone.secondPasses();
    assert.deepEqual(alone.outside.paid, [length]);
  });

  test("asks one that is there and takes none ever more seldom, and each second from when it takes some", async () => {
    const { outside, owed, secondPasses, isRefusedBy } = await standIn(["k", "l", "m"], ["h2"]);
    let isFull = true;
    outside.applied = 3;
    outside.answer = async () => {
      if (isFull) throw new StoreError("storage-full", "no room");
    };
    outside.up.add("h2");
    const asked: number[] = [];
    for (let second = 1; second <= 30; second++) {
      outside.sent.length = 0;
      await secondPasses();
      if (outside.sent.length > 0) asked.push(second);
    }
    assert.deepEqual(asked, [1, 2, 4, 8, 16, 24]);
    assert.ok(isRefusedBy("h2"));
    isFull = false;
    for (let second = 0; second < 8; second++) await secondPasses();
    assert.deepEqual(owed(), []);
    assert.ok(!isRefusedBy("h2"));
  });

  test("delivers one by one what its target did not take in as a whole, and keeps what it did not take in then", async () => {
    const { outside, owed, secondPasses } = await standIn(["k", "l", "m"]);
    outside.applied = 2;
    outside.answer = async () => {
      if (outside.sent.length === 2) throw new TransportError("lost", "no answer");
    };
    outside.up.add("h2");
    await secondPasses();
    assert.deepEqual(outside.sent, ["h2: 3", "h2", "h2", "h2"]);
    assert.deepEqual(owed(), ["h2", "h3", "h3", "h3"]);
    outside.up.add("h3");
    outside.applied = 3;
    await secondPasses();
    assert.deepEqual(outside.sent.slice(4).toSorted(), ["h2", "h3: 3"]);
    assert.deepEqual(owed(), []);
  });

  test("asks a target that does not answer for none of them alone, and for all again later", async () => {
    const { outside, owed, secondPasses } = await standIn(["k", "l"]);
    outside.answer = async () => {
      throw new TransportError("lost", "no answer");
    };
    outside.up.add("h2");
    await secondPasses();
    await secondPasses();
    assert.deepEqual(
      [outside.sent, owed()],
      [
        ["h2: 2", "h2: 2"],
        ["h2", "h2", "h3", "h3"],
      ],
    );
  });

  test("keeps hints that travelled together over a change of the ring", async () => {
    const { outside, owed, secondPasses } = await standIn(["k", "l"]);
    outside.applied = 2;
    outside.answer = async () => {
      outside.ring = { fingerprint: "after", owners: ["h2", "h4"] };
    };
    outside.up.add("h2");
    await secondPasses();
    assert.deepEqual([outside.sent, owed()], [["h2: 2"], ["h2", "h2", "h3", "h3"]]);
  });

  test("keeps a hint that was delivered on a ring that is no more, and delivers it to the owners of today", async () => {
    const { outside, owed, secondPasses } = await standIn();
    outside.answer = async () => {
      outside.ring = { fingerprint: "after", owners: ["h3", "h4"] };
    };
    outside.up.add("h2");
    await secondPasses();
    assert.deepEqual([outside.sent, owed()], [["h2"], ["h2", "h3"]]);
    await secondPasses();
    assert.deepEqual([outside.sent, owed()], [["h2", "h3", "h4"], ["h3"]]);
  });

  test("passes on what its target owns no more to the owners that are there, and keeps it for those that are not", async () => {
    const { outside, owed, secondPasses } = await standIn(["k", "l"], ["h2"]);
    outside.ring = { fingerprint: "later", owners: ["h4", "h5", "h6"] };
    outside.up = new Set(["h2", "h4", "h6"]);
    outside.answer = async (to) => {
      if (to === "h6") throw new StoreError("storage-full", "no room");
    };
    await secondPasses();
    assert.deepEqual(outside.sent.toSorted(), ["h4", "h4", "h6", "h6"]);
    assert.deepEqual(owed().toSorted(), ["h5", "h5", "h6", "h6"]);
    outside.up.add("h5");
    outside.applied = 2;
    await secondPasses();
    assert.deepEqual(owed().toSorted(), ["h6", "h6"]);
  });

  test("passes on what its target owns no more while that one is away, once on each ring", async () => {
    const { outside, owed, secondPasses } = await standIn(["k", "l"]);
    await secondPasses();
    assert.deepEqual([outside.sent, owed()], [[], ["h2", "h2", "h3", "h3"]]);
    outside.ring = { fingerprint: "after", owners: ["h3", "h4"] };
    outside.up.add("h4");
    await secondPasses();
    assert.deepEqual(outside.sent, ["h4", "h4"]);
    // For h3, which is away too, what h2 was to have is kept with what it is to have itself.
    assert.deepEqual(owed(), ["h3", "h3"]);
    await secondPasses();
    assert.equal(outside.sent.length, 2);
  });

  test("keeps what no owner takes of what its target owns no more, which holds up nothing behind it", async () => {
    const { outside, owed, secondPasses } = await standIn(
      Array.from({ length: 10 }, (_, i) => `k${i}`),
      ["h2"],
    );
    outside.ring = { fingerprint: "later", owners: ["h4"] };
    outside.up = new Set(["h2", "h4"]);
    outside.answer = async () => {
      if (outside.sent.length <= 8) throw new TransportError("lost", "no answer");
    };
    await secondPasses();
    assert.equal(owed().filter((target) => target === "h2").length, 8);
  });

  test("reads what no owner takes of what an absent target owns no more ever less often, until hosts come back", async () => {
    const { outside, owed, secondPasses, pagesRead } = await standIn(["k"], ["h2"]);
    outside.ring = { fingerprint: "later", owners: ["h4"] };
    outside.answer = async () => {
      throw new TransportError("lost", "no answer");
    };
    const before = pagesRead();
    for (let second = 0; second < 180; second++) await secondPasses();
    const read = pagesRead() - before;
    assert.ok(read >= 7 && read <= 10, `${read} pages in three minutes`);
    outside.answer = async () => {};
    outside.up.add("h4");
    await secondPasses();
    assert.deepEqual(owed(), []);
  });
});

/**
 * A host that is on the ring no more keeps a hint of `k` for h3, which is away, a Node host as it is itself if nothing else
 * is said; two copies are made, by h2 and h3, then come h4 and h5.
 */
async function leaving({ own = "host", browsers }: { own?: string; browsers: readonly string[] }) {
  const run = await standIn(["k"], ["h3"]);
  run.outside.own = { status: "leaving", kind: own };
  run.outside.ring = ringOf(["h2", "h3", "h4", "h5"], browsers);
  return run;
}

/** The walk of `k` is that of the names. */
function ringOf(names: readonly string[], browsers: readonly string[]): Ring {
  const hosts = names.map((name) => host(name));
  const kindOf = (id: NodeId) => (browsers.includes(id) ? "browser-host" : "host");
  const members = hosts.map((id, index) => member(index, { id, kind: kindOf(id) }));
  const { partition } = at("k");
  const assignment = hosts.map((_, token) => ({ host: hosts[(token + 4 - partition) % 4]!, epoch: 1 }));
  const ring = new Ring({ n: 2, members, assignment });
  assert.deepEqual(ring.walk(partition), names);
  return ring;
}

describe("a host that leaves passes on what it keeps for a Node host that is away", () => {
  test("to the next host that is there, where an owner that has it is no browser", async () => {
    const { outside, owed, secondPasses } = await leaving({ browsers: ["h4"] });
    outside.up = new Set(["h2", "h4", "h5"]);
    await secondPasses();
    assert.deepEqual([outside.sent, owed()], [["h2", "h4"], []]);
  });

  test("to the next Node host, where browsers alone would have it", async () => {
    const { outside, owed, secondPasses } = await leaving({ browsers: ["h2", "h4"] });
    outside.up = new Set(["h2", "h4", "h5"]);
    await secondPasses();
    assert.deepEqual([outside.sent, owed()], [["h2", "h5"], []]);
  });

  test("to nobody while only browsers are there, until a Node host is back, be it the one that it is for", async () => {
    for (const back of ["h3", "h5"]) {
      const { outside, owed, told, secondPasses } = await leaving({ browsers: ["h2", "h4"] });
      outside.up = new Set(["h2", "h4"]);
      await secondPasses();
      assert.deepEqual([outside.sent, owed()], [[], ["h3"]]);
      assert.match(told().join(), /browsers alone/, "operators hear why it does not leave");
      outside.up.add(back);
      await secondPasses();
      assert.deepEqual([outside.sent, owed()], [back === "h3" ? ["h3"] : ["h2", "h5"], []]);
    }
  });

  test("to browsers, where it is one itself: none of what they keep was not with browsers before", async () => {
    const { outside, owed, secondPasses } = await leaving({ own: "browser-host", browsers: ["h2", "h4"] });
    outside.up = new Set(["h2", "h4"]);
    await secondPasses();
    assert.deepEqual([outside.sent, owed()], [["h2", "h4"], []]);
  });

  test("to browsers, where the ring has no Node host any more", async () => {
    const { outside, owed, secondPasses } = await leaving({ browsers: ["h2", "h3", "h4", "h5"] });
    outside.up = new Set(["h2", "h4"]);
    await secondPasses();
    assert.deepEqual([outside.sent, owed()], [["h2", "h4"], []]);
  });
});
