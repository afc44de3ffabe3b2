/** An edge in a browser whose hosts are pages, all found through a relay: it is served as by Node hosts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { launchChromium } from "./chromium.ts";
import { HostBrowser, hostCluster } from "./host-browser.ts";
import { servePage } from "./page-server.ts";
import type { Functions } from "./pages/store.ts";

/** Against hanging only. */
const flushMs = 60_000;

test("an edge of a ring of pages delivers, reads and is told of changes, also without the relay and when a page is closed", async (t) => {
  await using relay = await RelayProcess.start();
  await using hostServer = await servePage(new URL("./pages/host.js", import.meta.url));
  await using edgeServer = await servePage(new URL("./pages/store.js", import.meta.url));
  const settings = { found: true, partitions: 64 };
  const pages = await Promise.all([0, 1, 2].map(() => HostBrowser.start(hostServer.url, [relay.address], settings)));
  t.after(() => Promise.all(pages.map((page) => page[Symbol.asyncDispose]())));
  await Promise.all(pages.map((page) => page.holds(2)));

  await using browser = await launchChromium();
  const edge = await browser.open<Functions>(edgeServer.url);
  assert.equal(
    typeof (await edge.call("open", { name: hostCluster, seeds: [relay.address], meetPages: true })),
    "number",
  );
  await edge.call("connected");
  await edge.call("subscribe", "told");

  const served = async (round: string): Promise<void> => {
    await edge.call("put", round, `of the edge, ${round}`);
    await edge.call("flush", flushMs);
    const at = pages[0]!;
    assert.deepEqual(await at.call("get", "notes", round, 2), [JSON.stringify(`of the edge, ${round}`)]);
    await at.call("put", "notes", "told", JSON.stringify(round), 2);
    await eventually(
      async () => (await edge.call("told")).some(({ values }) => values.includes(round)),
      `the edge to be told: ${round}`,
    );
    assert.equal((await edge.call("get", round)).source, "quorum");
  };
  await served("all are there");
  await relay.kill();
  await served("no relay");
  await pages[2]!.close();
  await served("a page is closed");
  assert.deepEqual(
    edge.problems.filter((problem) => !problem.includes("WebSocket connection")),
    [],
  );
});
