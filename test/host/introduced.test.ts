/** A host that is listed at relays, of which one does not answer. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { Introduced } from "../../core/libp2p/introduced.ts";
import { systemRandom } from "../../core/libp2p/system-ports.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { eventually } from "../support/eventually.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { Visitor } from "../support/visitor.ts";

after(() => Visitor.stopAll());

test("a relay that does not answer is asked one question at a time, and again when that one is given up", async () => {
  await using relay = await RelayProcess.start();
  const visitor = await Visitor.start(relay.address);
  await visitor.points.connected(10_000);
  await eventually(() => visitor.isFoundThrough(relay.id), "the relay to have nothing more to say");
  const [connection] = visitor.libp2p.getConnections();
  let asked = 0;
  const newStream = connection!.newStream.bind(connection);
  connection!.newStream = async (...args) => {
    asked += 1;
    return newStream(...args);
  };
  relay.pause();
  const { libp2p, transport, points } = visitor;
  const clock = new ManualClock();
  const introduced = new Introduced(
    { libp2p, transport, clock, random: systemRandom, points: () => points.states() },
    "shop",
  );
  introduced.list();
  await clock.advance(4_000);
  assert.equal(asked, 1);
  await eventually(async () => {
    await clock.advance(1_000);
    await setImmediate();
    return asked === 2;
  }, "another question");
  introduced.stop();
});
