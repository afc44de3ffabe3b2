/** A cart's rule is switched while a device that shares it does not know: what it adds there meanwhile is in the cart all the same. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { CartSession } from "../../web-demo/model/cart-session.ts";
import { contents } from "../../web-demo/model/happenings.ts";
import type { RuleName } from "../../web-demo/store/settings.ts";
import { Shop, type ShopSchema } from "../../web-demo/store/shop.ts";
import { eventually } from "../support/eventually.ts";
import { MemoryCluster } from "../support/memory-cluster.ts";
import { MemoryEdges } from "../support/memory-edges.ts";
import { storeOver } from "../support/memory-stores.ts";
import { DemoProcess } from "./demo-process.ts";
import { Shopper } from "./shopper.ts";

/** A device that has a cart on its screen. */
interface Device {
  readonly name: string;
  readonly shop: Shop;
  readonly session: CartSession;
}

const shown = ({ session }: Device): string => contents(session.state.value.cart);

/** Devices that share a cart, as edges of hosts in memory. */
class Devices {
  readonly #cluster: MemoryCluster;
  readonly #edges: MemoryEdges;
  readonly #open = new Map<string, Device>();

  private constructor(cluster: MemoryCluster) {
    this.#cluster = cluster;
    this.#edges = new MemoryEdges(cluster);
  }

