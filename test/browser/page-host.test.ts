/** Hosts on the ring in real pages: browsers alone with a relay, and together with Node hosts. */
import assert from "node:assert/strict";
import { after, before, describe, test, type TestContext } from "node:test";
import { lease } from "../../core/membership/roles.ts";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { eventually } from "../support/eventually.ts";
import { HostProcesses, type HostStatus } from "../support/host-processes.ts";
import { kv } from "../support/http-client.ts";
import { pageHosts } from "../support/page-hosts.ts";
import { freePort } from "../support/ports.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { launchChromium, type Tab } from "./chromium.ts";
import { HostBrowser, hostCluster } from "./host-browser.ts";
import type { Functions as StoreFunctions } from "./pages/store.ts";
import { rendererOf } from "./renderer.ts";
import { servePage, type PageServer } from "./page-server.ts";

/** What the issue gives a request after a page was closed, ms. */
const goOnMs = 2_000;

let server: PageServer;
/** One that runs for long: of a new one nobody knows yet that there is no host. */
let oldRelay: RelayProcess;
before(async () => {
  oldRelay = await RelayProcess.start();
  server = await servePage(new URL("./pages/host.js", import.meta.url));
});
after(async () => {
  await server[Symbol.asyncDispose]();
  await oldRelay[Symbol.asyncDispose]();
});

/** Chromium freezes no page that a test drives; it tells a page before, which is what counts here. And without a word: a hung one. */
const sleeps = {
  frozen: {
    begin: (page: HostBrowser) => page.call("dispatch", "freeze"),
    end: (page: HostBrowser) => page.call("dispatch", "resume"),
  },
  stopped: {
    begin: (page: HostBrowser) => page.signal("SIGSTOP"),
    end: (page: HostBrowser) => page.signal("SIGCONT"),
  },
  /** In its tab, as when another tab takes over. */
  closed: {
    begin: (page: HostBrowser) => page.call("stop"),
    end: (page: HostBrowser) => page.call("startAgain"),
  },
};

/** Tells how long it took, and asserts nothing of it. */
async function timed(t: TestContext, what: string, work: () => Promise<unknown>): Promise<void> {
  const beginMs = performance.now();
  await work();
  t.diagnostic(`${what}: ${Math.round(performance.now() - beginMs)} ms`);
}

