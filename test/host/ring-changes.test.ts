/** The ring of real host processes, changed as an operator changes it; what is asked of all hosts and keys afterwards. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { NodeStatus, PlanView, RingView, TransferProgress } from "../../core/api.ts";
import { run } from "../../node-host/cli.ts";
import { eventually } from "../support/eventually.ts";
import { type Ended, everwrite } from "../support/everwrite.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { getJson, kv } from "../support/http-client.ts";
import { moved } from "../support/ring-changes.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const keys = Array.from({ length: 120 }, (_, i) => `ring/k${i}`);

async function withKeys(count: number, env: Readonly<Record<string, string>> = {}): Promise<HostProcesses> {
  const hosts = await HostProcesses.of(count, temporaryDirectory(), { env });
  for (const [i, key] of keys.entries()) {
    assert.equal((await kv(hosts.url(i % count)).put(key, key, { query: "w=all" })).status, 200);
  }
  return hosts;
}

/** Every running host answers every key from all of its owners. */
async function allThere(hosts: HostProcesses): Promise<void> {
  await moved(hosts);
  for (const [i, url] of hosts.urls.entries()) {
    if (!hosts.isRunning(i)) continue;
    for (const key of keys) assert.deepEqual((await kv(url).get(key, "r=all")).values, [key], `${key} at ${url}`);
  }
}

const through = (hosts: HostProcesses, index: number, ...verb: readonly string[]): Promise<Ended> =>
  everwrite(...verb, "--http", hosts.url(index));

async function succeeds(running: Promise<Ended>): Promise<string> {
  const { code, text } = await running;
  assert.equal(code, 0, text);
  return text;
}

async function fails(running: Promise<Ended>, code: number, pattern: RegExp): Promise<void> {
  const ended = await running;
  assert.equal(ended.code, code, ended.text);
  assert.match(ended.text, pattern);
}

async function memberAt(hosts: HostProcesses, index: number, id: string) {
  return (await hosts.status(index)).members.find((member) => member.id === id);
}

async function suspected(hosts: HostProcesses, index: number, id: string): Promise<void> {
  await eventually(async () => (await memberAt(hosts, index, id))?.alive === false, `host ${index} to miss ${id}`);
}

async function knowsOfRemoval(hosts: HostProcesses, index: number): Promise<boolean> {
  const status = await hosts.status(index).catch(() => undefined); // it may not listen yet
  return status?.notices.some((notice) => /removed.*start it again with --seed to return/.test(notice)) ?? false;
}

/** Some seconds for what a fourth host is to copy. */
const slowTransfers = {
  NODE_OPTIONS: `--import ${fileURLToPath(new URL("../support/slow-transfers.js", import.meta.url))}`,
  TRANSFER_BYTES_PER_SECOND: "1000",
};

/** Makes a host join from a terminal: what its status tells halfway, what that is in words, and how the command ended. */
async function watchedJoin(hosts: HostProcesses, joining: number, id: string) {
  let [out, told] = ["", ""];
  const io = {
    stdin: (async function* () {})(),
    stdout: { write: (text: string | Uint8Array) => Boolean((out += String(text))) },
    stderr: { write: (text: string | Uint8Array) => Boolean((told += String(text))), isTTY: true },
    env: {},
  };
  const running = run(["join", id, "--http", hosts.url(0)], io);
  let filling: TransferProgress | undefined;
  const isHalfway = async (): Promise<boolean> => {
    ({ filling } = (await getJson<NodeStatus>(`${hosts.url(joining)}/status`)).transfers);
    return filling !== undefined && filling.percent > 0 && filling.keys > 0;
  };
  await eventually(isHalfway, "the host to be filled in part");
  const said = await succeeds(through(hosts, joining, "status"));
  return { filling: filling!, said, ended: { code: await running, out, told } };
}

