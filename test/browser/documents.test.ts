/** Two people at one text in real browsers: CodeMirror with its unchanged binding for Yjs, over a store. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { eventually } from "../support/eventually.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { LinkProxy } from "../support/link-proxy.ts";
import { freePort } from "../support/ports.ts";
import { launchChromium, type Chromium, type Tab } from "./chromium.ts";
import type { Functions } from "./pages/editor.ts";
import { servePage, type PageServer } from "./page-server.ts";

const entry = new URL("./pages/editor.js", import.meta.url);
let server: PageServer;
let browsers: Chromium[];
before(async () => {
  server = await servePage(entry);
  browsers = [await launchChromium(), await launchChromium()];
});
after(async () => {
  for (const browser of browsers) await browser[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

test("two people type at once, one of them goes offline, types on, reloads and returns: both have all of it, and see each other", async () => {
  const port = await freePort();
  await using link = await LinkProxy.before(port);
  await using hosts = new HostProcesses(temporaryDirectory());
  const addresses = [`/ip4/127.0.0.1/tcp/${port}/ws`, `/ip4/127.0.0.1/tcp/${link.port}/ws`];
  await hosts.add({ flags: ["--p2p", addresses[0]!, "--announce", addresses[1]!, "--cluster", "shop"] });
  const direct = { name: "shop", seeds: [addresses[0]!] };
  const proxied = { name: "shop", seeds: [addresses[1]!] };
  const ada = await browsers[0]!.open<Functions>(server.url);
  let bob = await browsers[1]!.open<Functions>(server.url);
  await Promise.all([ada.call("open", direct), bob.call("open", proxied)]);
  await Promise.all([ada.call("edit", "Ada"), bob.call("edit", "Bob")]);
  await eventually(() => ada.call("connected"), "Ada to be connected");
  await eventually(() => bob.call("connected"), "Bob to be connected");
  await eventually(async () => (await ada.call("others")).includes("Bob"), "Ada to see Bob");
  await eventually(async () => (await bob.call("others")).includes("Ada"), "Bob to see Ada");

  await Promise.all([typeAtEnd(ada, "Ada was here. "), typeAtEnd(bob, "Bob was here. ")]);
  const lettersOf = (text: string): string => text.split("").toSorted().join("");
  const both = lettersOf("Ada was here. Bob was here. ");
  await eventually(async () => lettersOf(await ada.call("text")) === both, "Ada to have both");
  await eventually(async () => (await bob.call("text")) === (await ada.call("text")), "both to have the same");
  assert.equal(await ada.call("shown"), await ada.call("text"));
  await eventually(async () => (await ada.call("cursors")) > 0, "Ada to see a cursor of Bob's");

  link.cut();
  await eventually(async () => !(await bob.call("connected")), "Bob to be offline");
  await Promise.all([typeAtEnd(ada, "Online. "), typeAtEnd(bob, "Offline. ")]);
  await ada.call("settled");
  assert.ok(!(await bob.call("text")).includes("Online. "));
  await eventually(async () => (await bob.call("text")).length > 0, "Bob's text to be there");
  await bob.call("stored");
  assert.deepEqual([...ada.problems, ...bob.problems.filter((line) => !line.includes("WebSocket"))], []);
  await bob.page.close();
  bob = await browsers[1]!.open<Functions>(server.url);
  await bob.call("open", proxied);
  await bob.call("edit", "Bob");
  await eventually(async () => (await bob.call("text")).includes("Offline. "), "Bob's text to be there again");
  link.heal();
  const all = lettersOf("Ada was here. Bob was here. Online. Offline. ");
  await eventually(async () => lettersOf(await ada.call("text")) === all, "Ada to have everything");
  await eventually(async () => (await bob.call("shown")) === (await ada.call("shown")), "both to show the same");
  await bob.call("settled");
  await Promise.all([ada.call("close"), bob.call("close")]);
});

test("two tabs of one browser share a document without a network; when one is closed the other goes on, and a third has all of it", async () => {
  const tabs = [
    await browsers[0]!.open<Functions>(server.url),
    await browsers[0]!.open<Functions>(server.url),
  ] as const;
  const [one, two] = tabs;
  for (const tab of tabs) {
    await tab.call("open", { name: "shared by tabs", seeds: [] });
    await tab.call("edit", "Ada");
  }
  await typeAtEnd(one, "First. ");
  await eventually(async () => (await two.call("text")) === "First. ", "the second tab to have the first one's edits");
  await typeAtEnd(two, "Second. ");
  await eventually(
    async () => (await one.call("text")) === "First. Second. ",
    "the first tab to have the second one's",
  );
  await one.call("close");
  await one.page.close();
  await typeAtEnd(two, "Third. ");
  const three = await browsers[0]!.open<Functions>(server.url);
  await three.call("open", { name: "shared by tabs", seeds: [] });
  await eventually(async () => (await three.call("text")) === "First. Second. Third. ", "the third tab to have all");
  assert.deepEqual([...one.problems, ...two.problems, ...three.problems], []);
  for (const tab of [two, three]) {
    await tab.call("close");
    await tab.page.close();
  }
});

async function typeAtEnd(tab: Tab<Functions>, text: string): Promise<void> {
  await tab.page.locator(".cm-content").click();
  await tab.page.keyboard.press("Control+End");
  for (const letter of text) await tab.page.keyboard.type(letter);
}
