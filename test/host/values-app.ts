/**
 * An application on an edge of its own: changes a list that is merged by union, a cart and a counter, each of one key, side by
 * side, and prints each change once it is acknowledged; ends when hosts have all of it.
 *   values-app <name> <data directory> <changes of list and cart> <seed...>
 */
import { writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type Cart, cart, type Counter, counter, merge } from "../../core/index.ts";
import { openStore } from "../../node-host/index.ts";

/** What it prints of a change; the item of an increment is "". */
export interface ToldChange {
  readonly kind: "list" | "cart" | "counter";
  readonly verb: "add" | "remove";
  readonly item: string;
  /** No host had it yet. */
  readonly localOnly: boolean;
}

/** As people change something: without it an edge that is offline would be done with all at once. */
const pauseMs = 50;

/** What all who use these buckets give them. */
export const union = merge<readonly string[]>((lists) => [...new Set(lists.flat())].toSorted());

async function run(name: string, data: string, changes: number, seeds: readonly string[]): Promise<void> {
  await using store = await openStore({ role: "edge", name: "everwrite", data, seeds });
  const lists = store.bucket<readonly string[]>("lists", { conflict: union });
  const carts = store.bucket<Cart>("carts", { conflict: cart() });
  const counters = store.bucket<Counter>("counters", { conflict: counter() });
  const tell = (change: ToldChange): void => void writeSync(1, `${JSON.stringify(change)}\n`);
  // Of what is there, it removes what is not its own: so applications meet.
  const victimOf = (all: Iterable<string>): string | undefined => [...all].find((each) => !each.startsWith(name));
  const tellItem = (kind: "list" | "cart", added: string, removed: string | undefined, localOnly: boolean): void =>
    tell({ kind, verb: removed === undefined ? "add" : "remove", item: removed ?? added, localOnly });

  const changeList = async (item: string, removes: boolean): Promise<void> => {
    let victim: string | undefined;
    const { localOnly } = await lists.update("k", (list = []) => {
      victim = removes ? victimOf(list) : undefined;
      return victim === undefined ? [...list, item].toSorted() : list.filter((each) => each !== victim);
    });
    tellItem("list", item, victim, localOnly);
  };
  const changeCart = async (item: string, removes: boolean): Promise<void> => {
    let victim: string | undefined;
    const { localOnly } = await carts.update("k", (present) => {
      victim = removes ? victimOf([...present].map(([each]) => each)) : undefined;
      return victim === undefined ? present.add(item) : present.remove(victim);
    });
    tellItem("cart", item, victim, localOnly);
  };
  const count = async (): Promise<void> => {
    const { localOnly } = await counters.update("k", (present) => present.add(1));
    tell({ kind: "counter", verb: "add", item: "", localOnly });
  };
  await Promise.all(
    [changeList, changeCart, count].map(async (change) => {
      for (let i = 0; i < (change === count ? changes / 5 : changes); i++) {
        await change(`${name}.${i}`, i % 3 === 2);
        await sleep(pauseMs);
      }
    }),
  );
  await store.flush();
}

const [name = "", data = "", changes = "0", ...seeds] = process.argv.slice(2);
if (name !== "") await run(name, data, Number(changes), seeds);
