/** Values that five applications change at once, each in a process of its own, while hosts are killed. */
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
import { temporaryDirectory } from "./temporary-directory.ts";
import { type ToldChange, union } from "./values-app.ts";

const app = fileURLToPath(new URL("./values-app.js", import.meta.url));
const applications = 5;
const changesEach = 100;

class Application {
  readonly changes: ToldChange[] = [];
  readonly ended: Promise<unknown>;

  constructor(name: string, data: string, seeds: readonly string[]) {
    const child = spawn(process.execPath, [app, name, data, String(changesEach), ...seeds], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let rest = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      this.changes.push(...lines.map((line) => JSON.parse(line) as ToldChange));
    });
    this.ended = once(child, "close").then(([code]) => assert.equal(code, 0, `${name} ended with ${code}`));
  }
}

test("500 changes by five edges while hosts are killed: no addition is lost, a cart's removals stay, a counter is exact", async () => {
  const folder = dirname(temporaryDirectory());
  await using hosts = await HostProcesses.of(3, folder);
  const running = Array.from({ length: applications }, (_, i) => {
    return new Application(`app${i}`, join(folder, `app${i}`), hosts.addresses);
  });
  const made = (): number => running.reduce((sum, { changes }) => sum + changes.length, 0);
  for (const [host, from] of [50, 200, 350].entries()) {
    await eventually(() => made() >= from, `${from} changes`);
    await hosts.signal(host, "SIGKILL");
    await eventually(() => made() >= from + 50, `${from + 50} changes with a host down`);
    hosts.start(host);
  }
  await Promise.all(running.map(({ ended }) => ended));
  const changes = running.flatMap((each) => each.changes);
  assert.equal(changes.length, applications * changesEach);
  await hosts.ready(2);
  await hosts.settled();

  await using store = await openStore({
    role: "edge",
    name: "everwrite",
    data: join(folder, "reader"),
    seeds: hosts.addresses,
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
