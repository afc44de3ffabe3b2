/** The parts of `npm start` that decide something: who founds the cluster, which ports, and the story. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { NodeStatus } from "../../core/api.ts";
import { StoreError } from "../../core/errors.ts";
import { claimDirectory } from "../../node-host/demo/claim.ts";
import { ask, DemoHosts, isRunning, lastLogLines } from "../../node-host/demo/hosts.ts";
import { type HostPlace, layOut } from "../../node-host/demo/layout.ts";
import { tellStory } from "../../node-host/demo/story.ts";
import { choosePorts } from "../demo/demo-process.ts";
import { eventually } from "../support/eventually.ts";
import { startTestServer } from "../support/http-server.ts";

function temporary(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "everwrite-demo-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}

function keepData({ directory }: HostPlace): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "data"), "");
}

test("host 1 founds the cluster once and for all: wiped, it joins the others", async () => {
  using directory = temporary();
  const first = await layOut(directory.path, 3);
  const [one, two, three] = first.hosts as [HostPlace, HostPlace, HostPlace];
  const address = ({ p2pPort }: HostPlace): string => `/ip4/127.0.0.1/tcp/${p2pPort}`;
  assert.deepEqual(first.seedsOf(one), []);
  assert.deepEqual(first.seedsOf(two), [address(one), address(three)]);
  first.rememberFounded();

  const second = await layOut(directory.path, 3);
  assert.deepEqual(second.hosts, first.hosts, "same directories, same ports");
  assert.deepEqual(second.seedsOf(one), [address(two), address(three)]);

  // Also where the memory itself was lost.
  rmSync(join(directory.path, "cluster.json"));
  keepData(two);
  assert.equal((await layOut(directory.path, 3)).founded, true);
});

test("a damaged memory is named, with what to do, and is left as it is", async () => {
  using directory = temporary();
  await layOut(directory.path, 2);
  const file = join(directory.path, "cluster.json");
  assert.deepEqual(readdirSync(directory.path), ["cluster.json"]);
  const cut = readFileSync(file, "utf8").slice(0, 40);
  writeFileSync(file, cut);
  await assert.rejects(layOut(directory.path, 2), (error: unknown) => {
    assert.ok(error instanceof StoreError && error.code === "bad-request" && error.message.includes(file));
    return true;
  });
  assert.equal(readFileSync(file, "utf8"), cut);
  rmSync(file);
  assert.equal((await layOut(directory.path, 2)).hosts.length, 2);
});

test("a first start that broke off before host 1 served is a first start again", async () => {
  using directory = temporary();
  const { hosts } = await layOut(directory.path, 2);
  keepData(hosts[0] as HostPlace);
  const again = await layOut(directory.path, 2);
  assert.deepEqual(again.seedsOf(again.hosts[0] as HostPlace), []);
});

test("a port that is taken is replaced and said, and hosts that are not started keep theirs", async () => {
  using directory = temporary();
  const { hosts } = await layOut(directory.path, 3);
  const [one] = hosts as [HostPlace];
  const squatter = createServer().listen(one.httpPort, "127.0.0.1");
  await once(squatter, "listening");
  const fewer = await layOut(directory.path, 1);
  assert.notEqual(fewer.hosts[0]?.httpPort, (squatter.address() as AddressInfo).port);
  assert.match(fewer.moved.join(), new RegExp(`port ${one.httpPort} is taken: HTTP of host 1 is on`));
  squatter.close();
  assert.deepEqual((await layOut(directory.path, 3)).hosts.slice(1), hosts.slice(1));
});

test("the page comes back to its port, by which browsers know what they keep of it, when that is free again", async () => {
  using directory = temporary();
  await choosePorts(directory.path);
  const { pagePort } = await layOut(directory.path, 1);
  const squatter = createServer().listen(pagePort, "127.0.0.1");
  await once(squatter, "listening");
  const moved = await layOut(directory.path, 1);
  assert.notEqual(moved.pagePort, pagePort);
  assert.match(moved.moved.join(), new RegExp(`to browsers this is another shop: .* at port ${pagePort}`));
  squatter.close();
  await once(squatter, "close");
  assert.equal((await layOut(directory.path, 1)).pagePort, pagePort);
});

test("two demos of one machine are two clusters, and each keeps its name though its memory is lost", async () => {
  using one = temporary();
  using other = temporary();
  const { cluster, hosts } = await layOut(one.path, 1);
  assert.notEqual(cluster, (await layOut(other.path, 1)).cluster);
  assert.equal((await layOut(one.path, 1)).cluster, cluster);
  const [place] = hosts as [HostPlace];
  mkdirSync(place.directory);
  writeFileSync(join(place.directory, "identity.key.member"), `${cluster}\n`); // as a member does
  rmSync(join(one.path, "cluster.json"));
  assert.equal((await layOut(one.path, 1)).cluster, cluster);
});

test("a directory is one demo's at a time; one that was killed has it no more", async () => {
  using directory = temporary();
  const file = join(directory.path, "demo.pid");
  writeFileSync(file, `${process.ppid}\n`);
  assert.equal(claimDirectory(directory.path), process.ppid);
  const killed = spawn(process.execPath, ["-e", ""]);
  await once(killed, "exit");
  writeFileSync(file, `${killed.pid}\n`);
  assert.equal(claimDirectory(directory.path), undefined);
  assert.equal(claimDirectory(directory.path), process.pid);
});

test("as many hosts start as the last time, those that were added too, those that left not; a new one takes their place", async () => {
  using directory = temporary();
  const first = await layOut(directory.path);
  assert.equal(first.hosts.length, 3);
  const four = await first.add();
  assert.equal(four.number, 4);
  assert.ok(first.seedsOf(four).length === 3);
  first.rememberLeft(first.hosts[1]!);
  const second = await layOut(directory.path);
  assert.deepEqual(
    second.hosts.map(({ number }) => number),
    [1, 3, 4],
  );
  assert.deepEqual((await second.add()).directory, first.hosts[1]!.directory);
  assert.equal((await layOut(directory.path)).hosts.length, 4);
  assert.equal(second.pagePort, first.pagePort);
});

test("the story ends with one cart, goes on with the cart of an earlier start, and begins anew when it is full", async () => {
  await using server = await startTestServer();
  const tell = async (): Promise<string> => {
    const lines: string[] = [];
    await tellStory([server.url], (line) => lines.push(line));
    return lines.join("\n");
  };
  assert.match(
    await tell(),
    /^Alice has no cart yet\.\n1\.[^]*keeps 2 siblings[^]*5\. Read through host 1: \[book, lamp, pen\]$/,
  );
  assert.match(
    await tell(),
    /^Alice's cart of an earlier start is still there: \[book, lamp, pen\]\n1\. [^]*keeps 2 siblings/,
  );
  await tell();
  await tell();
  assert.match(await tell(), /It is full; she begins a new one\.[^]*5\. Read through host 1: \[book, lamp, pen\]$/);
});

async function startHosts(directory: string, count: number): Promise<DemoHosts & AsyncDisposable> {
  await choosePorts(directory);
  const layout = await layOut(directory, count);
  const hosts = new DemoHosts({ layout, hostsMax: 8, onDeath: () => {} });
  for (const place of layout.hosts) assert.ok(await hosts.start(place), lastLogLines(hosts.host(place.number)));
  return Object.assign(hosts, { [Symbol.asyncDispose]: () => hosts.stopAll("SIGKILL") });
}

function leftOf(directory: string): boolean[] {
  const { ports } = JSON.parse(readFileSync(join(directory, "cluster.json"), "utf8")) as {
    ports: { left?: boolean }[];
  };
  return ports.map(({ left }) => left === true);
}

test("hosts that are added at once are as many hosts", async () => {
  using directory = temporary();
  await using hosts = await startHosts(directory.path, 1);
  const added = await Promise.all([hosts.add(), hosts.add()]);
  assert.deepEqual(
    added.map(({ place }) => place.number),
    [4, 5],
    "4 is a place that was left",
  );
  assert.equal(hosts.all.length, 3);
  await hosts.stopAll("SIGKILL");
  await assert.rejects(hosts.add(), /are being stopped/);
  assert.equal(await hosts.start(added[0].place), false);
  assert.ok(!hosts.all.some(isRunning));
});

test("a host that is interrupted while it leaves is not forgotten", async () => {
  using directory = temporary();
  await using hosts = await startHosts(directory.path, 3);
  const statusOf2 = async (): Promise<NodeStatus> => (await (await ask(hosts.host(2), "status")).json()) as NodeStatus;
  await eventually(async () => (await statusOf2()).partitions.everywhere.filling === 0, "all partitions to be filled");
  // Nobody takes over what the others have.
  await hosts.act(1, "pause");
  await hosts.act(2, "leave");
  await eventually(async () => (await statusOf2()).partitions.owned === 0, "host 2 to give its tokens away");
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    assert.equal(hosts.host(2).state, "leaving");
    const { process: interrupted } = hosts.host(2);
    interrupted.kill(signal);
    await once(interrupted, "exit");
    assert.equal(hosts.host(2).state, "stopped");
    await ask(hosts.host(3), "status"); // as the demo has done by then
    await hosts.act(2, "restart");
    await eventually(() => hosts.host(2).state === "leaving", "host 2 to go on leaving", 90_000);
  }
  await hosts.stopAll("SIGTERM");
  assert.deepEqual(leftOf(directory.path), [false, false, false, true]);
});
