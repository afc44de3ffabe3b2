/** Stories of edges whose clocks are wrong, and of values that expire at them. */
import assert from "node:assert/strict";
import * as Y from "yjs";
import { until } from "../cluster.ts";
import { textOf } from "../write.ts";
import { withDevice } from "./device.ts";
import type { Story } from "./stage.ts";

const hour = 3_600_000;
const lww = { kind: "lww" } as const;
const update = { kind: "yjs" } as const;

/** An update of a client of its own, so that it stands alone. */
function markOf(name: string): Uint8Array {
  const doc = new Y.Doc();
  doc.clientID = 1 + Number(name);
  doc.getMap("marks").set(name, true);
  return Y.encodeStateAsUpdate(doc);
}

export const edgeStories: readonly Story[] = [
  {
    name: "what is added to an unsent update is not taken away by one who has not seen it",
    brokenBy: "an unsent update grows under its dot",
    play: withDevice(0, async (_stage, device, host) => {
      device.cut();
      await device.start();
      const marks = ["0", "1", "2"].map(markOf);
      const dot = await device.put(update, marks.slice(0, 1));
      await device.put({ ...update, folds: [dot] }, marks.slice(0, 2));
      await device.put({ ...update, folds: [dot] }, [marks[0]!, marks[2]!]);
      device.heal();
      await device.delivered();
      const read = await host.call((node) => node.get("sim", "key0"));
      assert.ok(read !== "died");
      const doc = new Y.Doc();
      for (const { body } of read.siblings) Y.applyUpdate(doc, body);
      assert.deepEqual([...doc.getMap("marks").keys()].toSorted(), ["0", "1", "2"]);
    }),
  },
  {
    name: "of two lww writes the later wins, though its edge has a clock that is an hour behind",
    brokenBy: "an edge takes its own clock for the hosts'",
    play: withDevice(-hour, async (stage, device, host) => {
      await device.start();
      await device.online();
      await stage.put(host, { lww: true, quorum: "all" });
      await stage.sleep(1_000);
      await device.put({ ...lww, w: "all" });
      await device.delivered();
      assert.deepEqual(await stage.siblings(host), ["write 1"]);
    }),
  },
  {
    name: "an lww write from before its edge met hosts is as old as it is, not as its edge's clock had it",
    brokenBy: "an edge sends what it minted by a wrong clock",
    play: withDevice(-hour, async (stage, device, host) => {
      device.cut();
      await device.start();
      await stage.put(host, { lww: true, quorum: "all" });
      await stage.sleep(1_000);
      await device.put(lww);
      await stage.sleep(1_000);
      device.heal();
      await device.delivered();
      assert.deepEqual(await stage.siblings(host), ["write 1"]);
    }),
  },
  {
    name: "an edge whose lww write has lost to one that had not seen it tells that once",
    brokenBy: "an edge does not tell what hosts have discarded",
    play: withDevice(hour, async (stage, device, host) => {
      await device.start();
      await device.online();
      device.cut();
      await stage.sleep(5_000);
      const dot = await device.put(lww);
      await stage.sleep(1_000);
      await stage.put(host, { lww: true, quorum: "all" });
      device.heal();
      await device.delivered();
      assert.deepEqual(await device.siblings(), ["write 1"]);
      assert.deepEqual(
        device.conflicts.map(({ discardedDot }) => discardedDot),
        [dot],
      );
    }),
  },
  {
    name: "a value expires for an edge when it does for hosts, whatever the edge's clock, and also offline",
    brokenBy: "an edge judges expiry by its own clock",
    play: withDevice(-hour, async (stage, device, host) => {
      await device.start();
      await device.online();
      await stage.put(host, { ttlMs: 5_000, quorum: "all" });
      await stage.sleep(1_000);
      assert.deepEqual(await device.siblings(), ["write 0"]);
      device.cut();
      await stage.sleep(2_000);
      assert.deepEqual(await device.siblings("local"), ["write 0"]);
      await stage.sleep(3_000);
      assert.deepEqual([await device.siblings("local"), await stage.siblings(host)], [[], []]);
      device.heal();
    }),
  },
  {
    name: "a renewal does not bring back what was deleted since it was read",
    brokenBy: "a renewal wins over what it has not seen",
    play: withDevice(0, async (stage, device, host) => {
      await device.start();
      await device.online();
      await stage.put(host, { lww: true, ttlMs: 3_600_000, quorum: "all" });
      const read = await device.edge.call((node) => node.get("sim", "key0"));
      assert.ok(read !== "died");
      await stage.delete(host, { lww: true, quorum: "all" });
      await device.put({ ...lww, context: read.context!, renews: true, ttlMs: 3_600_000, w: "all" });
      await device.delivered();
      assert.deepEqual(await stage.siblings(host), []);
    }),
  },
  {
    name: "whoever watches a value that expires is told when it does",
    brokenBy: "a watch at an edge does not look at expiry",
    play: withDevice(hour, async (stage, device, host) => {
      await device.start();
      await device.online();
      const shown: string[] = [];
      const watching = (async () => {
        for await (const { siblings } of device.edge.node!.watch("sim", { name: "key0" }, neverAborted)) {
          shown.push(siblings.map(({ body }) => textOf(body)).join());
        }
      })();
      await stage.put(host, { ttlMs: 5_000, quorum: "all" });
      await until(stage.world, 4_000, "the value is shown", () => shown.at(-1) === "write 0");
      const seen = shown.length;
      await until(stage.world, 5_000, "its expiry is shown", () => shown.length > seen);
      assert.deepEqual(shown.slice(seen), [""]);
      device.edge.kill();
      void watching;
    }),
  },
];

const neverAborted = { aborted: false, addEventListener: () => {}, removeEventListener: () => {} };
