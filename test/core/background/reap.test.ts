/** What a member answers to those who want to reap, and what it does not. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { isDeepStrictEqual } from "node:util";
import { Agreements } from "../../../core/background/agreements.ts";
import { Forgetting } from "../../../core/background/forgetting.ts";
import { ReapAnswers } from "../../../core/background/reap-answers.ts";
import { portableOf } from "../../../core/background/portable.ts";
import { bitmapOf } from "../../../core/bytes/bitmap.ts";
import { StoreError } from "../../../core/errors.ts";
import type { Key, NodeId } from "../../../core/identity.ts";
import { foundingsOf } from "../../../core/membership/forgetting-marks.ts";
import { encodeForgettingMarks } from "../../../core/membership/forgetting-marks-encoding.ts";
import { locate, type LocatedKey } from "../../../core/placement/locate.ts";
import { allPartitions } from "../../../core/placement/partition.ts";
import { type RequestHandler, type Transport, TransportError } from "../../../core/ports.ts";
import { Consents, type MarkedRoster } from "../../../core/replica/consents.ts";
import { exportStream } from "../../../core/storage/export-stream.ts";
import { verdicts } from "../../../core/replica/remains.ts";
import { OwnTime } from "../../../core/replica/own-time.ts";
import { call, methods } from "../../../core/rpc/rpc.ts";
import { metricsTelemetry } from "../../../node-host/metrics.ts";
import { eventually } from "../../support/eventually.ts";
import { utf8 } from "../../support/values.ts";
import { node, oneNode, rosterOf } from "../cluster/world.ts";
import { eventsOf, patient, placed, withCluster } from "../coordinate/scene.ts";
import { bothRings, marksOf, memberRecord, otherRing, otherSecret, ring, secret } from "../membership/samples.ts";
import { remove } from "../replica/world.ts";

const partitions = 16;
const hosts = ["h1", "h2", "h3", "h4"];
const all = bitmapOf(8, [0, 1, 2, 3, 4, 5, 6, 7]);

const raised = ({ partition }: LocatedKey, mark: number): MarkedRoster => ({
  forgettingMarks: marksOf({ [partition]: mark }),
  secrets: [secret],
});

/** h2 of four hosts, with a deleted key that h1 leads and h2 owns, old enough to be forgotten. */
async function scene(graceMs = 60_000) {
  const spec = { partitions, holdings: Object.fromEntries(hosts.map((name) => [name, "complete" as const])) };
  const here = oneNode(
    "h2",
    rosterOf(hosts, spec),
    hosts.filter((name) => name !== "h2"),
    { graceMs },
  );
  const located = keyOf((key) => here.cluster.ring.owners(key.partition).slice(0, 2).join() === "h1,h2");
  here.holdings.set(located.partition, "complete");
  const { held } = await here.replica.write(located, remove());
  const pass = (ms: number): void => {
    for (let passed = 0; passed < ms; passed += 1_000) {
      here.clock.jump(1_000);
      here.replica.stillness.sweep();
    }
  };
  pass(graceMs);
  const { consents } = here;
  const agreements = new Agreements(partitions);
  const forgetting = new Forgetting({ ...here, ownTime: new OwnTime(here.clock), agreements }, here.config);
  const answers = new ReapAnswers({ ...here, consents, forgetting });
  const request = {
    view: here.exchange.view(),
    partition: located.partition,
    markBefore: 0,
    mark: 5,
    foundings: foundingsOf(ring),
    keys: [{ key: located.key, digest: held.digest }],
  };
  const commit = { view: request.view, partition: located.partition, mark: 5, chosen: all };
  const admission = { turn: async () => {} };
  const transport = { request: () => Promise.reject(new TransportError("lost", "nobody is there")) };
  const unused = { admission, transport, seal: () => "" };
  const portable = portableOf({ ...here, ...unused, consents } as unknown as Parameters<typeof portableOf>[0]);
  const head = { cluster: here.cluster.roster.cluster.name, node: node("h1"), kind: "host", atMs: 0 } as const;
  /** Of an old copy of the key. */
  const importOld = () => {
    const state = { kind: "state", key: located.key, state: held.encoded!, contexts: [] } as const;
    const whole = { ...head, partitions, marks: encodeForgettingMarks(new Map()), foundings: [] };
    return portable.import(
      exportStream(
        whole,
        (async function* () {
          yield state;
        })(),
      ),
    );
  };
  return { ...here, located, pass, answers, request, commit, importOld };
}