  static async with(body: (devices: Devices) => Promise<void>): Promise<void> {
    const devices = new Devices(await MemoryCluster.of(3));
    try {
      await body(devices);
    } finally {
      for (const { session } of devices.#open.values()) session.close();
      await devices.#edges.stop();
      await devices.#cluster.stop();
    }
  }

  async open(name: string, network: "online" | "offline" = "online"): Promise<Device> {
    const spec = network === "offline" ? { seeds: [] } : {};
    const shop = new Shop(storeOver<ShopSchema>(await this.#edges.start(name, spec)));
    const device = { name, shop, session: new CartSession(shop, "shared", 3) };
    this.#open.set(name, device);
    await eventually(() => device.session.state.value.isRuleKnown, `${name} to be let in`);
    return device;
  }

  /** Without a word; its disk stays. */
  async kill({ name, session }: Device): Promise<void> {
    this.#open.delete(name);
    session.close();
    await this.#edges.kill(name);
  }

  async cut({ name, shop }: Device): Promise<void> {
    this.#edges.cut(name);
    await eventually(() => !shop.store.status().connected, `${name} to be offline`);
  }

  heal({ name }: Device): void {
    this.#edges.heal(name);
  }

  /**
   * No device knows of a stray, nor is taking one along, nor has a write under way. Of one moment, and by what each has heard:
   * one that hosts have lost already is taken along by a device that has not been told so yet.
   */
  async noneIsTaking(rule: RuleName): Promise<void> {
    const devices = [...this.#open.values()];
    const hasStray = new Map<string, boolean>();
    const stops = devices.flatMap(({ name, shop }) =>
      shop.elsewhere(rule).map((bucket) => {
        const place = `${bucket.name} of ${name}`;
        hasStray.set(place, true);
        return bucket.subscribe("shared", ({ versions }) => hasStray.set(place, versions.length > 0));
      }),
    );
    const isIdle = ({ shop, session }: Device): boolean =>
      shop.store.status().settled && session.changes.entries.value.every(({ saved }) => saved.kind !== "saving");
    await eventually(
      () => ![...hasStray.values()].some(Boolean) && devices.every(isIdle),
      "all to be taken along",
    ).finally(() => stops.forEach((stop) => stop()));
  }

  async allShow(wanted: string): Promise<void> {
    const all = (): string[] => [...this.#open.values()].map(shown);
    await eventually(
      () => all().every((each) => each === wanted),
      () => `[${wanted}] on each device, not ${all().join(" | ")}`,
    );
  }
}

const isSwitched = (device: Device, rule: RuleName): Promise<void> =>
  eventually(() => device.session.state.value.settings.rule === rule, `${device.name} to follow the rule ${rule}`);

describe("what a device adds while another switches the rule is in the cart", () => {
  const switches = [
    ["union", "crdt"],
    ["union", "lww"],
    ["crdt", "union"],
    ["crdt", "lww"],
    ["lww", "crdt"],
  ] as const;
  for (const [from, to] of switches) {
    for (const isReloaded of [false, true]) {
      test(`from ${from} to ${to}${isReloaded ? ", of a page that is closed meanwhile" : ""}`, async () => {
        await Devices.with(async (devices) => {
          let one = await devices.open("one");
          const two = await devices.open("two");
          if (from !== "union") await two.session.setRule(from);
          for (const device of [one, two]) await isSwitched(device, from);
          await two.session.add("book");
          await devices.allShow("Book");

          await devices.cut(one);
          // Of lww the last write is to be the one that nobody knows of.
          if (from !== "lww") await one.session.add("tea");
          await two.session.setRule(to);
          await two.session.add("kite");
          if (from === "lww") await one.session.add("tea");
          await one.session.add("pen");
          if (isReloaded) {
            await devices.kill(one);
            one = await devices.open("one");
            await eventually(() => shown(one) === "Book, Pen, Tea", "what was added before");
          }
          devices.heal(one);
          await isSwitched(one, to);
          await devices.allShow("Book, Pen, Tea, Kite");
          // A union may bring back what is taken out, where the other device has just written.
          if (to === "union") return;
          // Both may take it along; what is taken out before the second has done so comes back.
          await devices.noneIsTaking(to);
          await two.session.setQuantity("tea", 0);
          await devices.allShow("Book, Pen, Kite");
        });
      });
    }
  }
});

/** One has the cart with a book in it; the other too, and is offline. */
async function withOneAway(body: (devices: Devices, away: Device, other: Device) => Promise<void>): Promise<void> {
  await Devices.with(async (devices) => {
    const away = await devices.open("away");
    const other = await devices.open("other");
    await other.session.add("book");
    await devices.allShow("Book");
    await devices.cut(away);
    await body(devices, away, other);
  });
}

test("devices that switch to different rules at the same time have all items under the one that stays", async () => {
  await withOneAway(async (devices, away, other) => {
    await away.session.setRule("lww");
    await away.session.add("tea");
    await other.session.setRule("crdt");
    await other.session.add("kite");
    devices.heal(away);
    await devices.allShow("Book, Tea, Kite");
    assert.equal(away.session.state.value.settings.rule, other.session.state.value.settings.rule);
  });
});

test("a cart that is named by a device that did not know of its rule, which is that of before then, loses no item", async () => {
  await withOneAway(async (devices, away, other) => {
    await other.session.setRule("crdt");
    await other.session.add("kite");
    await away.session.rename("Picnic");
    devices.heal(away);
    await isSwitched(other, "union");
    await devices.allShow("Book, Kite");
  });
});

test("to a visitor who decides, what a device wrote under the rule of before is a version of the cart", async () => {
  await withOneAway(async (devices, away, other) => {
    devices.heal(away);
    await other.session.setRule("crdt");
    await isSwitched(away, "crdt");
    await devices.allShow("Book");
    await devices.cut(away);
    await away.session.add("tea");
    await other.session.setRule("siblings");
    await isSwitched(other, "siblings");
    await other.session.add("kite");
    devices.heal(away);
    const { state } = other.session;
    await eventually(() => state.value.versions.length > 1, "versions side by side");
    assert.deepEqual([...new Set(state.value.versions.map(contents))].toSorted(), ["Book, Kite", "Book, Tea"]);
    await other.session.resolve(state.value.cart);
    await devices.allShow("Book, Tea, Kite");
  });
});

test("what was added by a guess at the rule, before the page was closed, goes along when the rule is known", async () => {
  await Devices.with(async (devices) => {
    const other = await devices.open("other");
    await other.session.setRule("crdt");
    await other.session.add("book");
    let guest = await devices.open("guest", "offline");
    await guest.session.add("tea");
    await devices.kill(guest);
    guest = await devices.open("guest");
    await devices.allShow("Book, Tea");
    assert.equal(guest.session.state.value.settings.rule, "crdt");
  });
});

test("where the last write wins a switch is one: what it did not know of and is older has lost, which is told", async () => {
  await withOneAway(async (devices, away, other) => {
    devices.heal(away);
    await other.session.setRule("lww");
    for (const device of [away, other]) await isSwitched(device, "lww");
    await devices.allShow("Book");
    await devices.cut(away);
    await away.session.add("tea");
    await other.session.setRule("crdt");
    devices.heal(away);
    const { state } = away.session;
    await eventually(() => state.value.happenings.some(({ kind }) => kind === "lost"), "the loss to be told");
    assert.match(state.value.happenings[0]!.text, /\[Book, Tea\] is gone/);
    await devices.allShow("Book");
  });
});

describe("in the shop", () => {
  let demo: DemoProcess;
  before(async () => {
    demo = await DemoProcess.start();
  });
  after(() => demo[Symbol.asyncDispose]());

  const setRule = async ({ page }: Shopper, name: string): Promise<void> => {
    await page.getByLabel("Merge rule of this cart").selectOption({ label: name });
  };

  test("what is added offline, also after a reload, is in the cart though another device switched its rule, twice", async () => {
    await using one = await Shopper.visit(demo.url);
    await one.add("Book");
    await one.everythingIsEverywhere();
    await one.page.evaluate("navigator.serviceWorker.ready");
    await using two = await Shopper.visit(demo.url, await one.shareCart());
    await two.seesCart("1 Book");

    const switched = [
      ["CRDT cart", "Tea", "Soap", ["1 Book", "1 Tea", "1 Kite", "1 Soap"]],
      ["Union of carts", "Map", "Bell", ["1 Book", "1 Tea", "1 Map", "2 Kite", "1 Soap", "1 Bell"]],
    ] as const;
    for (const [rule, before, later, wanted] of switched) {
      await one.button("Go offline").click();
      await one.sees(/^Offline/);
      await one.browser.context.setOffline(true);
      await setRule(two, rule);
      await two.add("Kite");
      await two.everythingIsEverywhere();
      await one.add(before);
      await eventually(async () => (await one.marks())[0] === "on this device", "the change to be kept");
      await one.page.reload();
      await one.add(later);
      await eventually(async () => (await one.newestChange())?.what === `${later} added`, "the change");
      await one.browser.context.setOffline(false);
      await one.button("Go online").click();
      for (const shopper of [one, two]) await shopper.seesCart(...wanted);
    }
    assert.deepEqual([...one.problems, ...two.problems], []);
  });

  test("what is bought offline under the rule of before is an order, and nothing that another device added is gone", async () => {
    await using one = await Shopper.visit(demo.url);
    await one.add("Book");
    await one.everythingIsEverywhere();
    await using two = await Shopper.visit(demo.url, await one.shareCart());
    await two.seesCart("1 Book");

    await one.button("Go offline").click();
    await one.sees(/^Offline/);
    await setRule(two, "CRDT cart");
    await two.add("Kite");
    await one.add("Tea");
    await one.seesCart("1 Book", "1 Tea");
    await one.goTo("checkout");
    await one.button("Place the order").click();
    await one.sees("Your order is placed");
    await one.goTo("");
    await one.add("Soap");
    await one.button("Go online").click();
    // Of the book it cannot be told that it was bought: as if it had been changed on both devices, it comes back.
    for (const shopper of [one, two]) await shopper.seesCart("1 Book", "1 Kite", "1 Soap");
    await one.goTo("orders");
    await one.sees("Book, Tea");
    assert.deepEqual([...one.problems, ...two.problems], []);
  });
});
