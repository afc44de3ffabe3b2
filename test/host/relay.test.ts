/** Meeting points, with visitors as pages are: they dial WebSockets, listen nowhere, and are found through relays only. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { after, describe, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { StoreError } from "../../core/errors.ts";
import { eventually } from "../support/eventually.ts";
import { everwrite } from "../support/everwrite.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { freePort } from "../support/ports.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { Visitor } from "../support/visitor.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

after(() => Visitor.stopAll());

describe("a relay", () => {
  it("lets those find each other that nobody can dial, and carries far more than libp2p's 128 KiB", async () => {
    await using relay = await RelayProcess.start();
    const [a, b] = [await Visitor.start(relay.address), await Visitor.start(relay.address)];
    await eventually(() => a.isFoundThrough(relay.id) && b.isFoundThrough(relay.id), "both have a reservation");
    await a.asks(b);
    const large = new Uint8Array(1024 * 1024).fill(7);
    for (let n = 0; n < 4; n += 1) {
      const echo = await a.transport.request(b.transport.self, large, 30_000);
      assert.equal(Buffer.compare(echo, large), 0);
    }
  });

  it("that comes back under its key and address is found again by all, and a newcomer reaches them", async () => {
    await using relay = await RelayProcess.start();
    const [a, b] = [await Visitor.start(relay.address), await Visitor.start(relay.address)];
    await eventually(() => a.isFoundThrough(relay.id) && b.isFoundThrough(relay.id), "both have a reservation");
    for (let round = 0; round < 2; round += 1) {
      const { id } = relay;
      await relay.kill();
      await eventually(() => a.addresses.length + b.addresses.length === 0, "both know that nobody finds them");
      assert.match([...a.points.states()][0]?.reason ?? "", /lost|could not be opened|ECONN(?:REFUSED|RESET)/);
      await relay.start();
      assert.equal(relay.id, id);
      await eventually(() => a.isFoundThrough(id) && b.isFoundThrough(id), "both have a reservation again");
      const newcomer = await Visitor.start(relay.address);
      await newcomer.asks(a);
      await newcomer.asks(b);
    }
  });

  it("is one of several: a visitor is found through each, and still when one is gone", async () => {
    await using one = await RelayProcess.start();
    await using other = await RelayProcess.start();
    const [a, b] = [await Visitor.start(one.address, other.address), await Visitor.start(one.address, other.address)];
    await eventually(() => a.isFoundThrough(one.id, other.id), "it has a reservation at both");
    await one.kill();
    await eventually(() => !a.isFoundThrough(one.id), "the lost one is withdrawn");
    await b.asks(a);
  });

  it("gives a reservation of a node that is gone to one that it had refused", async () => {
    await using relay = await RelayProcess.start("--reservations", "1");
    const first = await Visitor.start(relay.address);
    await eventually(() => first.isFoundThrough(relay.id), "the first has the only reservation");
    const second = await Visitor.start(relay.address);
    await second.points.connected(10_000);
    await setTimeout(300);
    assert.ok(!second.isFoundThrough(relay.id));
    await first.stop();
    await eventually(() => second.isFoundThrough(relay.id), "the second has it");
    await (await Visitor.start(relay.address)).asks(second);
  });

  it("takes the reservation of a node that fell silent without a word", async () => {
    await using relay = await RelayProcess.start("--reservations", "1");
    const child = fork(fileURLToPath(new URL("./relay-visitor-process.js", import.meta.url)), [relay.address]);
    after(() => child.kill("SIGKILL"));
    await once(child, "message");
    const isTaken = async (): Promise<boolean> => {
      const next = await Visitor.start(relay.address);
      await next.points.connected(10_000);
      await setTimeout(300);
      const found = next.isFoundThrough(relay.id);
      await next.stop();
      return !found;
    };
    assert.ok(await isTaken());
    child.kill("SIGSTOP");
    await eventually(async () => !(await isTaken()), "the reservation is free again", 60_000);
  });

  it("is the same one after Ctrl-C, and says which port is taken", async () => {
    await using relay = await RelayProcess.start();
    const { id, address } = relay;
    const second = await everwrite("relay", "--data", temporaryDirectory(), "--p2p", address);
    assert.equal(second.code, 1);
    assert.ok(second.text.includes(address) && second.text.includes("EADDRINUSE"), second.text);
    assert.equal(await relay.interrupt(), 0);
    await relay.start();
    assert.equal(relay.id, id);
  });

  it("is told no nonsense", async () => {
    const { code, text: said } = await everwrite("relay", "--reservations", "many");
    assert.deepEqual([code, said.includes('--reservations: "many" is not an integer')], [2, true]);
  });
});

it("every host is a relay, unless told otherwise", async () => {
  const [open, closed] = [await freePort(), await freePort()].map((port) => `/ip4/127.0.0.1/tcp/${port}/ws`);
  await using hosts = new HostProcesses(temporaryDirectory());
  await hosts.add({ flags: ["--p2p", open!] });
  await hosts.add({ flags: ["--p2p", closed!, "--relay-reservations", "0"] });
  const [a, b] = [await Visitor.start(open!, closed!), await Visitor.start(open!, closed!)];
  const { id } = await hosts.status(0);
  await eventually(() => a.isFoundThrough(id) && b.isFoundThrough(id), "both have a reservation");
  await b.asks(a);
  assert.deepEqual(a.isFoundThrough((await hosts.status(1)).id), false);
});

it("where no meeting point answers, a newcomer is told which and why", async () => {
  const seeds = [await freePort(), await freePort()].map((port) => `/ip4/127.0.0.1/tcp/${port}/ws`);
  const lost = await Visitor.start(...seeds);
  await assert.rejects(lost.points.connected(1_500), (error: unknown) => {
    assert.ok(error instanceof StoreError && error.code === "not-ready");
    for (const seed of seeds) assert.ok(error.message.includes(`${seed}: `), error.message);
    assert.doesNotMatch(error.message, /no answer yet|\[object/);
    return true;
  });
  assert.deepEqual(
    [...lost.points.states()].map(({ address, connected }) => [address, connected]),
    seeds.map((seed) => [seed, false]),
  );
  await assert.rejects(lost.transport.meet(seeds[0]!), { name: "TransportError", kind: "not-sent" });
});