function keyOf(fits: (key: LocatedKey) => boolean): LocatedKey {
  for (let i = 0; ; i++) {
    const located = locate(`b/${i}` as Key, partitions);
    if (fits(located)) return located;
  }
}

const refused = (code: string) => (error: unknown) => error instanceof StoreError && error.code === code;

test("a member that owns none of them keeps nothing of the keys that others reap", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const { answers, cluster, request } = await scene();
  const digestBytes = 16_777_216;
  const others = allPartitions(partitions).filter((each) => !cluster.ring.owners(each).includes(cluster.self));
  collect();
  const before = process.memoryUsage().arrayBuffers;
  for (const partition of others) {
    const { key } = keyOf((each) => each.partition === partition);
    const keys = [{ key, digest: new Uint8Array(digestBytes) }];
    await answers.prepare(cluster.ring.owners(partition)[0]!, { ...request, partition, keys });
  }
  await new Promise(setImmediate);
  collect();
  assert.equal(others.length, 4);
  // The last request may still be held by what has just answered it.
  const kept = process.memoryUsage().arrayBuffers - before;
  assert.ok(kept < 2 * digestBytes, `${kept} bytes`);
});

describe("an owner", () => {
  test("consents to what it has with that clock, then forgets it and raises the forgetting mark durably", async () => {
    const { answers, request, commit, replica, located, cluster, records } = await scene();
    assert.deepEqual(await answers.prepare(node("h1"), request), ["agreed"]);
    assert.equal(await answers.commit(node("h1"), commit), 1);
    assert.equal((await replica.read(located)).held.encoded, undefined);
    assert.deepEqual(cluster.roster.forgettingMarks, marksOf({ [located.partition]: 5 }));
    const stored = await records.get(
      "meta",
      Uint8Array.from("roster", (letter) => letter.charCodeAt(0)),
    );
    assert.ok(stored !== undefined, "the mark is on the disk");
    await assert.rejects(answers.commit(node("h1"), commit), refused("not-ready"), "a commit that is repeated");
  });

  test("takes nothing of an export where it has consented, and consents to nothing of which an import is on its way", async () => {
    const { answers, request, importOld, pass, config } = await scene();
    await importOld();
    assert.deepEqual(await answers.prepare(node("h1"), request), ["too-young"]);
    pass(config.graceMs);
    assert.deepEqual(await answers.prepare(node("h1"), request), ["agreed"]);
    const { keys, reason } = await importOld();
    assert.deepEqual([keys, reason?.includes("import again")], [0, true]);
  });

  test("consents to a mark alone, where no key is named, and raises it", async () => {
    const { answers, request, commit, cluster, located, consents, events } = await scene();
    assert.deepEqual(await answers.prepare(node("h1"), { ...request, keys: [] }), ["agreed"]);
    assert.equal(await answers.commit(node("h1"), commit), 0);
    assert.deepEqual(cluster.roster.forgettingMarks, marksOf({ [located.partition]: 5 }));
    assert.deepEqual(consents.takeUncovered(cluster.roster), []);
    assert.ok(!events.some(({ kind }) => kind === "reaped"), "nothing was");
  });

  test("consents to nothing in a partition of which rows cannot be read, until they can", async () => {
    const { answers, request, replica, located, records, consents } = await scene();
    const page = records.page.bind(records);
    const build = () => replica.index.build({ isStopped: () => false, throttle: async () => {} });
    records.page = async (ns, range) => ({ ...(await page(ns, range)), damaged: ns === "objects" });
    await build();
    assert.deepEqual(await answers.prepare(node("h1"), request), ["incomplete"]);
    assert.deepEqual(consents.takeUncovered(raised(located, 5)), [located.partition]);
    records.page = page;
    replica.index.distrust(located.partition);
    await build();
    assert.deepEqual(await answers.prepare(node("h1"), request), ["agreed"]);
  });

  test("consents to a key beside a record that is damaged, of which the key is known (seed 60011)", async () => {
    const { answers, request, replica, located, records } = await scene();
    const page = records.page.bind(records);
    const beside = { key: Uint8Array.of(...located.row.subarray(0, 16), 255), corrupt: true } as const;
    records.page = async (ns, range) => {
      const found = await page(ns, range);
      return ns === "objects" ? { ...found, rows: [...found.rows, beside] } : found;
    };
    replica.index.distrust(located.partition);
    await replica.index.build({ isStopped: () => false, throttle: async () => {} });
    assert.equal(replica.index.damagedIn(located.partition), 1);
    assert.deepEqual(await answers.prepare(node("h1"), request), ["agreed"]);
  });

  test("refuses whoever does not lead the partition, knows another mark, or has made the mark up", async () => {
    const { answers, request, cluster } = await scene();
    await assert.rejects(answers.prepare(node("h3"), request), refused("not-ready"));
    await assert.rejects(answers.prepare(node("h1"), { ...request, markBefore: 4 }), refused("not-ready"));
    for (const mark of [0, 2 ** 50 + 1]) {
      await assert.rejects(answers.prepare(node("h1"), { ...request, mark }), refused("not-ready"));
    }
    assert.equal(cluster.roster.forgettingMarks.size, 0);
  });

  test("refuses whoever has met other rings, and so would raise another ring's mark", async () => {
    const { answers, request, cluster } = await scene();
    for (const foundings of [[], foundingsOf(bothRings), foundingsOf(otherRing)]) {
      await assert.rejects(answers.prepare(node("h1"), { ...request, foundings }), refused("not-ready"));
    }
    cluster.merge({ secrets: [otherSecret] });
    await assert.rejects(answers.prepare(node("h1"), request), refused("not-ready"));
    assert.deepEqual(await answers.prepare(node("h1"), { ...request, foundings: foundingsOf(bothRings) }), [
      "incomplete",
    ]);
  });

  test("refuses a partition that there is not, a key of another one, and one that is none", async () => {
    const { answers, request, located } = await scene();
    const { digest } = request.keys[0]!;
    const elsewhere = keyOf(({ partition }) => partition !== located.partition).key;
    await assert.rejects(answers.prepare(node("h1"), { ...request, partition: 99 }), refused("bad-request"));
    for (const key of [elsewhere, "nothing"]) {
      await assert.rejects(
        answers.prepare(node("h1"), { ...request, keys: [{ key, digest }] }),
        refused("bad-request"),
      );
    }
  });

  test("forgets nothing without a consent, under another mark, for another host, or later than the consent counts", async () => {
    const { answers, request, commit, replica, located, clock, config } = await scene();
    await assert.rejects(answers.commit(node("h1"), commit), refused("not-ready"));
    await answers.prepare(node("h1"), request);
    await assert.rejects(answers.commit(node("h1"), { ...commit, mark: 6 }), refused("not-ready"));
    await assert.rejects(answers.commit(node("h3"), commit), refused("not-ready"));
    clock.jump(2 * config.reapTimeoutMs + 1);
    await assert.rejects(answers.commit(node("h1"), commit), refused("not-ready"));
    assert.equal(replica.tombstones.countIn(located.partition), 1);
  });

  test("forgets nothing where the mark cannot be written, whoever writes it, though a full disk takes deletes", async () => {
    const { answers, request, commit, cluster, disk, replica, located, tasks } = await scene();
    cluster.onChange(() => tasks.run("save membership", () => cluster.save()));
    await answers.prepare(node("h1"), request);
    disk.fullFor = "all";
    await assert.rejects(answers.commit(node("h1"), commit));
    assert.equal(replica.tombstones.countIn(located.partition), 1);
  });

  test("forgets nothing once others own the partition than when it consented: not all who count now were asked", async () => {
    const { answers, request, commit, cluster, replica, located } = await scene();
    await answers.prepare(node("h1"), request);
    const { assignment } = cluster.roster;
    const moved = assignment.map(({ host, epoch }, token) =>
      token === located.partition ? { host: node("h4"), epoch: epoch + 1 } : { host, epoch },
    );
    cluster.merge({ assignment: moved });
    await assert.rejects(answers.commit(node("h1"), commit), refused("not-ready"));
    assert.equal(replica.tombstones.countIn(located.partition), 1);
    assert.equal(cluster.roster.forgettingMarks.size, 0);
  });

  test("does not consent where the leader saw another ring as it asked: who had joined by then was not asked", async () => {
    const { answers, request, commit, cluster, exchange, clock, replica, located, server, servers } = await scene();
    let handler: RequestHandler = async () => new Uint8Array(0);
    server.listen({ serve: (serves: RequestHandler) => (handler = serves) } as unknown as Transport);
    answers.serve(server);
    servers.get("h1")!.on(methods.exchange, async () => ({ same: true, lacking: [] }));
    const leader = {
      request: (_to: NodeId, body: Uint8Array, ms: number) => handler(node("h1"), body, clock.now() + ms),
    } as unknown as Transport;
    const answerTo = async (asked: Promise<unknown>): Promise<unknown> => {
      const [answer] = await Promise.allSettled([asked, clock.advance(100)]);
      return answer.status === "rejected" ? answer.reason.code : answer.value;
    };
    const joined = memberRecord({ id: node("h5") });
    const owners = cluster.ring.owners(located.partition);
    const elsewhere = (located.partition + partitions / 2) % partitions;
    const assignment = cluster.roster.assignment.map(({ host, epoch }, token) =>
      token === elsewhere ? { host: joined.id, epoch: epoch + 1 } : { host, epoch },
    );
    cluster.merge({ members: new Map([[joined.id, joined]]), assignment });
    assert.deepEqual(cluster.ring.owners(located.partition), owners, "the same lead it, and own it");
    assert.equal(await answerTo(call(leader, cluster.self, methods.prepareReap, request, 1_000)), "not-ready");
    const later = { ...commit, view: exchange.view() };
    assert.equal(await answerTo(call(leader, cluster.self, methods.commitReap, later, 1_000)), "not-ready");
    assert.equal(replica.tombstones.countIn(located.partition), 1);
    assert.equal(cluster.roster.forgettingMarks.size, 0);
    const anew = { ...request, view: exchange.view() };
    const agreed = Uint8Array.of(verdicts.indexOf("agreed"));
    assert.deepEqual(await answerTo(call(leader, cluster.self, methods.prepareReap, anew, 1_000)), {
      verdicts: agreed,
    });
  });

  test("does not consent where somebody joins while it looks, who is told of the consents before only", async () => {
    for (const keys of ["named", "none"]) {
      const { answers, request, cluster } = await scene();
      const asked = answers.prepare(node("h1"), keys === "named" ? request : { ...request, keys: [] });
      const joined = memberRecord({ id: node("h5") });
      cluster.merge({ members: new Map([[joined.id, joined]]) });
      await assert.rejects(asked, refused("not-ready"));
    }
  });

  test("keeps what was not chosen, and what has changed since", async () => {
    const { answers, request, commit, replica, located } = await scene();
    await answers.prepare(node("h1"), request);
    assert.equal(await answers.commit(node("h1"), { ...commit, chosen: new Uint8Array(0) }), 0);
    await answers.prepare(node("h1"), { ...request, markBefore: 5, mark: 6 });
    await replica.write(located, remove());
    assert.equal(await answers.commit(node("h1"), { ...commit, mark: 6 }), 0);
    assert.equal(replica.tombstones.countIn(located.partition), 1);
  });

  test("consents to nothing soon after a hint of the partition left it", async () => {
    const { answers, request, replica, located, pass } = await scene();
    replica.stillness.hintGone(located.partition);
    assert.deepEqual(await answers.prepare(node("h1"), request), ["too-young"]);
    pass(20_000);
    assert.deepEqual(await answers.prepare(node("h1"), request), ["agreed"]);
  });
});