describe("a host that joins and leaves", () => {
  test("takes its share by itself, hands it over when told to leave, ends, and returns with --seed; the ring tells who did what", async () => {
    const startedMs = Date.now();
    await using hosts = await withKeys(3);
    const fourth = await hosts.add();
    const { id } = await hosts.status(fourth);
    await moved(hosts);
    assert.ok((await memberAt(hosts, 0, id))!.tokens > 200, "a quarter of the tokens");

    const plan = JSON.parse(await succeeds(through(hosts, fourth, "plan", "leave", "--json"))) as PlanView;
    const own = plan.hosts.find((host) => host.id === id)!;
    assert.deepEqual([plan.host, own.tokens.after, plan.partitionsCopied], [id, 0, own.replicas.before]);
    assert.equal((await memberAt(hosts, 0, id))!.status, "up", "a plan changes nothing");

    assert.match(await succeeds(through(hosts, fourth, "leave")), /\ndone\n$/);
    await eventually(() => !hosts.isRunning(fourth), "the host to end");
    assert.equal(hosts.exitCode(fourth), 0);
    for (const i of [0, 1, 2]) assert.equal((await memberAt(hosts, i, id))!.status, "left");
    await allThere(hosts);
    await fails(through(hosts, 0, "join", id), 1, /it returns when it is started with --seed/);

    hosts.start(fourth);
    await hosts.ready(fourth);
    await allThere(hosts);
    const { status, life } = (await memberAt(hosts, 0, id))!;
    assert.deepEqual([status, life], ["up", 2]);

    // A share may be taken in several changes.
    const { changes } = await getJson<RingView>(`${hosts.url(1)}/ring`);
    const told = changes.map(({ verb, subject, by }) => `${verb} of ${subject} by ${by}`);
    const ids = await Promise.all([0, 1, 2].map(async (i) => (await hosts.status(i)).id));
    const joins = [...ids.slice(1), id].map((each) => `join of ${each} by ${each}`);
    assert.deepEqual(
      told.filter((each, i) => each !== told[i - 1]),
      [`create of ${ids[0]} by ${ids[0]}`, ...joins, `leave of ${id} by ${id}`, joins.at(-1)],
    );
    for (const [i, { atMs, tokens }] of changes.entries()) {
      assert.ok(
        atMs >= (changes[i - 1]?.atMs ?? startedMs) && atMs <= Date.now() && tokens > 0,
        JSON.stringify(changes),
      );
    }
  });

  test("holds nothing with --no-join until it is told to join; how far that is its status tells, and the terminal", async () => {
    await using hosts = await withKeys(3);
    const held = await hosts.begin({ flags: ["--no-join"], env: slowTransfers });
    const isKnown = async (): Promise<boolean> =>
      (await fetch(hosts.url(held)).catch(() => undefined)) !== undefined &&
      (await hosts.status(held)).members.length === 4;
    await eventually(isKnown, "the host to meet the others");
    const { id, ready, notices, partitions } = await hosts.status(held);
    assert.deepEqual([ready, partitions.owned], [false, 0]);
    assert.ok(
      notices.some((notice) => notice.includes("everwrite join ID")),
      notices.join("; "),
    );
    await eventually(async () => (await memberAt(hosts, 0, id))?.alive === true, "host 0 to reach it");

    const { filling, said, ended } = await watchedJoin(hosts, held, id);
    assert.ok(filling.percent < 100 && filling.keys > 0 && filling.keys < keys.length, JSON.stringify(filling));
    assert.ok(filling.bytes > 10 * filling.keys && filling.leftMs! > 0, JSON.stringify(filling));
    assert.match(said, /^filling +[1-9]\d? %, [1-9]\d* keys and .*B copied, about .* left$/m);
    assert.match(ended.out, /partitions get other owners(.|\n)*\ndone\n$/);
    assert.match(ended.told, /[1-9]\d? %: about [1-9]\d* of \d+ keys, .*B of .*B, about .* left/);
    assert.equal(ended.code, 0);
    await hosts.ready(held);
    assert.ok((await memberAt(hosts, 0, id))!.tokens > 200);
    await allThere(hosts);
    assert.match(await succeeds(through(hosts, 0, "join", id)), /nothing to change: each host has its share/);
  });

  test("together with another one: each gets a share, and a rebalance evens them out", async () => {
    await using hosts = await withKeys(3);
    const both = [await hosts.begin(), await hosts.begin()];
    for (const i of both) await hosts.ready(i);
    await allThere(hosts);
    await succeeds(through(hosts, 0, "rebalance"));
    await allThere(hosts);
    for (const i of both) assert.ok((await hosts.status(i)).partitions.owned > 0);
    const { tokens, efficiency } = await getJson<RingView>(`${hosts.url(0)}/ring`);
    assert.equal(new Set(tokens).size, 5);
    assert.ok(efficiency.primary >= 0.97 && efficiency.replica >= 0.95, JSON.stringify(efficiency));
    assert.match(await succeeds(through(hosts, 1, "rebalance")), /nothing to change/);
  });
});

