/** How much one host watches of others, and what becomes of a watch for which there is no room. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ChangeFeeds, type News } from "../../../core/coordinate/change-feeds.ts";
import type { Exchange } from "../../../core/cluster/exchange.ts";
import type { Key, NodeId } from "../../../core/identity.ts";
import type { Stop, Transport } from "../../../core/ports.ts";
import { changeFiltersMax } from "../../../core/rpc/messages.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import { Tasks } from "../../../core/tasks.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { failsWith, microtasks } from "../../support/values.ts";

const host = "h2" as NodeId;
const epoch = "0e".repeat(8);
const filterOf = (name: string) => ({ prefix: `b/${name}`, exact: true });

/** h1 follows h2, whose log is at `sequence` and tells the keys in `changed`. */
function scene() {
  const log = { sequence: 1, changed: [] as { key: string; at: number }[], asked: [] as number[] };
  let wake = (): void => {};
  const request = async (_to: NodeId, body: Uint8Array): Promise<Uint8Array> => {
    const { filters, waitMs } = methods.changes.request.decode(body, 1);
    const results = () =>
      filters.map(({ prefix, after }) => ({
        keys: log.changed.flatMap(({ key, at }) =>
          key === prefix && at >= (after?.sequence ?? Infinity) ? [key] : [],
        ),
        missed: false,
      }));
    if (waitMs > 0) log.asked.push(filters.length);
    if (waitMs > 0 && results().every(({ keys }) => keys.length === 0)) await new Promise<void>((end) => (wake = end));
    return methods.changes.response.encode({ results: results(), epoch, sequence: log.sequence }, 0);
  };
  const telemetry = { event: () => {} };
  const feeds = new ChangeFeeds({
    transport: { request } as unknown as Transport,
    exchange: { view: () => ({ ring: "00".repeat(8), life: 1 }) } as unknown as Exchange,
    tasks: new Tasks({ clock: new ManualClock(), telemetry }),
    telemetry,
  });
  const heard = new Map<string, News[]>();
  const watch = (name: string): Stop => {
    const leave = feeds.watch(filterOf(name));
    const news: News[] = [];
    heard.set(name, news);
    const stop = feeds.follow(host, filterOf(name), (each) => news.push(each));
    return () => (leave(), stop());
  };
  const changes = async (key: string): Promise<void> => {
    log.changed.push({ key, at: log.sequence });
    log.sequence += 1;
    wake();
    await microtasks();
  };
  return { feeds, log, heard, watch, changes };
}

test("as many watches as a question takes are followed by one; the next is refused, until one ends, and harms none", async () => {
  const { feeds, log, heard, watch, changes } = scene();
  const stops = Array.from({ length: changeFiltersMax }, (_, i) => watch(`k${i}`));
  await microtasks();
  assert.equal(feeds.room, 0);
  assert.throws(() => watch("more"), failsWith("overloaded"));
  const again = feeds.watch(filterOf("k7"));
  again();
  await changes("b/k7");
  await changes(`b/k${changeFiltersMax - 1}`);
  await changes("b/k7");
  assert.deepEqual(heard.get("k7")?.slice(0, 2), ["everything", ["b/k7" as Key]]);
  assert.ok(heard.get(`k${changeFiltersMax - 1}`)!.length > 1);
  assert.ok(![...heard.values()].some((news) => news.includes("lost")));
  assert.ok(log.asked.includes(changeFiltersMax));
  stops[0]!();
  watch("more")();
});

test("those who watch the same from different positions are asked for once, and none misses a change", async () => {
  const { feeds, log, changes } = scene();
  const heard: News[][] = [];
  for (let i = 0; i < 3; i++) {
    const news: News[] = [];
    heard.push(news);
    feeds.follow(host, filterOf("k"), (each) => news.push(each));
    await microtasks();
    log.sequence += 1;
  }
  await changes("b/k");
  await changes("b/k");
  assert.deepEqual(
    log.asked.slice(1),
    log.asked.slice(1).map(() => 1),
  );
  for (const news of heard) assert.deepEqual(news.slice(0, 2), ["everything", ["b/k" as Key]]);
});
