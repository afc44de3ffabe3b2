/** The demo as a visitor has it: `npm start`, a real browser, real hosts that die. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import type { Explanation, RingView } from "../../core/index.ts";
import { eventually } from "../support/eventually.ts";
import { DemoProcess } from "./demo-process.ts";
import { Shopper } from "./shopper.ts";

const compareStrings = (a: string, b: string): number => (a < b ? -1 : 1);

/** Scripts that the page may ever load as an edge of hosts, gzipped; all are kept for offline. */
const scriptBytesMax = 260_000;
/** What makes a page a host: its part of the core, WebRTC, gossip. */
const hostScriptBytesMax = 112_000;

let demo: DemoProcess;
before(async () => {
  demo = await DemoProcess.start();
});
after(() => demo[Symbol.asyncDispose]());

test("the page's scripts fit the budget: all but those of a host in a page, which only the ring of browsers loads", (t) => {
  const worker = readFileSync(join("dist", "site", "sw.js"), "utf8");
  const bytesOf = (list: string): number => {
    const [, names] = new RegExp(`^const ${list} = (.*);$`, "m").exec(worker)!;
    const scripts = (JSON.parse(names!) as string[]).filter((name) => name.endsWith(".js"));
    return scripts.reduce((sum, name) => sum + gzipSync(readFileSync(join("dist", "site", name))).length, 0);
  };
  const [first, later] = [bytesOf("first"), bytesOf("later")];
  t.diagnostic(`${first} bytes gzipped, and ${later} more for the ring of browsers`);
  assert.ok(first <= scriptBytesMax, `${first} bytes`);
  assert.ok(later <= hostScriptBytesMax, `${later} bytes`);
  const scripts = readdirSync(join("dist", "site", "assets")).filter((name) => name.endsWith(".js"));
  const all = scripts.reduce(
    (sum, name) => sum + gzipSync(readFileSync(join("dist", "site", "assets", name))).length,
    0,
  );
  assert.equal(all, first + later, "every script counts in one of them");
});

test("a visitor searches, fills a cart, buys, and finds the order again", async () => {
  await using shopper = await Shopper.visit(demo.url);
  await shopper.page.getByRole("searchbox").fill("green");
  await eventually(async () => (await shopper.page.locator(".item").count()) === 1, "one article");
  await shopper.add("Tea");
  await shopper.page.getByRole("searchbox").fill("");
  await shopper.add("Tea", "Lamp");
  await shopper.seesCart("1 Lamp", "2 Tea");
  await shopper.everythingIsEverywhere();
  await shopper.button("One Tea less").click();
  await shopper.seesCart("1 Lamp", "1 Tea");
  await shopper.page.getByRole("link", { name: "Check out" }).click();
  await shopper.button("Place the order").click();
  await shopper.sees("Your order is placed");
  await shopper.goTo("orders");
  await shopper.sees("Lamp, Tea");
  await shopper.goTo("");
  await shopper.seesCart();
  await shopper.page.reload();
  await shopper.goTo("orders");
  await shopper.sees("Lamp, Tea");
  assert.deepEqual(shopper.problems, []);
});

describe("for everybody", () => {
  const looks = [
    ["desktop", 1_280, 860, "light"],
    ["phone", 390, 844, "dark"],
  ] as const;
  for (const [name, width, height, colorScheme] of looks) {
    test(`every place of the page is accessible, ${name}, ${colorScheme}`, async () => {
      await using shopper = await Shopper.visit(demo.url);
      await shopper.add("Kite", "Cup");
      await shopper.seesCart("1 Cup", "1 Kite");
      await shopper.page.setViewportSize({ width, height });
      await shopper.page.emulateMedia({ colorScheme });
      for (const place of ["", "cart", "checkout", "orders", "lab", "hood", "devices"]) {
        await shopper.goTo(place);
        await shopper.page.locator("main :is(h1, h2)").first().waitFor({ state: "attached" });
        await shopper.isAccessible();
        await shopper.photograph(`${name}-${place === "" ? "shop" : place}`);
        const isTooWide = await shopper.page.evaluate(
          () => document.documentElement.scrollWidth > document.documentElement.clientWidth,
        );
        assert.ok(!isTooWide, `#/${place} scrolls sideways`);
      }
      assert.deepEqual(shopper.problems, []);
    });
  }

  test("the keyboard is enough to fill a cart", async () => {
    await using shopper = await Shopper.visit(demo.url);
    await shopper.button("Add Pen to the cart").focus();
    await shopper.page.keyboard.press("Enter");
    await shopper.seesCart("1 Pen");
    await shopper.page.keyboard.press("Tab");
    await shopper.page.keyboard.press("Space");
    await shopper.seesCart("1 Pen", "1 Lamp");
  });
});

