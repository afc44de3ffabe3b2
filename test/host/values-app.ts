/**
 * An application on an edge of its own: changes a list that is merged by union, a cart and a counter, all of one key, and prints each
 * change once it is acknowledged; ends when hosts have all of it.
 *   values-app <name> <data directory> <changes> <seed...>
 */
import { writeSync } from "node:fs";
import { type Cart, cart, type Counter, counter, merge } from "../../core/index.ts";
import { openStore } from "../../node-host/index.ts";

/** What it prints of a change; the item of an increment is "". */
export interface ToldChange {
  readonly kind: "list" | "cart" | "counter";
  readonly verb: "add" | "remove";
  readonly item: string;
}

/** What all who use these buckets give them. */
export const union = merge<readonly string[]>((lists) => [...new Set(lists.flat())].toSorted());

async function run(name: string, data: string, changes: number, seeds: readonly string[]): Promise<void> {
  await using store = await openStore({ role: "edge", name: "everwrite", data, seeds });
  const lists = store.bucket<readonly string[]>("lists", { conflict: union });
  const carts = store.bucket<Cart>("carts", { conflict: cart() });
  const counters = store.bucket<Counter>("counters", { conflict: counter() });
  const tell = (change: ToldChange): void => void writeSync(1, `${JSON.stringify(change)}\n`);
  for (let i = 0; i < changes; i++) {
    const kind = (["list", "cart", "list", "cart", "counter"] as const)[i % 5]!;
    const removes = i % 3 === 2;
    let item = `${name}.${i}`;
    if (kind === "counter") {
      await counters.update("k", (count) => count.add(1));
      tell({ kind, verb: "add", item: "" });
      continue;
    }
    // Of what is there, it removes what is not its own: so applications meet.
    const victimOf = (all: Iterable<string>): string | undefined => [...all].find((each) => !each.startsWith(name));
    let victim: string | undefined;
    if (kind === "list") {
      await lists.update("k", (list = []) => {
        victim = removes ? victimOf(list) : undefined;
        return victim === undefined ? [...list, item].toSorted() : list.filter((each) => each !== victim);
      });
    } else {
      await carts.update("k", (present) => {
        victim = removes ? victimOf([...present].map(([each]) => each)) : undefined;
        return victim === undefined ? present.add(item) : present.remove(victim);
      });
    }
    item = victim ?? item;
    tell({ kind, verb: victim === undefined ? "add" : "remove", item });
  }
  await store.flush();
}

const [name = "", data = "", changes = "0", ...seeds] = process.argv.slice(2);
if (name !== "") await run(name, data, Number(changes), seeds);
