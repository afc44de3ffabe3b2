/** Two rings of one cluster name, of real host processes: the paper's logical partition (4.8.2), and how it ends. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import type { NodeStatus } from "../../core/api.ts";
import { eventually } from "../support/eventually.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { getJson, kv } from "../support/http-client.ts";
import { movedAt } from "../support/ring-changes.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const keysOf = (prefix: string, count = 40): string[] => Array.from({ length: count }, (_, i) => `apart/${prefix}${i}`);
const [onlyLeft, onlyRight, inBoth] = [keysOf("left"), keysOf("right"), keysOf("both", 10)];

async function putAll(hosts: HostProcesses, keys: readonly string[], value: string): Promise<void> {
  for (const [i, key] of keys.entries()) {
    assert.equal((await kv(hosts.url(i % hosts.size)).put(key, value, { query: "w=all" })).status, 200);
  }
}

test("two rings that were started apart, with data in each, are one ring once they meet, and nothing is lost", async () => {
  const folder = temporaryDirectory();
  const rightFolder = join(folder, "right");
  await using left = await HostProcesses.of(2, join(folder, "left"));
  await using right = await HostProcesses.of(2, rightFolder);
  await putAll(left, [...onlyLeft, ...inBoth], "left");
  await putAll(right, [...onlyRight, ...inBoth], "right");
  const { context } = await kv(left.url(0)).get(onlyLeft[0]!);
  assert.deepEqual((await kv(right.url(0)).get(onlyLeft[0]!)).values, [], "they know nothing of each other");

  // A host of the right ring is started again with one of the left ring for a seed.
  await right.signal(0, "SIGTERM");
  await using bridge = new HostProcesses(join(folder, "bridge"));
  await bridge.begin({
    data: right.data(0),
    identity: join(rightFolder, "host-1.key"),
    flags: ["--seed", left.address(0)],
  });
  const urls = [...left.urls, right.url(1), bridge.url(0)];
  const meanwhile: string[] = [];
  let tried = 0;
  const isOne = async (): Promise<boolean> => {
    for (const url of [left.url(1), right.url(1)]) {
      // One that fails may be there all the same.
      const key = `apart/meanwhile${tried++}`;
      if ((await kv(url).put(key, "new")).status === 200) meanwhile.push(key);
    }
    const all = await Promise.all(urls.map((url) => getJson<NodeStatus>(`${url}/status`).catch(() => undefined)));
    return all.every((status) => status?.members.filter(({ alive }) => alive).length === 4);
  };
  await eventually(isOne, "all four hosts to know each other");
  await movedAt(urls);

  const expected: readonly (readonly [readonly string[], readonly string[]])[] = [
    [onlyLeft, ["left"]],
    [onlyRight, ["right"]],
    [inBoth, ["left", "right"]],
    [meanwhile, ["new"]],
  ];
  assert.ok(meanwhile.length > 0);
  for (const url of urls) {
    for (const [keys, values] of expected) {
      for (const key of keys) {
        assert.deepEqual((await kv(url).get(key, "r=all")).values, values, `${key} at ${url}`);
      }
    }
  }
  // What the one ring gave out is of use at hosts of the other.
  assert.equal((await kv(right.url(1)).put(onlyLeft[0]!, "next", { context, query: "w=all" })).status, 200);
  assert.deepEqual((await kv(left.url(1)).get(onlyLeft[0]!, "r=all")).values, ["next"]);
});
