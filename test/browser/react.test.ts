/** The hooks of `everwrite/react` in a real page, in React's development build, which is strict about how they behave. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { type Chromium, launchChromium, type Tab } from "./chromium.ts";
import type { Functions } from "./pages/react.ts";
import { type PageServer, servePage } from "./page-server.ts";

let server: PageServer;
let browser: Chromium;
before(async () => {
  const development = { "process.env.NODE_ENV": JSON.stringify("development") };
  const plugins = [{ name: "react in development", config: () => ({ define: development }) }];
  server = await servePage(new URL("./pages/react.js", import.meta.url), { plugins });
  browser = await launchChromium();
});
after(async () => {
  await browser[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

/** A tab with a store of its own; nothing must be wrong in it at the end. */
async function withTab(name: string, body: (tab: Tab<Functions>) => Promise<void>): Promise<void> {
  const tab = await browser.open<Functions>(server.url);
  await tab.call("open", name);
  await body(tab);
  assert.deepEqual(tab.problems, []);
  await tab.page.close();
}

const shows = (tab: Tab<Functions>, text: string): Promise<void> =>
  eventually(async () => (await tab.call("text")).includes(text), `the page to show "${text}"`);

describe("useValue", () => {
  test("shows a key as it changes, and another key when it is told to; what is not shown is not subscribed to", () =>
    withTab("values", async (tab) => {
      await tab.call("render", { names: ["a"] });
      await shows(tab, "a: nothing");
      await tab.call("put", "a", "1");
      await shows(tab, "a: 1 (pending)");
      await tab.call("put", "b", "2");
      await tab.call("render", { names: ["b"] });
      await shows(tab, "b: 2");
      assert.equal((await tab.call("counts")).open, 1);
      await tab.call("put", "a", "3");
      await tab.call("render", { names: ["a", "b", "b"] });
      await shows(tab, "a: 3 (pending) b: 2 (pending) b: 2 (pending)");
      await tab.call("unmount");
      assert.equal((await tab.call("counts")).open, 0);
    }));

  test("gives the same object until something changes, so that nothing is rendered for nothing", () =>
    withTab("stable", async (tab) => {
      await tab.call("render", { names: ["a"] });
      await shows(tab, "a: nothing");
      await tab.call("put", "a", "1");
      await shows(tab, "a: 1");
      const before = await tab.call("counts");
      for (let i = 0; i < 5; i++) await tab.call("render", { names: ["a"] });
      await tab.call("put", "b", "not shown");
      const after = await tab.call("counts");
      assert.deepEqual([after.snapshots, after.all], [before.snapshots, before.all]);
      assert.ok(before.snapshots <= 4 && after.renders <= before.renders + 5, JSON.stringify([before, after]));
    }));

  test("survives the double mount of StrictMode: one subscription stays", () =>
    withTab("strict", async (tab) => {
      await tab.call("render", { names: ["a"], strict: true });
      await shows(tab, "a: nothing");
      const { mounts, open, all } = await tab.call("counts");
      assert.deepEqual([mounts, open, all], [2, 1, 2], "React mounts twice in development");
      await tab.call("put", "a", "1");
      await shows(tab, "a: 1");
      await tab.call("unmount");
      assert.equal((await tab.call("counts")).open, 0);
    }));

  test("is rendered on a server without a store, and hydrated without a mismatch", () =>
    withTab("hydrated", async (tab) => {
      await tab.call("put", "a", "1");
      const sent = await tab.call("renderOnServer", { names: ["a"] });
      assert.match(sent, /a: loading[^]*unknown/);
      await tab.call("hydrate", { names: ["a"] });
      await shows(tab, "a: 1");
      assert.deepEqual(await tab.call("recovered"), []);
    }));
});

describe("useDocument", () => {
  test("shows a document as it changes, and another one when it is told to; what is not shown is closed, and was stored", () =>
    withTab("documents", async (tab) => {
      assert.equal(await tab.call("write", "notes/a", "before. "), false);
      await tab.call("render", { names: [], plans: ["notes/a"] });
      await shows(tab, "notes/a: before.");
      assert.equal(await tab.call("write", "notes/a", "live"), true, "all who hold a document have the same");
      await shows(tab, "notes/a: before. live");
      await tab.call("render", { names: [], plans: ["notes/b", "notes/b"] });
      await shows(tab, "notes/b: nothing notes/b: nothing");
      await eventually(async () => (await tab.call("documents")).closed === 1, "the first one to be closed");
      await tab.call("unmount");
      await eventually(async () => (await tab.call("documents")).closed === 2, "both to be closed");
      await tab.call("render", { names: [], plans: ["notes/a"] });
      await shows(tab, "notes/a: before. live");
      assert.equal((await tab.call("documents")).opened, 3);
    }));

  test("opens a document again that another part of the application has closed", () =>
    withTab("shared documents", async (tab) => {
      await tab.call("render", { names: [], plans: ["notes/a"] });
      await shows(tab, "notes/a: nothing");
      await tab.call("write", "notes/a", "one");
      await tab.call("closeShown", "notes/a");
      await eventually(async () => (await tab.call("documents")).opened === 2, "it to be opened again");
      assert.equal(await tab.call("write", "notes/a", " two"), true, "what is shown is the one that is open");
      await shows(tab, "notes/a: one two");
    }));

  test("survives the double mount of StrictMode, and tells why one cannot be opened", () =>
    withTab("strict documents", async (tab) => {
      await tab.call("render", { names: [], plans: ["notes/a", "no key"], strict: true });
      await shows(tab, "notes/a: nothing no key: bad-request");
      await tab.call("write", "notes/a", "live");
      await shows(tab, "notes/a: live");
      assert.deepEqual(await tab.call("documents"), { opened: 1, closed: 0 });
      await tab.call("close");
      await shows(tab, "notes/a: live");
    }));

  test("loads on a server without a store, and is hydrated without a mismatch", () =>
    withTab("hydrated documents", async (tab) => {
      await tab.call("write", "notes/a", "stored");
      const shown = { names: [], plans: ["notes/a"] };
      assert.match(await tab.call("renderOnServer", shown), /notes\/a: loading/);
      await tab.call("hydrate", shown);
      await shows(tab, "notes/a: stored");
      assert.deepEqual(await tab.call("recovered"), []);
    }));
});

test("useStatus shows what waits, and that the store is closed; what was shown stays, and nothing throws", () =>
  withTab("status", async (tab) => {
    await tab.call("render", { names: ["a"] });
    await shows(tab, "0 pending");
    await tab.call("put", "a", "1");
    await shows(tab, "1 pending");
    await tab.call("close");
    await shows(tab, "closed");
    await shows(tab, "a: 1");
    await tab.call("render", { names: ["a", "b"] });
    await shows(tab, "b: loading");
    await tab.call("unmount");
  }));
