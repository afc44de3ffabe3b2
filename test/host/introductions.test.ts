/** What a relay tells of the hosts of a cluster that are there, and what it makes of bad questions. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { Connection } from "@libp2p/interface";
import { askForIntroduction } from "../../core/libp2p/introductions.ts";
import { eventually } from "../support/eventually.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { freePort } from "../support/ports.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { Visitor } from "../support/visitor.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

after(() => Visitor.stopAll());

const cluster = "shop";
const protocol = "/everwrite/introductions/1";

async function connectionOf(visitor: Visitor): Promise<Connection> {
  await visitor.points.connected(10_000);
  return visitor.libp2p.getConnections()[0]!;
}

async function ask(visitor: Visitor, standing: "visitor" | "candidate" | "host", name = cluster) {
  return askForIntroduction(await connectionOf(visitor), { cluster: name, standing });
}

describe("a relay", () => {
  it("names the hosts that are there to whoever asks, of that cluster only, and no more when they are gone", async () => {
    await using relay = await RelayProcess.start();
    const [a, b, c] = await Promise.all([0, 1, 2].map(() => Visitor.start(relay.address)));
    assert.deepEqual((await ask(a!, "host")).hosts, []);
    assert.deepEqual((await ask(b!, "host")).hosts, [a!.transport.self]);
    const { hosts, isFirst, upMs } = await ask(c!, "visitor");
    assert.deepEqual(new Set(hosts), new Set([a!.transport.self, b!.transport.self]));
    assert.ok(!isFirst && upMs > 0);
    assert.deepEqual((await ask(b!, "visitor")).hosts, [a!.transport.self], "who asks as a visitor stays a host");
    assert.deepEqual((await ask(c!, "visitor", "another")).hosts, []);
    await a!.stop();
    await eventually(async () => (await ask(c!, "visitor")).hosts.length === 1, "the relay to forget who left");
  });

  it("calls one candidate the first, until there is a host, or it is gone", async () => {
    await using relay = await RelayProcess.start();
    const [a, b] = await Promise.all([0, 1].map(() => Visitor.start(relay.address)));
    assert.deepEqual([(await ask(a!, "visitor")).isFirst, (await ask(b!, "candidate")).isFirst], [false, true]);
    assert.deepEqual([(await ask(a!, "candidate")).isFirst, (await ask(b!, "candidate")).isFirst], [false, true]);
    assert.deepEqual((await ask(a!, "candidate")).hosts, []);
    await b!.stop();
    await eventually(async () => (await ask(a!, "candidate")).isFirst, "the second is first");
    const c = await Visitor.start(relay.address);
    await ask(c, "host");
    assert.deepEqual(await ask(a!, "candidate").then(({ hosts, isFirst }) => [hosts, isFirst]), [
      [c.transport.self],
      false,
    ]);
  });

  it("lists one node for 16 clusters at most", async () => {
    await using relay = await RelayProcess.start();
    const [a, b] = await Promise.all([0, 1].map(() => Visitor.start(relay.address)));
    const names = Array.from({ length: 20 }, (_, n) => `cluster ${n}`);
    for (const name of names) await ask(a!, "host", name);
    const listed: number[] = [];
    for (const name of names) listed.push((await ask(b!, "visitor", name)).hosts.length);
    assert.deepEqual(listed, [...Array<number>(16).fill(1), ...Array<number>(4).fill(0)]);
  });

  const questions: readonly (readonly [what: string, bytes: Uint8Array])[] = [
    ["nothing", new Uint8Array(0)],
    ["noise", Uint8Array.from({ length: 200 }, (_, n) => (n * 89) % 251)],
    ["far too much", new Uint8Array(100_000)],
  ];
  it("ends the stream of whoever asks nonsense, and answers others", async () => {
    await using relay = await RelayProcess.start();
    const [bad, good] = await Promise.all([0, 1].map(() => Visitor.start(relay.address)));
    await ask(good!, "host");
    for (const [what, bytes] of questions) {
      const stream = await (await connectionOf(bad!)).newStream(protocol);
      let answered = 0;
      stream.addEventListener("message", ({ data }) => (answered += data.byteLength));
      const ended = new Promise((resolve) => stream.addEventListener("close", resolve));
      if (bytes.length > 0) stream.send(bytes);
      await Promise.race([stream.close().catch(() => undefined), setTimeout(2_000)]);
      await ended;
      assert.equal(answered, 0, what);
    }
    assert.deepEqual((await ask(bad!, "visitor")).hosts, [good!.transport.self]);
  });
});

it("a host introduces nobody: it is one itself", async () => {
  const address = `/ip4/127.0.0.1/tcp/${await freePort()}/ws`;
  await using hosts = new HostProcesses(temporaryDirectory());
  await hosts.add({ flags: ["--p2p", address] });
  const visitor = await Visitor.start(address);
  await assert.rejects(ask(visitor, "host"), { name: "UnsupportedProtocolError" });
});