test("two devices share a cart by its link, and what both add offline is in it at the end", async () => {
  await using one = await Shopper.visit(demo.url);
  await one.add("Book");
  await one.everythingIsEverywhere();
  await using two = await Shopper.visit(demo.url, await one.shareCart());
  await two.seesCart("1 Book");

  for (const shopper of [one, two]) {
    await shopper.button("Go offline").click();
    await shopper.sees(/^Offline/);
  }
  await one.add("Tea");
  await two.add("Kite");
  await one.seesCart("1 Book", "1 Tea");
  await two.seesCart("1 Book", "1 Kite");
  assert.equal((await one.marks())[0], "on this device");
  for (const shopper of [one, two]) await shopper.button("Go online").click();
  for (const shopper of [one, two]) await shopper.seesCart("1 Book", "1 Tea", "1 Kite");
  await one.everythingIsEverywhere();
  await one.sees(/met, and the union of them is/);
  assert.deepEqual([...one.problems, ...two.problems], []);
});

test("the page opens without its server and without a network, and keeps what is added then", async () => {
  const shopper = await Shopper.visit(demo.url);
  await shopper.add("Map");
  await shopper.everythingIsEverywhere();
  await shopper.page.evaluate("navigator.serviceWorker.ready");
  await shopper.browser.context.setOffline(true);
  await shopper.page.reload();
  await shopper.seesCart("1 Map");
  await shopper.add("Rope");
  await shopper.seesCart("1 Map", "1 Rope");
  await shopper.page.reload();
  await shopper.sees(/changes? waits? on this device, not sent yet/);
  const { profile } = shopper.browser;
  await shopper.browser.kill();

  await using again = await Shopper.visit(demo.url, "", profile);
  await again.seesCart("1 Map", "1 Rope");
  await again.sees("Connected, all is sent");
  assert.deepEqual(again.problems, []);
});

test("the shop can be installed as an application", async () => {
  await using shopper = await Shopper.visit(demo.url);
  await shopper.page.evaluate("navigator.serviceWorker.ready");
  const session = await shopper.page.context().newCDPSession(shopper.page);
  assert.deepEqual((await session.send("Page.getInstallabilityErrors")).installabilityErrors, []);
});

test("hosts are killed while a visitor buys: the order is there once, and comes to the hosts that were dead", async () => {
  await using shopper = await Shopper.visit(demo.url);
  await shopper.add("Bell", "Soap");
  await shopper.everythingIsEverywhere();
  await shopper.goTo("lab");
  for (const number of [2, 3]) await shopper.button(`Kill host ${number}`).click();
  await eventually(async () => (await shopper.page.locator(".host.stopped").count()) === 2, "two dead hosts");
  await shopper.goTo("checkout");
  await shopper.button("Place the order").click();
  await shopper.sees("Your order is placed");
  await shopper.goTo("orders");
  await shopper.sees("Soap, Bell");
  assert.equal(await shopper.page.locator(".orders li").count(), 1);
  await shopper.goTo("");
  await shopper.add("Clock");
  await eventually(async () => /of 3 replicas/.test((await shopper.marks())[0] ?? ""), "a change on some replicas");
  await shopper.goTo("lab");
  for (const number of [2, 3]) await shopper.button(`Start again host ${number}`).click();
  await eventually(async () => (await shopper.page.locator(".host.running").count()) === 3, "three running hosts");
  await shopper.goTo("");
  await shopper.everythingIsEverywhere();
  await shopper.seesCart("1 Clock");
  assert.deepEqual(shopper.problems, []);
});

test("under the hood is what the hosts tell: the ring, the key's place, its owners, its versions", async () => {
  await using shopper = await Shopper.visit(demo.url);
  await shopper.add("Plant");
  await shopper.everythingIsEverywhere();
  await shopper.goTo("hood");
  const key = await shopper.page.locator("main code").first().innerText();
  const { page } = shopper;
  await page.locator(".key-mark").waitFor();
  const told = (await (await fetch(`${demo.hostUrl(2)}/explain/${key}`)).json()) as Explanation;
  assert.equal(await page.locator(".key-mark").getAttribute("data-partition"), String(told.partition));
  const drawn = await page
    .locator(".facts tr[data-host]")
    .evaluateAll((rows) => rows.map((row) => row.getAttribute("data-host")));
  assert.deepEqual(
    drawn,
    told.preferenceList.map(({ id }) => id),
  );
  const [dot] = told.siblings.map((sibling) => sibling.dot);
  assert.equal(await page.locator(".version.live").getAttribute("data-dot"), dot);
  const ring = (await (await fetch(`${demo.hostUrl(2)}/ring`)).json()) as RingView;
  const walked = await page
    .locator(".walk [data-owner]")
    .evaluateAll((steps) => steps.map((step) => step.getAttribute("data-owner")));
  assert.deepEqual(
    walked,
    told.preferenceList.filter(({ role }) => role === "owner").map(({ id }) => id),
  );
  const hosts = await page
    .locator(".ring path")
    .evaluateAll((paths) => paths.map((path) => path.getAttribute("data-host")));
  assert.deepEqual(hosts, [...new Set(ring.tokens.map(String))].toSorted(compareStrings));
  assert.match(await page.locator(".writes").innerText(), /Plant added: acknowledged by Host \d/);
  await shopper.button("Read this cart from a quorum").click();
  await shopper.sees(/ms: one version, from a quorum of its hosts: Host \d(, Host \d)+ answered/);
  assert.ok((await page.locator(".writes .get .part.took").count()) >= 2, "who answered is drawn");

  await using other = await Shopper.visit(demo.url, `join/${key.replace(/^.*\//, "")}`);
  await other.seesCart("1 Plant");
  await other.add("Bell");
  const heard = page.locator(".writes .heard").first();
  await heard.getByText(/^Another device \(\S+:\d+\): Plant, Bell; (Host \d, ){2}Host \d have it$/).waitFor();
  assert.equal(await heard.locator(".part.has").count(), 3);
  assert.deepEqual(other.problems, []);
  assert.deepEqual(shopper.problems, []);
});

