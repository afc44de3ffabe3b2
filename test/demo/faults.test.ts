/** What a visitor does to a device or a host: its storage is full, its clock goes ahead by a day, its browser dies. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../support/eventually.ts";
import type { HostStatus } from "../support/host-processes.ts";
import { DemoProcess } from "./demo-process.ts";
import { Shopper } from "./shopper.ts";

const dayMs = 86_400_000;

test("a full device refuses what it cannot keep and says so, reads and hears on, and takes changes when there is room", async () => {
  await using demo = await DemoProcess.start();
  await using shopper = await Shopper.visit(demo.url);
  await shopper.add("Kite");
  await shopper.everythingIsEverywhere();
  const place = await shopper.shareCart();
  await shopper.goTo("lab");
  await shopper.button("Full").click();
  await shopper.goTo("");
  const isRefused = async (): Promise<void> => {
    await shopper.add("Cup");
    await eventually(async () => /^refused: .*0 are left/.test((await shopper.marks())[0] ?? ""), "a refusal");
    await shopper.seesCart("1 Kite");
  };
  await isRefused();
  // It stays so, and is no reason not to open.
  await shopper.page.reload();
  await shopper.seesCart("1 Kite");
  await isRefused();

  await using other = await Shopper.visit(demo.url, place);
  await other.add("Map");
  await other.everythingIsEverywhere();
  await shopper.seesCart("1 Map", "1 Kite");

  await shopper.goTo("lab");
  await shopper.button("Room").click();
  await shopper.goTo("");
  await shopper.add("Cup");
  for (const each of [shopper, other]) await each.seesCart("1 Cup", "1 Map", "1 Kite");
  await eventually(async () => (await shopper.marks())[0] === "everywhere", "the change to be everywhere");
  assert.deepEqual([...shopper.problems, ...other.problems], []);
});

test("a day offline, a killed browser and two hosts killed meanwhile: no item and no order is lost", async () => {
  await using demo = await DemoProcess.start();
  const shopper = await Shopper.visit(demo.url);
  await shopper.add("Tea");
  await shopper.everythingIsEverywhere();
  const place = await shopper.shareCart();
  await shopper.page.evaluate("navigator.serviceWorker.ready");
  await shopper.button("Go offline").click();
  await shopper.sees(/^Offline/);
  await shopper.add("Map", "Rope");
  await shopper.seesCart("1 Tea", "1 Map", "1 Rope");
  await shopper.goTo("lab");
  for (const number of [2, 3]) await shopper.button(`Kill host ${number}`).click();
  await shopper.button("Let a day pass").click();
  await shopper.sees(/It is 1 day ahead/);
  await shopper.goTo("checkout");
  await shopper.button("Place the order").click();
  await shopper.sees("Your order is placed");
  await shopper.goTo("");
  await shopper.add("Soap");
  await eventually(async () => (await shopper.marks())[0] === "on this device", "the change to be kept");
  const { profile } = shopper.browser;
  await shopper.browser.kill();

  await using again = await Shopper.visit(demo.url, "", profile);
  await again.seesCart("1 Soap");
  await again.goTo("orders");
  await again.sees("Tea, Map, Rope");
  const tomorrow = new Intl.DateTimeFormat("en", { dateStyle: "medium" }).format(Date.now() + dayMs);
  assert.ok((await again.page.locator(".order-time").innerText()).startsWith(tomorrow));
  // A browser that is killed may forget the switch, for that is not kept as safely as the cart.
  if ((await again.button("Go online").count()) > 0) await again.button("Go online").click();
  await again.sees("Connected, all is sent");

  // Who has no copy needs a quorum to know what is in it, and adds all the same.
  await using other = await Shopper.visit(demo.url, place);
  await other.sees(/knows of: too few of its hosts have answered/);
  await other.add("Jam");
  await again.goTo("lab");
  for (const number of [2, 3]) await again.button(`Start again host ${number}`).click();
  await eventually(async () => (await again.page.locator(".host.running").count()) === 3, "all hosts to run", 120_000);
  await again.goTo("");
  await again.add("Bell");
  await again.everythingIsEverywhere();
  for (const each of [again, other]) await each.seesCart("1 Jam", "1 Soap", "1 Bell");
  assert.deepEqual([...shopper.problems, ...again.problems, ...other.problems], []);
});

test("what was sent without an answer a day before is in the cart once it is answered", async () => {
  await using demo = await DemoProcess.start();
  await using shopper = await Shopper.visit(demo.url);
  await shopper.add("Tea");
  await shopper.everythingIsEverywhere();
  await shopper.goTo("lab");
  for (const number of [1, 2, 3]) await shopper.button(`Pause host ${number}`).click();
  await eventually(async () => (await shopper.page.locator(".host.paused").count()) === 3, "three paused hosts");
  await shopper.goTo("");
  await shopper.add("Pot");
  await shopper.seesCart("1 Tea", "1 Pot");
  await new Promise((resolve) => setTimeout(resolve, 1_000)); // it is on its way, to nobody
  await shopper.button("Go offline").click();
  await shopper.sees(/^Offline: 1 change waits/);
  await shopper.goTo("lab");
  await shopper.button("Let a day pass").click();
  for (const number of [1, 2, 3]) await shopper.button(`Go on host ${number}`).click();
  await eventually(async () => (await shopper.page.locator(".host.running").count()) === 3, "three running hosts");
  await shopper.button("Go online").click();
  await shopper.goTo("");
  await shopper.add("Pen");
  await shopper.everythingIsEverywhere();
  await shopper.seesCart("1 Pen", "1 Tea", "1 Pot");
  await shopper.sees("Connected, all is sent");
  const place = await shopper.shareCart();
  await using other = await Shopper.visit(demo.url, place);
  await other.seesCart("1 Pen", "1 Tea", "1 Pot");
  assert.deepEqual([...shopper.problems, ...other.problems], []);
});

test("a host whose disk is full keeps nothing new: the cart goes on, another host keeps it, and with room the host gets it", async () => {
  await using demo = await DemoProcess.start(undefined, ["--hosts", "4"]);
  await using shopper = await Shopper.visit(demo.url);
  await shopper.add("Tea");
  await shopper.everythingIsEverywhere();
  await shopper.goTo("hood");
  const owner = shopper.page.locator(".walk .owner strong").first();
  const [, number] = /^Host (\d)$/.exec(await owner.innerText())!;
  const status = async (): Promise<HostStatus> =>
    (await (await fetch(`${demo.hostUrl(Number(number))}/status`)).json()) as HostStatus;

  await shopper.goTo("lab");
  await shopper.button(`Fill its disk host ${number}`).click();
  await shopper.sees("running, its disk is full");
  await shopper.isAccessible();
  await shopper.photograph("lab-full-host");
  await shopper.goTo("");
  await shopper.add("Kite");
  await shopper.seesCart("1 Tea", "1 Kite");
  await eventually(async () => (await status()).storage.state === "full", "the host to say that it is full");
  await shopper.goTo("hood");
  await shopper.sees("full, keeps nothing new");
  const row = shopper.page.locator(".facts tr[data-host]", { hasText: `Host ${number}` });
  await eventually(async () => /behind/.test(await row.innerText()), "its copy to be behind");
  await eventually(
    async () => /\d for Host/.test(await shopper.page.locator(".facts.wide").innerText()),
    "another host to keep a hint",
  );

  // A host that was full stays so when it is started again.
  await shopper.goTo("lab");
  await shopper.button(`Kill host ${number}`).click();
  await shopper.button(`Start again host ${number}`).click();
  await shopper.sees("running, its disk is full");
  await shopper.button(`Make room host ${number}`).click();
  await eventually(async () => (await status()).storage.state === "ok", "the host to have room", 60_000);
  await shopper.goTo("");
  await shopper.add("Map");
  await shopper.everythingIsEverywhere();
  await shopper.goTo("hood");
  await eventually(
    async () => !/behind|hint/.test(await shopper.page.locator(".hood-side .facts").innerText()),
    "all copies to be equal",
    60_000,
  );
  assert.deepEqual(shopper.problems, []);
});