describe("three browsers and a relay", () => {
  const settings = { found: true, partitions: 64 };
  let relay: RelayProcess;
  let pages: readonly HostBrowser[];
  before(async () => {
    relay = await RelayProcess.start();
    pages = await Promise.all([0, 1, 2].map(() => HostBrowser.start(server.url, [relay.address], settings)));
  });
  after(async () => {
    await Promise.all([...pages, relay].map((each) => each[Symbol.asyncDispose]()));
  });

  test("that open at once are one ring, which one of them founded", async (t) => {
    await timed(t, "until all hold their share", () => Promise.all(pages.map((page) => page.holds(2))));
    const events = (await Promise.all(pages.map((page) => page.call("events")))).flat();
    assert.equal(events.filter(({ kind }) => kind === "cluster-created").length, 1);
    const rings = await Promise.all(pages.map((page) => page.call("ring")));
    assert.equal(new Set(rings.map(({ fingerprint }) => fingerprint)).size, 1);
    assert.deepEqual(new Set(rings[0]!.tokens), new Set(pages.map(({ id }) => id)));
    const { members } = await pages[0]!.call("status");
    assert.deepEqual(new Set(members.map(({ kind, lease, capacity }) => `${kind} ${lease?.ms} ${capacity}`)).size, 1);
    assert.equal(new Set(members.map(({ deviceGroup }) => deviceGroup)).size, 3);
  });

  test("miss one that is frozen at once, and have it back when it wakes; it takes nobody for dead", async (t) => {
    const [frozen, ...others] = [pages[1]!, pages[0]!, pages[2]!];
    const isSeen = async (by: HostBrowser, whom: HostBrowser): Promise<boolean> => {
      const { members } = await by.call("status");
      return members.find(({ id }) => id === whom.id)!.alive;
    };
    const all = (seen: boolean): Promise<void> =>
      eventually(
        async () => {
          const views = await Promise.all(others.map((other) => isSeen(other, frozen)));
          return views.every((each) => each === seen);
        },
        `the others to see it ${seen ? "again" : "no more"}`,
      );
    for (const [way, sleep] of Object.entries(sleeps)) {
      await sleep.begin(frozen);
      await timed(t, `${way}: until the others know`, () => all(false));
      const durable = await others[0].call("put", "b", way, "meanwhile", 2, goOnMs);
      assert.ok(!durable.includes(frozen.id));
      await sleep.end(frozen);
      await timed(t, `${way}: until all see each other again`, async () => {
        await all(true);
        await frozen.holds(2);
      });
      assert.deepEqual(await frozen.call("get", "b", way, 2), ["meanwhile"]);
    }
    const suspected = (await frozen.call("events")).filter(
      (event) => event.kind === "peer" && event.state === "suspect",
    );
    assert.deepEqual(suspected, []);
  });

  test("read in one what another wrote, also when the relay is gone", async () => {
    for (const phase of ["relay", "no relay"]) {
      for (const [n, page] of pages.entries()) {
        const durable = await page.call("put", "b", `${phase} ${n}`, `of ${n}`, 2);
        assert.ok(durable.length >= 2);
        assert.deepEqual(await pages[(n + 1) % 3]!.call("get", "b", `${phase} ${n}`, 2), [`of ${n}`]);
      }
      if (phase === "relay") await relay.kill();
    }
  });

  test("and a newcomer is told which relays are down, and why", async () => {
    await using newcomer = await HostBrowser.load(server.url);
    const failure = await newcomer.call("failureToOpen", hostCluster, [relay.address], {
      found: true,
      timeoutMs: 2_000,
    });
    assert.equal(failure?.code, "not-ready");
    assert.match(failure.message, new RegExp(`cannot reach ${relay.address}: the connection could not be opened`));
  });

  test("go on when one is closed", async (t) => {
    await pages[2]!.close();
    await timed(t, "twenty writes and reads in each of the others", () =>
      Promise.all(
        pages.slice(0, 2).map(async (page, n) => {
          const names = Array.from({ length: 20 }, (_, i) => `closed ${n} ${i}`);
          await Promise.all(names.map((name) => page.call("put", "b", name, name, 2, goOnMs)));
          for (const name of names) assert.deepEqual(await page.call("get", "b", name, 2, goOnMs), [name]);
        }),
      ),
    );
  });

  test("are found again when the relay is back, a fourth receives its partitions, and the one that was closed goes on", async (t) => {
    await relay.start();
    await timed(t, "until the two have a reservation again", () =>
      Promise.all(
        pages
          .slice(0, 2)
          .map((page) =>
            eventually(async () => (await page.call("addresses")).length > 0, "a reservation at the relay"),
          ),
      ),
    );
    await using fourth = await HostBrowser.start(server.url, [relay.address], settings);
    await timed(t, "until the fourth holds its share", () => fourth.holds(2));
    const { tokens } = await fourth.call("ring");
    assert.ok(new Set<string | null>(tokens).has(fourth.id));
    for (const name of ["relay 2", "no relay 1", "closed 0 7", "closed 1 11"]) {
      assert.equal((await fourth.call("get", "b", name, 2)).length, 1);
    }
    await pages[2]!.startAgain([relay.address], settings);
    await pages[2]!.holds(3);
    assert.deepEqual(await pages[2]!.call("get", "b", "closed 0 3", 2), ["closed 0 3"]);
    const { members } = await pages[2]!.call("status");
    assert.deepEqual(
      members.map(({ status, life }) => [status, life]),
      members.map(() => ["up", 1]),
    );
    for (const page of [...pages, fourth]) assert.deepEqual(page.problems.filter(isUnexpected), []);
  });
});

test("a browser that founded a ring alone meets the one that another founded while it was away: they become one ring", async () => {
  const settings = { found: true, partitions: 64 };
  const values = ["of the first", "of the second"];
  await using first = await HostBrowser.start(server.url, [oldRelay.address], settings);
  await first.holds(0);
  await first.call("put", "b", "k", values[0]!, 1);
  await first.close();
  await using second = await HostBrowser.start(server.url, [oldRelay.address], settings);
  await second.holds(0);
  await second.call("put", "b", "k", values[1]!, 1);
  await first.startAgain([oldRelay.address], settings);
  const bothHold = (): Promise<unknown> => Promise.all([first.holds(1), second.holds(1)]);
  await bothHold();
  await eventually(async () => {
    const rings = await Promise.all([first, second].map((page) => page.call("ring")));
    return rings.every(({ tokens }) => new Set(tokens).size === 2) && rings[0]!.fingerprint === rings[1]!.fingerprint;
  }, "the two rings to be one");
  await bothHold();
  for (const page of [first, second]) {
    assert.deepEqual((await page.call("get", "b", "k", 2)).toSorted(), values);
  }
});

