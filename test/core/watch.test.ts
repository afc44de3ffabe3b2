import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { nodeDefaults } from "../../core/config.ts";
import { methods } from "../../core/rpc/rpc.ts";
import { eventually } from "../support/eventually.ts";
import { MemoryCluster } from "../support/memory-cluster.ts";
import { changeFiltersMax } from "../../core/rpc/messages.ts";
import { failsWith, texts, utf8 } from "../support/values.ts";
import { eventsOf, intercept, placed, seen, withCluster } from "./coordinate/scene.ts";
import { Watcher, watching } from "./watcher.ts";

/** Overwrites `name` at `host` with each of the values in turn. */
async function overwrite(cluster: MemoryCluster, host: string, name: string, values: readonly string[]): Promise<void> {
  for (const value of values) {
    const { context } = await cluster.node(host).get("b", name);
    await cluster.node(host).put("b", name, utf8(value), context === null ? {} : { context });
  }
}

describe("watching one key", { concurrency: true }, () => {
  test("tells the present state first, absent too, then each change up to the last", () =>
    withCluster(3, async (cluster) => {
      await watching(cluster.node("h2"), { name: "k" }, async (watcher) => {
        await watcher.shows("k", "");
        await overwrite(cluster, "h1", "k", ["v1"]);
        await watcher.shows("k", "v1");
        await cluster.node("h3").put("b", "k", utf8("v2"));
        await watcher.shows("k", "v1+v2");
        const { context } = await cluster.node("h1").get("b", "k");
        await cluster.node("h1").delete("b", "k", { context: context! });
        await watcher.shows("k", "");
        assert.ok(watcher.told.every(({ bucket, name }) => bucket === "b" && name === "k"));
      });
    }));

  test("tells a state once, however many hosts tell of it", () =>
    withCluster(3, async (cluster) => {
      await watching(cluster.node("h1"), { name: "k" }, async (watcher) => {
        await watcher.shows("k", "");
        await overwrite(cluster, "h2", "k", ["v1"]);
        await watcher.shows("k", "v1");
        await cluster.node("h3").get("b", "k", { r: "all" });
        await overwrite(cluster, "h2", "k", ["v2"]);
        await watcher.shows("k", "v2");
        assert.deepEqual(watcher.values, ["", "v1", "v2"]);
      });
    }));

  test("goes on at another owner when the one that is followed goes down, and when it is back", () =>
    withCluster(4, async (cluster) => {
      const { name, walk } = await placed(cluster);
      const [first, second, , outsider] = walk as [string, string, string, string];
      await watching(cluster.node(outsider), { name }, async (watcher) => {
        await watcher.shows(name, "");
        cluster.kill(first);
        await seen(cluster.node(second), first, false);
        await overwrite(cluster, second, name, ["while away"]);
        await watcher.shows(name, "while away");
        await cluster.start(first);
        await cluster.settled();
        await overwrite(cluster, second, name, ["back again"]);
        await watcher.shows(name, "back again");
        // Each change of owner reads the key anew, which tells only what is new.
        assert.deepEqual(watcher.values, ["", "while away", "back again"]);
      });
    }));

  test("misses no last state although the log overflows between two looks", () =>
    withCluster(
      3,
      async (cluster) => {
        await watching(cluster.node("h3"), { name: "k" }, async (watcher) => {
          await watcher.shows("k", "");
          const others = Array.from({ length: 40 }, (_, i) => cluster.node("h1").put("b", `other${i}`, utf8("x")));
          await Promise.all([overwrite(cluster, "h2", "k", ["last"]), ...others]);
          await watcher.shows("k", "last");
        });
      },
      { changeLogEntriesMax: 2 },
    ));
});