describe("who leads", () => {
  test("says why deleted keys wait: how the last try failed, or what a member answers, until they are forgotten", () =>
    withCluster(
      3,
      async (cluster) => {
        const { name } = await placed(cluster, ([first]) => first === "h1");
        const leader = cluster.node("h1");
        const { context } = await leader.put("b", name, utf8("v"), { w: "all" });
        const transport = cluster.transport("h1");
        const request = transport.request.bind(transport);
        let answer = async (): Promise<Uint8Array | undefined> => {
          throw new TransportError("lost", "nobody is there");
        };
        transport.request = async (to, body, timeoutMs) =>
          (body[0] === methods.prepareReap.number ? await answer() : undefined) ?? request(to, body, timeoutMs);
        await leader.delete("b", name, { context: context!, w: "all" });
        const says = async (expected: object): Promise<void> =>
          eventually(
            async () => isDeepStrictEqual((await leader.status()).tombstones, expected),
            () => `h1 to say ${JSON.stringify(expected)}`,
          );
        await says({ waiting: 1, why: ["1 partitions: last try failed: nobody is there"] });
        const { telemetry, registry } = metricsTelemetry();
        const refusals = eventsOf(cluster, "reap-refused", "h1");
        assert.equal(refusals[0]!.reason, "nobody is there");
        for (const event of refusals) telemetry.event(event);
        assert.ok((await registry.metrics()).includes(`\neverwrite_reaps_refused_total ${refusals.length}\n`));

        const incomplete = methods.prepareReap.response.encode({
          verdicts: Uint8Array.of(verdicts.indexOf("incomplete")),
        });
        answer = async () => Buffer.concat([Buffer.of(0), incomplete]);
        await says({ waiting: 1, why: ["1 have a host that is filling or cannot read all it holds"] });
        answer = async () => undefined;
        await says({ waiting: 0, why: [] });
      },
      { ...patient, graceMs: 1_500 },
    ));
});

describe("consents", () => {
  test("survive a restart, and tell of reaps that went without them, once", async () => {
    const { records, answers, request, consents, located } = await scene();
    await answers.prepare(node("h1"), request);
    const again = new Consents(records, { forgettingMarks: new Map(), secrets: [secret] });
    await again.open();
    for (const each of [consents, again]) {
      assert.deepEqual(each.takeUncovered(raised(located, 5)), []);
      assert.deepEqual(each.takeUncovered(raised(located, 6)), [located.partition]);
      assert.deepEqual(each.takeUncovered(raised(located, 6)), []);
    }
    assert.deepEqual(
      new Consents(records, raised(located, 9)).takeUncovered(raised(located, 9)),
      [],
      "known at the start",
    );
  });

  test("whose rows have rotted, with their keys, are none, and stop no start", async () => {
    const { disk, records, answers, request, located } = await scene();
    await answers.prepare(node("h1"), request);
    const row = new TextEncoder().encode(`reap-consent/${located.partition}`);
    await disk.rotKey("meta", row, -1, 0x80);
    const again = new Consents(records, { forgettingMarks: new Map(), secrets: [secret] });
    await again.open();
    assert.deepEqual(again.takeUncovered(raised(located, 5)), [located.partition]);
  });
});
