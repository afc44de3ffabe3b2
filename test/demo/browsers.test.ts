/** The shop on a ring of browsers alone: three profiles on disk, a relay to meet at, which is killed then. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { DemoProcess } from "./demo-process.ts";
import { Shopper } from "./shopper.ts";

let demo: DemoProcess;
before(async () => {
  demo = await DemoProcess.start();
});
after(() => demo[Symbol.asyncDispose]());

/** Under the hood of a page that is a host: the ring, its place on it, and the pages that own the cart. */
async function showsItsRing(shopper: Shopper, pages: number): Promise<void> {
  const { page } = shopper;
  await page.goto(`${page.url().replace(/#.*/, "")}#/hood`);
  await page.locator(".ring .key-mark").waitFor();
  await eventually(async () => (await page.locator(".ring .band path").count()) === pages, "each page to have a share");
  await eventually(
    async () => (await page.locator(".walk [data-owner]").count()) === pages,
    "each page to own the cart",
  );
  await page.locator(".facts tr[data-host]", { hasText: "This page" }).waitFor();
  const read = page.getByRole("button", { name: "Read this cart from a quorum" });
  const answer = page.getByText(/ms: one version, from a quorum of its hosts: This page, Page …\w+ answered/);
  // Any two of them answer: it asks until the page's own disk is not the slowest.
  await eventually(async () => {
    await read.click();
    return (await answer.count()) > 0;
  }, "a quorum with this page in it");
  await shopper.isAccessible();
  await shopper.photograph("hood-browsers");
}

test("three browsers are the ring: shopping goes on when the relay is killed, and when one of them is", async () => {
  await using one = await Shopper.visit(demo.url, "lab");
  await one.page.getByRole("link", { name: "Browsers alone" }).click();
  await one.page.waitForURL(/\?ring=browsers/);
  await one.add("Tea");
  await one.seesCart("1 Tea");
  await one.button("Share").click();
  const link = await one.page.getByLabel("Whoever has this link shares the cart").inputValue();
  const join = async (): Promise<Shopper> => {
    const shopper = await Shopper.visit(link.replace(/#.*/, ""), new URL(link).hash.replace("#/", ""));
    await shopper.seesCart("1 Tea");
    return shopper;
  };
  await using two = await join();
  await using three = await join();
  await two.add("Lamp");
  for (const shopper of [one, two, three]) await shopper.seesCart("1 Lamp", "1 Tea");
  await two.everythingIsEverywhere();

  await showsItsRing(one, 3);
  await one.page.goto(`${one.page.url().replace(/#.*/, "")}#/lab`);
  await one.isAccessible();
  await one.button("Kill the relay").click();
  await one.sees("dead: the browsers that have met go on without it");
  await one.page.goto(`${one.page.url().replace(/#.*/, "")}#/`);
  await three.add("Cup");
  for (const shopper of [one, two, three]) await shopper.seesCart("1 Lamp", "1 Tea", "1 Cup");
  await three.everythingIsEverywhere();

  await three.browser.kill();
  await one.add("Kite");
  await two.add("Pen");
  for (const shopper of [one, two]) await shopper.seesCart("1 Pen", "1 Lamp", "1 Tea", "1 Cup", "1 Kite");
  await one.page.reload();
  await one.seesCart("1 Pen", "1 Lamp", "1 Tea", "1 Cup", "1 Kite");
  await one.add("Pen");
  await one.seesCart("2 Pen", "1 Lamp", "1 Tea", "1 Cup", "1 Kite");
  assert.deepEqual([...one.problems, ...two.problems, ...three.problems], []);
});

test("a page that finds no relay says so, and shows the way back", async () => {
  const nobody = "/ip4/127.0.0.1/tcp/9/ws";
  await using shopper = await Shopper.open(`${demo.url}?${new URLSearchParams({ ring: "browsers", relay: nobody })}`);
  await shopper.sees(/Joining the ring of browsers/);
  await shopper.page.getByRole("alert").waitFor();
  assert.match(await shopper.page.getByRole("alert").innerText(), /tcp\/9\/ws/);
  await shopper.page.getByRole("link", { name: "To the shop on hosts" }).waitFor();
});