describe("the control server", () => {
  interface Answer {
    readonly status: number;
    readonly text: string;
  }

  /** With headers that a browser would not let a page choose. */
  function ask(path: string, headers: Record<string, string>, method = "GET"): Promise<Answer> {
    return new Promise((resolve, reject) => {
      request(new URL(path, demo.url), { method, headers }, (response) => {
        let text = "";
        response.on("data", (bytes: Buffer) => (text += bytes));
        response.on("end", () => resolve({ status: response.statusCode!, text }));
      })
        .on("error", reject)
        .end();
    });
  }

  const tokenHeader = async (): Promise<Record<string, string>> => {
    const { control } = JSON.parse((await ask("everwrite.json", {})).text) as { control: { token: string } };
    return { "everwrite-demo-token": control.token };
  };

  const states = async (): Promise<string[]> => {
    const { hosts } = JSON.parse((await ask("control/hosts", await tokenHeader())).text) as {
      hosts: { number: number; state: string }[];
    };
    return hosts.map(({ number, state }) => `${number} ${state}`);
  };

  test("does nothing for other sites, other names of this machine, and requests without the token", async () => {
    const token = await tokenHeader();
    const refused = [
      {},
      { "everwrite-demo-token": "0".repeat(32) },
      { ...token, origin: "http://shop.example" },
      { ...token, host: "shop.example" },
    ];
    for (const headers of refused) {
      const { status, text } = await ask("control/hosts/1/kill", headers, "POST");
      assert.equal(status, 403, text);
      assert.match(text, /"code":"forbidden"/);
    }
    assert.equal((await ask("everwrite.json", { origin: "http://shop.example" })).status, 403);
    assert.deepEqual(await states(), ["1 running", "2 running", "3 running"]);
  });

  test("refuses what makes no sense, in words", async () => {
    const token = await tokenHeader();
    const wrong = [
      ["control/hosts/9/kill", "POST", 404, "there is no host 9"],
      ["control/hosts/1/explode", "POST", 400, "cannot be told to explode"],
      ["control/hosts/1/toString", "POST", 400, "cannot be told to toString"],
      ["control/hosts/1/restart", "POST", 400, "host 1 is running"],
      ["control/hosts/1/admin/leave", "GET", 404, "is not asked for admin/leave here"],
      ["control/hosts/1/explain/../admin", "GET", 404, ""],
      ["control/hosts/1/explain%2f..%2fkv%2fcarts", "GET", 404, "is not asked for explain/../kv/carts here"],
      ["no/such/file", "GET", 404, "there is no no/such/file here"],
      ["..%2f..%2fpackage.json", "GET", 404, ""],
    ] as const;
    for (const [path, method, status, text] of wrong) {
      const answer = await ask(path, token, method);
      assert.equal(answer.status, status, `${path}: ${answer.text}`);
      assert.ok(answer.text.includes(text), answer.text);
    }
  });

  test("pauses a host, which answers nobody then, and lets it go on", async () => {
    const token = await tokenHeader();
    await ask("control/hosts/3/pause", token, "POST");
    assert.deepEqual(await states(), ["1 running", "2 running", "3 paused"]);
    const { status, text } = await ask("control/hosts/3/status", token);
    assert.equal(status, 503);
    assert.match(text, /host 3 does not answer/);
    await ask("control/hosts/3/resume", token, "POST");
    await eventually(async () => (await ask("control/hosts/3/status", token)).status === 200, "an answer of host 3");
  });

  test("adds a host that takes its share, and lets it leave again; the next start does without it", async () => {
    const token = await tokenHeader();
    await ask("control/hosts", token, "POST");
    await eventually(async () => (await states())[3] === "4 running", "host 4 to run", 60_000);
    const owned = async (): Promise<number> => {
      const { status, text } = await ask("control/hosts/4/status", token);
      // Busy: it has not answered in time.
      return status === 200 ? (JSON.parse(text) as { partitions: { owned: number } }).partitions.owned : 0;
    };
    await eventually(async () => (await owned()) > 0, "host 4 to own partitions", 60_000);
    // It may be gone before it has answered, or have been too busy to hear.
    await eventually(
      async () => {
        if ((await states())[3] === "4 running") await ask("control/hosts/4/leave", token, "POST");
        return (await states()).length === 3;
      },
      "host 4 to be gone",
      120_000,
    );
    const file = JSON.parse(readFileSync(join(demo.data, "cluster.json"), "utf8")) as { ports: { left?: boolean }[] };
    assert.deepEqual(
      file.ports.map(({ left }) => left === true),
      [false, false, false, true],
    );
  });
});
