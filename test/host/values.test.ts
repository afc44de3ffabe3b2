/** Values that five applications change at once, each in a process of its own, while hosts are killed and links are cut. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Cart, cart, type Counter, counter } from "../../core/index.ts";
import { openStore } from "../../node-host/index.ts";
import { eventually } from "../support/eventually.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { LinkProxy } from "../support/link-proxy.ts";
import { freePort } from "../support/ports.ts";
import { temporaryDirectory } from "./temporary-directory.ts";
import { type ToldChange, union } from "./values-app.ts";

const app = fileURLToPath(new URL("./values-app.js", import.meta.url));
const applications = 5;
/** By each application, of the list and of the cart; of the counter a fifth of it. */
const changesEach = 100;

class Application {
  readonly changes: ToldChange[] = [];
  readonly ended: Promise<unknown>;
  readonly kill: () => void;

  constructor(name: string, data: string, seeds: readonly string[]) {
    const child = spawn(process.execPath, [app, name, data, String(changesEach), ...seeds], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.kill = () => void child.kill("SIGKILL");
    let rest = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      this.changes.push(...lines.map((line) => JSON.parse(line) as ToldChange));
    });
    this.ended = once(child, "close").then(([code]) => assert.equal(code, 0, `${name} ended with ${code}`));
  }
}

const addressOf = (port: number): string => `/ip4/127.0.0.1/tcp/${port}`;

test("500 changes of a list and 500 of a cart by five edges, while hosts are killed and the edges' links are cut: no addition is lost, a cart's removals stay, a counter is exact", async (t) => {
  const folder = dirname(temporaryDirectory());
  await using hosts = new HostProcesses(folder);
  const proxies: LinkProxy[] = [];
  // Edges learn the announced addresses alone; hosts reach each other by the others.
  for (let i = 0; i < 3; i++) {
    const port = await freePort();
    const proxy = await LinkProxy.before(port);
    t.after(() => proxy[Symbol.asyncDispose]());
    proxies.push(proxy);
    await hosts.add({ flags: ["--p2p", addressOf(port), "--announce", addressOf(proxy.port)] });
  }
  await hosts.settled();
  const seeds = proxies.map(({ port }) => addressOf(port));
  const running = Array.from({ length: applications }, (_, i) => {
    return new Application(`app${i}`, join(folder, `app${i}`), seeds);
  });
  t.after(() => running.forEach((each) => each.kill()));
  const made = (): number => running.reduce((sum, { changes }) => sum + changes.length, 0);
  const until = (count: number, when: string): Promise<void> =>
    eventually(
      () => made() >= count,
      () => `${count} changes ${when}; there are ${made()}`,
    );
  // Cut from all hosts edges go on by themselves, from two of them by the third.
  const faults = [{ kill: 0 }, { cut: [0, 1, 2] }, { kill: 1 }, { cut: [1, 2] }, { kill: 2 }, { cut: [0, 1, 2] }];
  for (const [i, { kill, cut = [] }] of faults.entries()) {
    const from = 100 + i * 160;
    await until(from, "before a fault");

    if (kill !== undefined) await hosts.signal(kill, "SIGKILL");
    for (const host of cut) proxies[host]!.cut();
    await until(from + 80, kill === undefined ? `without links to ${cut.join()}` : `without host ${kill}`);

    if (kill !== undefined) hosts.start(kill);
    for (const host of cut) proxies[host]!.heal();
  }
  await Promise.all(running.map(({ ended }) => ended));
  const changes = running.flatMap((each) => each.changes);
  const count = (kind: ToldChange["kind"]): number => changes.filter((change) => change.kind === kind).length;
  assert.deepEqual([count("list"), count("cart"), count("counter")], [500, 500, 100]);
  const alone = changes.filter(({ localOnly }) => localOnly).length;
  assert.ok(alone > 80, `${alone} changes were made without a host`);
  await hosts.ready(2);
  await hosts.settled();

  await using store = await openStore({
    role: "edge",
    name: "everwrite",
    data: join(folder, "reader"),
    seeds,
  });
  await store.connected;
  const of = (kind: ToldChange["kind"], verb: ToldChange["verb"]): string[] =>
    changes.filter((change) => change.kind === kind && change.verb === verb).map(({ item }) => item);

  const list = (await store.bucket("lists", { conflict: union }).get("k", { r: "all" })).value ?? [];
  const removedOfList = new Set(of("list", "remove"));
  assert.deepEqual(
    of("list", "add").filter((item) => !removedOfList.has(item) && !list.includes(item)),
    [],
  );

  const items = (await store.bucket<Cart>("carts", { conflict: cart() }).get("k", { r: "all" })).value?.toJSON() ?? {};
  const removedOfCart = new Set(of("cart", "remove"));
  assert.deepEqual(
    Object.keys(items),
    of("cart", "add")
      .filter((item) => !removedOfCart.has(item))
      .toSorted(),
  );
  assert.ok(removedOfCart.size > 20, `${removedOfCart.size} removals`);

  const { value } = await store.bucket<Counter>("counters", { conflict: counter() }).get("k", { r: "all" });
  assert.equal(value?.total, of("counter", "add").length);
});