test("a browser among Node hosts has a light share; closed or asleep for good, its lease ends, its share goes back, and nothing is lost", async (t) => {
  await using hosts = new HostProcesses(temporaryDirectory());
  const seeds: string[] = [];
  for (let n = 0; n < 3; n += 1) {
    const address = `/ip4/127.0.0.1/tcp/${await freePort()}/ws`;
    await hosts.add({
      flags: ["--p2p", address, "--cluster", hostCluster, ...(n === 0 ? ["--partitions", "64"] : [])],
    });
    seeds.push(address);
  }
  const names = Array.from({ length: 200 }, (_, n) => `k${n}`);
  await Promise.all(names.slice(0, 100).map((name) => kv(hosts.url(0)).put(`notes/${name}`, JSON.stringify(name))));
  await using browser = await launchChromium();
  await using page = await servePage(new URL("./pages/store.js", import.meta.url));
  const opening = { name: hostCluster, seeds, role: "host", leaseMs: lease.minMs } as const;
  const member = async (): Promise<HostStatus["members"][number] | undefined> =>
    (await hosts.status(1)).members.find(({ kind }) => kind === "browser-host");
  const open = async (): Promise<Tab<StoreFunctions>> => {
    const tab = await browser.open<StoreFunctions>(page.url);
    t.diagnostic(`opened in ${await tab.call("open", opening)} ms`);
    await eventually(async () => ((await member())?.tokens ?? 0) > 0, "the browser has a share of the ring");
    await hosts.settled();
    return tab;
  };

  const tab = await open();
  const { members } = await hosts.status(0);
  const [light, ...full] = members.toSorted((a, b) => a.tokens - b.tokens);
  assert.equal(light!.kind, "browser-host");
  assert.ok(light!.tokens <= full[0]!.tokens / 5, JSON.stringify(members));
  for (const name of names.slice(100)) await tab.call("put", name, name);
  await tab.page.close();
  assert.equal((await kv(hosts.url(2)).put("notes/after", JSON.stringify("it was closed"))).status, 200);
  const lapsed = async (): Promise<void> => {
    await eventually(async () => (await member())?.status === "lapsed", "its lease to end", 60_000);
    await hosts.settled();
  };
  await timed(t, "until its lease had ended and its share was elsewhere", lapsed);
  assert.deepEqual((await hosts.status(0)).partitions.owned, 64);
  for (const name of names) {
    assert.deepEqual((await kv(hosts.url(0)).get(`notes/${name}`, "r=3")).values, [JSON.stringify(name)]);
  }

  const again = await open();
  assert.equal((await member())?.life, 2);
  assert.deepEqual((await again.call("get", "after")).values, ["it was closed"]);

  // Asleep for longer than its lease: it finds out when it wakes, and comes back by itself.
  const renderer = await rendererOf(browser, again.page);
  process.kill(renderer, "SIGSTOP");
  try {
    await lapsed();
  } finally {
    process.kill(renderer, "SIGCONT");
  }
  await timed(t, "until it was a member again after it woke", () =>
    eventually(async () => {
      const now = await member();
      return now?.life === 3 && now.status === "up" && now.tokens > 0;
    }, "it to come back"),
  );
  await hosts.settled();
  await again.call("put", "awake", "it is back");
  assert.deepEqual((await kv(hosts.url(0)).get("notes/awake", "r=3")).values, [JSON.stringify("it is back")]);
});

test("all hosts of a profile are one device group, whichever tab they are in, whenever they were made; that of another profile is another", async () => {
  await using all = await pageHosts(1, hostCluster, temporaryDirectory());
  await using page = await servePage(new URL("./pages/store.js", import.meta.url));
  await using profile = await launchChromium();
  await using other = await launchChromium();
  const open = async (tab: Tab<StoreFunctions>, database: string): Promise<string> => {
    await tab.call("open", { name: hostCluster, database, seeds: all.seeds, role: "host" });
    return (await tab.call("status")).id;
  };
  const groups = async (ids: readonly string[]): Promise<readonly (string | undefined)[]> => {
    const { members } = await all.hosts.status(0);
    return ids.map((id) => members.find((member) => member.id === id)?.deviceGroup);
  };

  const tabs = [await profile.open<StoreFunctions>(page.url), await profile.open<StoreFunctions>(page.url)] as const;
  const [first, second] = [await open(tabs[0], "first"), await open(tabs[1], "second")];
  const stranger = await open(await other.open<StoreFunctions>(page.url), "first");
  const [group, ...rest] = await groups([first, second, stranger]);
  assert.match(group!, /^[0-9a-f]{32}$/);
  assert.equal(rest[0], group);
  assert.notEqual(rest[1], group);

  for (const tab of tabs) {
    await tab.page.reload();
    await tab.page.waitForFunction(() => "everwriteTest" in globalThis);
  }
  assert.deepEqual([await open(tabs[0], "first"), await open(tabs[1], "second")], [first, second]);
  const third = await open(await profile.open<StoreFunctions>(page.url), "third");
  assert.deepEqual(await groups([first, second, third]), [group, group, group]);
});

/** Chromium tells of each address that does not answer. */
function isUnexpected(problem: string): boolean {
  return !problem.includes("WebSocket connection to");
}