describe("watching a prefix", { concurrency: true }, () => {
  test("any that a key may have; a longer one is refused before the stream begins", () =>
    withCluster(3, async (cluster) => {
      const longest = "k".repeat(1_022);
      await watching(cluster.node("h2"), { prefix: longest }, async (watcher) => {
        await cluster.node("h1").put("b", longest, utf8("v"));
        await watcher.shows(longest, "v");
      });
      const watch = () => cluster.node("h1").watch("b", { prefix: `${longest}k` }, new AbortController().signal);
      assert.throws(watch, failsWith("bad-request"));
    }));

  test("tells every key under it as it is, then changes and deletes, and nothing else", () =>
    withCluster(3, async (cluster) => {
      await overwrite(cluster, "h1", "a1", ["before"]);
      await overwrite(cluster, "h1", "z", ["not this"]);
      await watching(cluster.node("h2"), { prefix: "a" }, async (watcher) => {
        await watcher.shows("a1", "before");
        await overwrite(cluster, "h3", "a2", ["new"]);
        await watcher.shows("a2", "new");
        await overwrite(cluster, "h1", "z", ["nor this"]);
        const { context } = await cluster.node("h1").get("b", "a1");
        await cluster.node("h1").delete("b", "a1", { context: context! });
        await watcher.shows("a1", "");
        assert.deepEqual([...watcher.latest.keys()].toSorted(), ["a1", "a2"]);
      });
    }));

  test("tells no state twice, and none after a later one, however many hosts tell of it", () =>
    withCluster(3, async (cluster) => {
      const values = Array.from({ length: 60 }, (_, i) => `v${String(i).padStart(2, "0")}`);
      await watching(cluster.node("h1"), { prefix: "" }, async (watcher) => {
        await overwrite(cluster, "h2", "k", values);
        await watcher.shows("k", values.at(-1)!);
        await cluster.node("h3").get("b", "k", { r: "all" });
        await pause(100);
        assert.deepEqual(watcher.values, [...new Set(watcher.values)].toSorted());
      });
    }));

  test("misses no key although the log overflows while many are written", () =>
    withCluster(
      3,
      async (cluster) => {
        await watching(cluster.node("h1"), { prefix: "" }, async (watcher) => {
          const keys = Array.from({ length: 60 }, (_, i) => `key${i}`);
          await Promise.all(keys.map((name, i) => cluster.node(`h${1 + (i % 3)}`).put("b", name, utf8(name))));
          await eventually(() => keys.every((name) => watcher.latest.get(name) === name), "all 60 keys");
        });
      },
      { changeLogEntriesMax: 2 },
    ));

  test("tells of deletes also when the log has forgotten them", () =>
    withCluster(
      1,
      async (cluster) => {
        const node = cluster.node("h1");
        const names = Array.from({ length: 12 }, (_, i) => `k${i}`);
        for (const name of names) await node.put("b", name, utf8(name));
        await watching(node, { prefix: "k" }, async (watcher) => {
          await eventually(() => watcher.latest.size === names.length, "the present state");
          const reads = await Promise.all(names.map((name) => node.get("b", name)));
          await Promise.all(names.map((name, i) => node.delete("b", name, { context: reads[i]!.context! })));
          await eventually(() => [...watcher.latest.values()].every((value) => value === ""), "every delete");
        });
      },
      { changeLogEntriesMax: 4 },
    ));

  test("tells of keys that lie on hosts which joined later, and on no other", () =>
    withCluster(1, async (cluster) => {
      await watching(cluster.node("h1"), { prefix: "" }, async (watcher) => {
        for (const name of ["h2", "h3", "h4"]) await cluster.join(name);
        await cluster.settled(4);
        const { name } = await placed(cluster, (walk) => walk[3] === "h1");
        await overwrite(cluster, "h3", name, ["elsewhere"]);
        await watcher.shows(name, "elsewhere");
      });
    }));

  test("tells the present state as soon as it can be read, when it could not at first", () =>
    withCluster(
      1,
      async (cluster) => {
        await overwrite(cluster, "h1", "k", ["there before"]);
        cluster.disk("h1").refusesReads = "io";
        await watching(cluster.node("h1"), { prefix: "" }, async (watcher) => {
          const hasFailed = (): boolean => eventsOf(cluster, "task-failed").some(({ task }) => task === "watch");
          await eventually(hasFailed, "the first try to fail");
          cluster.disk("h1").refusesReads = undefined;
          await watcher.shows("k", "there before");
        });
      },
      { cacheBytesMax: 0 },
    ));

  test("goes on across the restart of a host, a wiped one and a new one", () =>
    withCluster(3, async (cluster) => {
      await watching(cluster.node("h1"), { prefix: "" }, async (watcher) => {
        cluster.kill("h3");
        await seen(cluster.node("h1"), "h3", false);
        await overwrite(cluster, "h2", "one", ["h3 is down"]);
        await watcher.shows("one", "h3 is down");
        await cluster.start("h3");
        await cluster.settled();
        await overwrite(cluster, "h3", "two", ["h3 is back"]);
        await watcher.shows("two", "h3 is back");
        cluster.kill("h2");
        cluster.wipe("h2");
        await cluster.start("h2", { seeds: ["memory:h1"] });
        await cluster.start("h4", { seeds: ["memory:h1"] });
        await cluster.settled(4);
        await overwrite(cluster, "h4", "three", ["h4 is new"]);
        await watcher.shows("three", "h4 is new");
      });
    }));
});

