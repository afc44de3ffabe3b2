/** One visitor, several tabs: they are one device, whose node is in one of them. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { DemoProcess } from "./demo-process.ts";
import { Shopper } from "./shopper.ts";

let demo: DemoProcess;
before(async () => {
  demo = await DemoProcess.start();
});
after(() => demo[Symbol.asyncDispose]());

test("three tabs show one cart, which goes on when the tab with the node is closed", async () => {
  await using first = await Shopper.visit(demo.url);
  await first.add("Tea");
  await first.seesCart("1 Tea");
  const { context } = first.browser;
  const second = await Shopper.among(context, demo.url);
  const third = await Shopper.among(context, demo.url);
  for (const shopper of [second, third]) await shopper.seesCart("1 Tea");
  await second.add("Lamp");
  await third.add("Pen");
  for (const shopper of [first, second, third]) await shopper.seesCart("1 Pen", "1 Lamp", "1 Tea");

  // The first had the node.
  await first.page.close();
  await second.add("Kite");
  for (const shopper of [second, third]) await shopper.seesCart("1 Pen", "1 Lamp", "1 Tea", "1 Kite");
  for (const shopper of [second, third]) await shopper.everythingIsEverywhere();
  assert.deepEqual(
    [first, second, third].flatMap(({ problems }) => problems),
    [],
  );
});

test("who is offline stays so in a tab that is opened later, and when that has the node", async () => {
  await using first = await Shopper.visit(demo.url);
  await first.button("Go offline").click();
  await first.sees(/^Offline/);
  const later = await Shopper.among(first.browser.context, demo.url);
  await later.sees(/^Offline/);
  await first.page.close();
  await later.add("Cup");
  await later.seesCart("1 Cup");
  await later.sees(/^Offline/);
  assert.deepEqual((await later.marks()).slice(0, 1), ["on this device"]);
  await later.button("Go online").click();
  await later.everythingIsEverywhere();
  assert.deepEqual([...first.problems, ...later.problems], []);
});