describe("a host that is removed", () => {
  test("has to be dead for that, is replaced from the others' copies, and returns as a new member", async () => {
    await using hosts = await withKeys(4);
    const { id } = await hosts.status(3);
    await fails(through(hosts, 0, "remove", id), 1, /answers: let it leave, or remove it by force/);
    await hosts.signal(3, "SIGKILL");
    await suspected(hosts, 0, id);
    assert.match(await succeeds(through(hosts, 0, "remove", id)), /\ndone\n$/);
    await allThere(hosts);
    await fails(through(hosts, 1, "remove", id), 1, /is no member any more: it was removed/);

    // With its data, on which it is a member still: it learns that it is none, and stays out until it is started again.
    hosts.start(3);
    await eventually(() => knowsOfRemoval(hosts, 3), "the host to know that it was removed");
    await hosts.signal(3, "SIGTERM");
    hosts.start(3);
    await hosts.ready(3);
    await allThere(hosts);
    const { status, life } = (await memberAt(hosts, 1, id))!;
    assert.deepEqual([status, life], ["up", 2]);
  });

  test("returns with all but what was forgotten without it, which is set aside, shown, and imported by hand alone", async () => {
    await using hosts = await withKeys(4, { EVERWRITE_GRACE_MS: "2000" });
    const { id } = await hosts.status(3);
    const held = await Promise.all(keys.map(async (key) => (await kv(hosts.url(3)).get(key, "local=1")).json.holding));
    const doomed = keys.find((_key, i) => held[i] === "complete")!;
    await hosts.signal(3, "SIGKILL");
    await suspected(hosts, 0, id);
    await succeeds(through(hosts, 0, "remove", id));
    await moved(hosts);
    const { context } = await kv(hosts.url(0)).get(doomed, "r=all");
    assert.equal((await kv(hosts.url(0)).delete(doomed, { context, query: "w=all" })).status, 200);
    await eventually(async () => {
      const all = await Promise.all([0, 1, 2].map((i) => hosts.status(i)));
      return all.every(({ tombstones }) => tombstones.waiting === 0);
    }, "the others to forget it");

    hosts.start(3);
    await eventually(() => knowsOfRemoval(hosts, 3), "the host to know that it was removed");
    await hosts.signal(3, "SIGTERM");
    hosts.start(3);
    await hosts.ready(3);
    await moved(hosts);
    const [aside, ...more] = (await hosts.status(3)).storage.setAside;
    assert.match(aside!, /store\.old-/);
    assert.deepEqual(more, []);
    for (const url of hosts.urls) {
      for (const key of keys) {
        assert.deepEqual((await kv(url).get(key, "r=all")).values, key === doomed ? [] : [key], `${key} at ${url}`);
      }
    }
    const imported = await through(hosts, 3, "import-old", aside!, "--deleted-may-return", "--json");
    assert.deepEqual([imported.code, JSON.parse(imported.text)], [0, { keys: 1, failed: 0 }]);
    assert.deepEqual((await kv(hosts.url(0)).get(doomed, "r=all")).values, [doomed]);
  });

  test("while it could not be reached learns of it when it is back, serves nobody, and says how to return", async () => {
    await using hosts = await withKeys(4);
    const { id } = await hosts.status(3);
    await hosts.signal(3, "SIGSTOP");
    await suspected(hosts, 0, id);
    await succeeds(through(hosts, 0, "remove", id));
    await hosts.signal(3, "SIGCONT");
    await eventually(() => knowsOfRemoval(hosts, 3), "the host to know that it was removed");
    assert.equal((await fetch(`${hosts.url(3)}/readyz`)).status, 503);
    const put = await kv(hosts.url(3)).put("ring/late", "x", { query: "w=1" });
    assert.deepEqual([put.status >= 400, put.json.error?.code], [true, "not-member"]);
    await hosts.signal(3, "SIGTERM");
    await allThere(hosts);
  });
});

test("a host with the address of another and a name of its own is a new member; the other one is removed by its name", async () => {
  await using hosts = await withKeys(4);
  const { id: lost } = await hosts.status(3);
  await hosts.signal(3, "SIGKILL");
  const stranger = await hosts.begin({ inPlaceOf: 3 });
  await hosts.ready(stranger);
  await moved(hosts);
  const { id } = await hosts.status(stranger);
  assert.notEqual(id, lost);
  for (const i of [0, 1, 2]) {
    const [old, fresh] = [await memberAt(hosts, i, lost), await memberAt(hosts, i, id)];
    assert.deepEqual([old?.status, old?.alive, fresh?.status, fresh?.alive], ["up", false, "up", true]);
  }
  await succeeds(through(hosts, 0, "remove", lost));
  for (const url of [hosts.url(0), hosts.url(stranger)]) {
    await eventually(async () => {
      const { members } = await getJson<NodeStatus>(`${url}/status`);
      return members.some((member) => member.id === lost && member.status === "removed");
    }, "the removal to be known");
  }
  await moved(hosts);
  for (const key of keys) assert.deepEqual((await kv(hosts.url(stranger)).get(key, "r=all")).values, [key]);
});

test("a command that cannot be is refused with its reason, and changes nothing", async () => {
  await using hosts = await HostProcesses.of(1, temporaryDirectory());
  const { id, ring } = await hosts.status(0);
  for (const [verb, code, pattern] of [
    [["plan", "join", "nobody"], 3, /no member nobody; there are 12D3KooW/],
    [["join", "nobody"], 3, /no member nobody/],
    [["remove", "nobody", "--force"], 3, /no member nobody/],
    [["remove", id, "--force"], 1, /last host: with it all data would be gone|can only leave/],
    [["plan", "leave"], 1, /is the last host: with it all data would be gone/],
    [["leave"], 1, /is the last host: with it all data would be gone/],
  ] as const) {
    await fails(through(hosts, 0, ...verb), code, pattern);
  }
  for (const [path, status] of [
    [`rebalance?ring=${"0".repeat(16)}`, 409], // planned on another ring
    ["plan", 400],
    ["plan?change=grow", 400],
    ["plan?change=join", 400],
    ["remove/nobody", 404],
    ["leave?now=1", 400],
  ] as const) {
    const response = await fetch(`${hosts.url(0)}/admin/${path}`, { method: "POST" });
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    assert.equal(response.status, status, `${path}: ${error.message}`);
  }
  const after = await hosts.status(0);
  assert.deepEqual([after.ring, after.ready], [ring, true]);
});
