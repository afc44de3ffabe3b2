/** An edge in a story: a device on its key, and what its application is told. */
import assert from "node:assert/strict";
import * as Y from "yjs";
import type { PutOptions } from "../../../core/api.ts";
import type { EdgeConfig } from "../../../core/edge/config.ts";
import type { LwwConflict } from "../../../core/store-node.ts";
import { until } from "../cluster.ts";
import { SimEdge } from "../edges/sim-edge.ts";
import { bodyOf, contentTypeOf, newWrite, textOf } from "../write.ts";
import type { SimHost } from "../host.ts";
import type { Stage, Story } from "./stage.ts";

const patienceMs = 60_000;

export class Device {
  readonly edge: SimEdge;
  readonly conflicts: LwwConflict[] = [];
  readonly #stage: Stage;
  #heal = (): void => {};

  /** `skewMs`: its clock is ahead by so much. */
  constructor(stage: Stage, skewMs: number, config: Partial<EdgeConfig>) {
    this.#stage = stage;
    this.edge = new SimEdge(stage.world, "edge", config);
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

  /** It keeps in contact with this host: it has heard of it. */
  knows({ id }: SimHost): boolean {
    return [...this.edge.transport!.peers()].some((peer) => peer.id === id);
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

/** The edge ends with the story; `skewMs` is of its clock, and `config` what its life draws else. */
export function withDevice(
  skewMs: number,
  play: (stage: Stage, device: Device, host: SimHost) => Promise<void>,
  config: Partial<EdgeConfig> = {},
): Story["play"] {
  return async (stage) => {
    const device = new Device(stage, skewMs, config);
    try {
      await play(stage, device, stage.walk()[0]!);
    } finally {
      device.heal();
      device.edge.kill();
    }
  };
}