test("many watches of one host share one long request, short enough that an idle host is not taken for silent", () =>
  withCluster(3, async (cluster) => {
    let [waiting, most, polls] = [0, 0, 0];
    const transport = cluster.transport("h1");
    const request = transport.request.bind(transport);
    transport.request = async (to, body, timeoutMs) => {
      const isChanges = to === "h2" && body[0] === methods.changes.number;
      const { waitMs } = isChanges ? methods.changes.request.decode(body.subarray(1)) : { waitMs: 0 };
      if (waitMs === 0) return request(to, body, timeoutMs);
      assert.ok(waitMs < nodeDefaults.suspectAfterMs);
      polls += 1;
      waiting += 1;
      most = Math.max(most, waiting);
      return request(to, body, timeoutMs).finally(() => (waiting -= 1));
    };
    const prefixes = Array.from({ length: 40 }, (_, i) => `${i}/`);
    const watchers = prefixes.map((prefix) => new Watcher(cluster.node("h1"), { prefix }));
    await eventually(() => polls >= 2, "two rounds of one request");
    for (const [i, prefix] of prefixes.entries()) {
      await cluster.node("h2").put("b", `${prefix}k`, utf8("v"));
      await watchers[i]!.shows(`${prefix}k`, "v");
    }
    assert.equal(most, 1);
    await Promise.all(watchers.map((watcher) => watcher.end()));
  }));

test("who watches the same shares one filter, and each hears of a change", () =>
  withCluster(2, async (cluster) => {
    const counts = new Set<number>();
    intercept(cluster, "h1", (to, body) => {
      const isPoll = to === "h2" && body[0] === methods.changes.number;
      const { filters, waitMs } = isPoll
        ? methods.changes.request.decode(body.subarray(1))
        : { filters: [], waitMs: 0 };
      if (waitMs > 0) counts.add(filters.length);
      return undefined;
    });
    const watchers = Array.from({ length: 30 }, () => new Watcher(cluster.node("h1"), { prefix: "k" }));
    for (const value of ["v1", "v2"]) {
      const { context } = await cluster.node("h2").get("b", "k");
      await cluster.node("h2").put("b", "k", utf8(value), context === null ? {} : { context });
      for (const watcher of watchers) await watcher.shows("k", value);
    }
    await eventually(() => counts.has(1), "a poll of all");
    assert.ok(Math.max(...counts) < watchers.length, `as many filters as ${[...counts].join()}`);
    await Promise.all(watchers.map((watcher) => watcher.end()));
  }));

test("a host that watches as much as it can refuses another watch, and takes one when one has ended", async () => {
  const cluster = await MemoryCluster.of(1);
  const node = cluster.node("h1");
  const ends = Array.from({ length: changeFiltersMax }, () => new AbortController());
  const begun = ends.map(async ({ signal }, i) => {
    const events = node.watch("b", { name: `k${i}` }, signal)[Symbol.asyncIterator]();
    await events.next();
    return events;
  });
  const watches = await Promise.all(begun);
  const more = () => node.watch("b", { name: "more" }, new AbortController().signal)[Symbol.asyncIterator]().next();
  await assert.rejects(more(), failsWith("overloaded"));
  await watching(node, { name: "k7" }, (watcher) => watcher.shows("k7", ""));
  await node.put("b", "k7", utf8("v"));
  assert.deepEqual(texts((await watches[7]!.next()).value!.siblings), ["v"]);
  ends[7]!.abort();
  await watches[7]!.next();
  assert.equal((await more()).done, false);
  await cluster.stop();
});

test("a watch ends when its node stops", async () => {
  const cluster = await MemoryCluster.of(1);
  const watchers = [{ name: "k" }, { prefix: "" }].map((what) => new Watcher(cluster.node("h1"), what));
  await cluster.node("h1").put("b", "k", utf8("v"));
  for (const watcher of watchers) await watcher.shows("k", "v");
  await cluster.stop();
  for (const watcher of watchers) await watcher.done;
});

test("a watch ends when its signal aborts, also one that was aborted before", () =>
  withCluster(1, async (cluster) => {
    const aborted = AbortSignal.abort();
    const events = cluster.node("h1").watch("b", { name: "k" }, aborted)[Symbol.asyncIterator]();
    assert.equal((await events.next()).done, true);
    await watching(cluster.node("h1"), { name: "k" }, (watcher) => watcher.shows("k", ""));
  }));
