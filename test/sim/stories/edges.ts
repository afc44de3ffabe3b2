/** Stories of edges whose clocks are wrong, and of values that expire at them. */
import assert from "node:assert/strict";
import * as Y from "yjs";
import type { PutOptions } from "../../../core/api.ts";
import type { LwwConflict } from "../../../core/store-node.ts";
import { until } from "../cluster.ts";
import { SimEdge } from "../edges/sim-edge.ts";
import { bodyOf, contentTypeOf, newWrite, textOf } from "../write.ts";
import type { SimHost } from "../host.ts";
import type { Stage, Story } from "./stage.ts";

const hour = 3_600_000;
const patienceMs = 60_000;
const lww = { kind: "lww" } as const;
const update = { kind: "yjs" } as const;

/** An update of a client of its own, so that it stands alone. */
function markOf(name: string): Uint8Array {
  const doc = new Y.Doc();
  doc.clientID = 1 + Number(name);
  doc.getMap("marks").set(name, true);
  return Y.encodeStateAsUpdate(doc);
}

/** An edge on the key of the story, and what its application is told. */
class Device {
  readonly edge: SimEdge;
  readonly conflicts: LwwConflict[] = [];
  readonly #stage: Stage;
  #heal = (): void => {};

  /** `skewMs`: its clock is ahead by so much. */
  constructor(stage: Stage, skewMs: number) {
    this.#stage = stage;
    this.edge = new SimEdge(stage.world, "edge");
    this.edge.machine.skewMs = skewMs;
  }

  async start(): Promise<void> {
    this.edge.start();
    this.edge.node!.onConflict((conflict) => this.conflicts.push(conflict));
    await until(this.#stage.world, patienceMs, "the edge is ready", () => this.edge.node!.facts().loaded);
  }

  cut(): void {
    const { network, hosts } = this.#stage.world;
    this.#heal = network.cutPairs(
      hosts.map(({ id }) => [this.edge.id, id] as const),
      true,
    );
  }

  heal(): void {
    this.#heal();
  }

  /** Resolves as the edge does: offline when the write is durable here. `updates`: of a document, merged into one. */
  async put(options: PutOptions, updates?: readonly Uint8Array[]): Promise<string> {
    const { oracle, schedule } = this.#stage.world;
    const id = oracle.writes.length;
    const body = updates === undefined ? bodyOf(id, 20) : Y.mergeUpdates([...updates]);
    const { ttlMs } = options;
    const folds = new Set(options.folds);
    oracle.writes.push(
      newWrite({ id, key: "sim/key0", verb: "put", body, folds, context: [], ttlMs, startedMs: schedule.nowMs }),
    );
    const answer = await this.edge.call((node) =>
      node.put("sim", "key0", body, { ...options, contentType: contentTypeOf(id) }),
    );
    assert.ok(answer !== "died");
    return answer.dot;
  }

  async siblings(r?: "local"): Promise<string[]> {
    const read = await this.edge.call((node) => node.get("sim", "key0", r === undefined ? {} : { r }));
    assert.ok(read !== "died");
    return read.siblings.map(({ body }) => textOf(body)).toSorted();
  }

  async online(): Promise<void> {
    const { world } = this.#stage;
    await until(world, patienceMs, "the edge is online", () => this.edge.node!.facts().connected);
  }

  /** All that it has is with hosts, and nothing was refused. */
  async delivered(): Promise<void> {
    const { world } = this.#stage;
    const isDone = (): boolean => this.edge.node!.facts().pending === 0 && this.edge.node!.facts().connected;
    await until(world, patienceMs, "the edge delivers what it has", isDone);
    assert.deepEqual(await this.edge.call((node) => node.parked()), []);
  }
}

/** The edge ends with the story; `skewMs` is of its clock. */
function withDevice(
  skewMs: number,
  play: (stage: Stage, device: Device, host: SimHost) => Promise<void>,
): Story["play"] {
  return async (stage) => {
    const device = new Device(stage, skewMs);
    try {
      await play(stage, device, stage.walk()[0]!);
    } finally {
      device.heal();
      device.edge.kill();
    }
  };
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
