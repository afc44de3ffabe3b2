/** The guided tour, played as a visitor does: each scene with real devices and hosts, to its end. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { DemoProcess } from "./demo-process.ts";
import { Shopper } from "./shopper.ts";

let demo: DemoProcess;
before(async () => {
  demo = await DemoProcess.start();
});
after(() => demo[Symbol.asyncDispose]());

/** Plays steps in a row, each after the one before has happened. */
async function play(shopper: Shopper, ...steps: readonly (readonly [button: string, after: RegExp])[]): Promise<void> {
  for (const [button, after] of steps) {
    await shopper.page.getByRole("button", { name: button }).click();
    await shopper.page.getByText(after).waitFor({ timeout: 120_000 });
  }
}

/** What both devices of the stage show. */
async function carts(shopper: Shopper): Promise<string[]> {
  return shopper.page.locator(".device .contents").allInnerTexts();
}

async function bothShow(shopper: Shopper, cart: string): Promise<void> {
  let seen: string[] = [];
  await eventually(
    async () => (seen = await carts(shopper)).join(" | ") === `${cart} | ${cart}`,
    () => `both carts to be [${cart}], not [${seen.join(" | ")}]`,
  );
}

async function enter(scene: number): Promise<Shopper> {
  const shopper = await Shopper.visit(demo.url, `tour/${scene}/0`);
  await shopper.page.locator(".device").first().waitFor();
  await shopper.page.getByText("connected", { exact: true }).nth(1).waitFor();
  return shopper;
}

describe("the tour", () => {
  test("two devices add at once: both end with both articles, and the page is accessible", async () => {
    await using shopper = await enter(0);
    await shopper.isAccessible();
    await play(
      shopper,
      ["Cut both devices off", /Every connection of both is closed/],
      ["Add tea here, a kite there", /Two versions of one cart now/],
    );
    assert.deepEqual(await carts(shopper), ["Tea", "Kite"]);
    await play(shopper, ["Connect both", /The hosts kept both versions/]);
    await bothShow(shopper, "Tea, Kite");
    await shopper.sees(/met, and the union of them is \[Tea, Kite\]/);
    await shopper.isAccessible();
    await shopper.photograph("tour");
    assert.deepEqual(shopper.problems, []);
  });

  test("a host dies: the cart goes on, and the host gets what it missed", async () => {
    await using shopper = await enter(1);
    await play(
      shopper,
      ["Kill the first owner of this cart", /Its process is gone/],
      ["Add a lamp and a cup", /Acknowledged by the hosts that are there/],
      ["Start it again", /It was handed what it had missed/],
    );
    await bothShow(shopper, "Lamp, Cup");
    assert.deepEqual(shopper.problems, []);
  });

  test("a day offline: also a reload in the middle loses nothing", async () => {
    await using shopper = await enter(2);
    await shopper.page.evaluate("navigator.serviceWorker.ready");
    await play(
      shopper,
      ["Cut this device off", /The page itself comes from this device too/],
      ["Add a map, a rope and soap", /They wait on this device/],
    );
    await shopper.page.reload();
    await shopper.page
      .getByText("cut off, 3 waiting")
      .or(shopper.page.getByText(/cut off, \d waiting/))
      .waitFor();
    assert.deepEqual(await carts(shopper), ["Map, Rope, Soap", "empty"]);
    await play(
      shopper,
      ["Let a day pass", /This device's clock is a day ahead/],
      ["Connect again", /All of it is at the hosts/],
    );
    await bothShow(shopper, "Map, Rope, Soap");
    assert.deepEqual(shopper.problems, []);
  });

  test("a host joins, takes its share, and leaves again", async () => {
    await using shopper = await enter(3);
    await play(
      shopper,
      ["Start another host", /It took its share of the partitions/],
      ["Add jam", /Where it lives now is under the hood/],
      ["Let it leave again", /It handed everything back/],
    );
    await bothShow(shopper, "Jam");
    assert.deepEqual(shopper.problems, []);
  });

  test("delete against add: under the union the bell comes back, and the page says why; of a CRDT cart it stays out", async () => {
    await using shopper = await enter(4);
    await play(
      shopper,
      ["Put a bell into the cart", /Both devices show it/],
      ["Cut the other device off", /It goes on with what it has/],
      ["Take the bell out here, add a book there", /Here a cart without a bell/],
    );
    assert.deepEqual(await carts(shopper), ["empty", "Book, Bell"]);
    await play(shopper, ["Connect it again", /What became of the bell/]);
    await bothShow(shopper, "Book, Bell");
    await shopper.sees(/^Bell came back/);
    await play(shopper, ["The same with a CRDT cart", /The bell stays out/]);
    await bothShow(shopper, "Book, Pen");
    assert.deepEqual(shopper.problems, []);
  });
});
