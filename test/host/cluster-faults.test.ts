/** Three real hosts on loopback, killed, paused and robbed of their disks: who answers what. */
import assert from "node:assert/strict";
import { dirname } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { getJson, kv, type Kv } from "../support/http-client.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

let hosts: HostProcesses;
let through: readonly [Kv, Kv, Kv];

before(async () => {
  hosts = await HostProcesses.of(3, dirname(temporaryDirectory()));
  through = [kv(hosts.url(0)), kv(hosts.url(1)), kv(hosts.url(2))];
});

after(() => hosts.stop());

/** Whatever a test did to the hosts, the next one finds all three. */
afterEach(() => hosts.startAll());

describe("three hosts at N=3, R=2, W=2", () => {
  test("a cart written through one host is read through another, and is there after all three were killed", async () => {
    const put = await through[0].put("carts/alice", "book");
    assert.equal(put.status, 200);
    assert.ok(put.json.receipt!.durable.length >= 2);
    assert.deepEqual((await through[1].get("carts/alice")).values, ["book"]);
    await hosts.killAll();
    await hosts.startAll();
    for (const host of through) assert.deepEqual((await host.get("carts/alice")).values, ["book"]);
  });

  test("two shoppers writing at once leave two siblings, and a write that had seen both leaves one", async () => {
    const { context } = await through[0].put("carts/bob", "empty");
    const both = await Promise.all([
      through[1].put("carts/bob", "lamp", { context }),
      through[2].put("carts/bob", "pen", { context }),
    ]);
    assert.deepEqual(
      both.map(({ status }) => status),
      [200, 200],
    );
    const read = await through[0].get("carts/bob");
    assert.deepEqual(read.values, ["lamp", "pen"]);
    const merged = await through[2].put("carts/bob", "lamp, pen", { context: read.context });
    assert.equal(merged.status, 200);
    assert.ok(merged.context !== undefined, "the value is alone, so the writer may write on");
    for (const host of through) assert.deepEqual((await host.get("carts/bob")).values, ["lamp, pen"]);
  });

  test("with one of three killed, reads and writes go on, and the writes reach it when it is back", async () => {
    assert.equal((await through[2].put("one-down/before", "1")).status, 200);
    await hosts.signal(2, "SIGKILL");
    for (const host of [through[0], through[1]]) {
      assert.deepEqual((await host.get("one-down/before")).values, ["1"]);
    }
    for (let i = 0; i < 20; i++) {
      assert.equal((await through[i % 2]!.put(`one-down/${i}`, `${i}`)).status, 200);
      assert.deepEqual((await through[(i + 1) % 2]!.get(`one-down/${i}`)).values, [`${i}`]);
    }
    assert.equal((await through[0].get("one-down/never-written")).status, 404, "two of three agree that it is absent");
    hosts.start(2);
    await hosts.ready(2);
    for (let i = 0; i < 20; i++) assert.deepEqual((await through[2].get(`one-down/${i}`)).values, [`${i}`]);
  });

  test("with two of three killed, w=1 and r=1 go on, and a quorum is refused with what it needed and got", async () => {
    assert.equal((await through[0].put("two-down/before", "1")).status, 200);
    await Promise.all([hosts.signal(1, "SIGKILL"), hosts.signal(2, "SIGKILL")]);
    const lonely = through[0];

    const refused = await lonely.put("two-down/quorum", "2", { query: "timeoutMs=2000" });
    assert.equal(refused.status, 503);
    assert.equal(refused.json.error?.code, "quorum-not-met");
    assert.deepEqual([refused.json.error?.needed, refused.json.error?.got], [2, 1]);
    const unread = await lonely.get("two-down/before", "timeoutMs=2000");
    assert.deepEqual([unread.status, unread.json.error?.code], [503, "quorum-not-met"]);
    assert.deepEqual([unread.json.error?.needed, unread.json.error?.got], [2, 1]);

    assert.equal((await lonely.put("two-down/one", "3", { query: "w=1" })).status, 200);
    assert.deepEqual((await lonely.get("two-down/one", "r=1")).values, ["3"]);
    assert.deepEqual((await lonely.get("two-down/before", "r=1")).values, ["1"]);

    await hosts.startAll();
    // A write that one host acknowledged is sure to be seen by a read that asks all.
    for (const host of through) assert.deepEqual((await host.get("two-down/one", "r=all")).values, ["3"]);
  });

  test("a paused host is routed around, and used again when it runs", async () => {
    const { id } = await hosts.status(2);
    const durable = async (key: string): Promise<readonly string[]> => {
      const put = await through[0].put(key, "x");
      assert.equal(put.status, 200);
      return put.json.receipt!.durable;
    };
    await hosts.signal(2, "SIGSTOP");
    try {
      for (let i = 0; i < 10; i++) {
        assert.ok(!(await durable(`paused/${i}`)).includes(id));
        assert.equal((await through[1].get(`paused/${i}`)).status, 200);
      }
      const isAlive = async (): Promise<boolean> =>
        (await hosts.status(0)).members.some((member) => member.id === id && member.alive);
      await eventually(async () => {
        await through[0].get("paused/0");
        return !(await isAlive());
      }, "the paused host to be suspected");
    } finally {
      await hosts.signal(2, "SIGCONT");
    }
    await hosts.settled();
    const local = async (): Promise<readonly string[]> => {
      await durable("paused/again");
      return (await through[2].get("paused/again", "local=1")).values;
    };
    await eventually(async () => (await local()).length > 0, "a write to reach the host that was paused");
    assert.deepEqual((await through[2].get("paused/9")).values, ["x"]);
  });
});

describe("a host whose disk was lost", () => {
  test("comes back under its name and coordinates at once, and none of its new writes is taken for an old one", async () => {
    // riak_kv#679: the new counter of a wiped coordinator hid below the one that the others remembered.
    const { id } = await hosts.status(1);
    const keys = Array.from({ length: 16 }, (_, i) => `wiped/${i}`);
    const contexts: (string | undefined)[] = [];
    for (const key of keys) {
      let context: string | undefined;
      for (let round = 0; round < 4; round++) {
        const put = await through[1].put(key, `old ${round}`, { context });
        assert.equal(put.status, 200);
        context = put.context;
      }
      contexts.push(context);
    }

    await hosts.signal(1, "SIGKILL");
    hosts.wipe(1);
    hosts.start(1);
    const late = keys.map(async (key, i) => {
      // Half know what is there, half do not; all write as soon as the host takes anything, each try being the same event.
      const context = i % 2 === 0 ? contexts[i] : undefined;
      const headers = { "everwrite-write-id": `${i}`.padStart(16, "0") };
      await eventually(async () => {
        const answer = await through[1].put(key, "new", { context, headers }).catch(() => undefined);
        return answer?.status === 200;
      }, `the wiped host to take ${key}`);
    });
    await Promise.all(late);

    for (const [i, key] of keys.entries()) {
      const expected = i % 2 === 0 ? ["new"] : ["new", "old 3"];
      for (const host of through) assert.deepEqual((await host.get(key)).values, expected, key);
    }
    await hosts.settled();
    assert.equal((await hosts.status(1)).id, id);
    for (const [i, key] of keys.entries()) {
      const local = await through[1].get(key, "local=1");
      assert.equal(local.json.holding, "complete");
      assert.deepEqual(local.values, i % 2 === 0 ? ["new"] : ["new", "old 3"], key);
    }
    const { members } = await getJson<{ members: { id: string }[] }>(`${hosts.url(0)}/members`);
    assert.equal(members.length, 3, "it is the same member");
  });
});
