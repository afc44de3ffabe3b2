/** Where stories play: a cluster of hosts on calm wires, one key, and clients who remember what they have read. */
import assert from "node:assert/strict";
import type { Clients } from "../clients.ts";
import type { SimHost } from "../host.ts";
import type { Operation, Scenario } from "../scenario.ts";
import { settle, stand } from "../cluster.ts";
import { healAndJudge, plainOperation } from "../liveness.ts";
import { type Report, simulate } from "../simulate.ts";
import type { World } from "../world.ts";
import { textOf, type Write } from "../write.ts";

export interface Story {
  /** A sentence of the specification, with the bug behind it. */
  readonly name: string;
  readonly cluster?: Partial<Scenario>;
  /** Not true yet, and why. The test fails when it becomes true. */
  readonly notYet?: string;
  readonly play: (stage: Stage) => Promise<void>;
}

const calmCluster: Scenario = {
  seed: "story",
  hosts: 3,
  n: 3,
  partitions: 16,
  config: { readRepairShare: 0 },
  delayMs: [0.2, 1],
  silentMs: 2_000,
  redialMsMax: 200,
  lateMsMax: 0,
  skewMs: 0,
  joinsAtOnce: false,
  apart: [],
  safetyMs: 0,
  operations: [],
  faults: [],
};

export function tell({ name, cluster, play }: Story, options: { readonly echo?: boolean } = {}): Promise<Report> {
  return simulate(
    { ...calmCluster, seed: name, ...cluster },
    {
      ...options,
      plot: async (world, clients) => {
        await stand(world);
        await play(new Stage(world, clients));
        await healAndJudge(world, clients);
      },
    },
  );
}

export class Stage {
  readonly world: World;
  readonly #clients: Clients;

  constructor(world: World, clients: Clients) {
    this.world = world;
    this.#clients = clients;
  }

  host(name: string): SimHost {
    const host = this.world.hosts.find((each) => each.name === name);
    assert.ok(host, `no host ${name}`);
    return host;
  }

  /** Owners of a key first, then the rest of its walk. */
  walk(key = 0): SimHost[] {
    const ring = this.world.oracle.ring();
    assert.ok(ring, "hosts differ about the ring");
    const { partition } = this.world.oracle.locate(`sim/key${key}`);
    return ring.walk(partition).map((id) => this.host(id));
  }

  /** The write, acknowledged or not. */
  put(at: SimHost, how: Partial<Operation> = {}): Promise<Write> {
    return this.#clients.put(at, { ...plainOperation, verb: "put", ...how });
  }

  async get(at: SimHost, how: Partial<Operation> = {}): Promise<void> {
    await this.#clients.run(at, { ...plainOperation, ...how });
  }

  /** First bytes of each sibling that this host knows, sorted. */
  async siblings(at: SimHost, key = 0): Promise<string[]> {
    const answer = await at.call((node) => node.getLocal("sim", `key${key}`));
    assert.ok(answer !== "died");
    return answer.siblings.map(({ body }) => textOf(body)).toSorted();
  }

  sleep(ms: number): Promise<void> {
    return this.world.sleep(ms);
  }

  async restart(host: SimHost): Promise<void> {
    host.kill();
    await this.start(host);
  }

  async start(host: SimHost): Promise<void> {
    this.world.start(host);
    while (!host.ready) await this.sleep(10);
  }

  /** Kills it, takes its disk, and starts it at once. */
  async wipe(host: SimHost): Promise<void> {
    host.kill("loses its disk");
    const { arrivals, oracle, schedule } = this.world;
    oracle.losing(host, schedule.nowMs, () => host.disk.wipe());
    arrivals.arrives(host, schedule.nowMs);
    await this.start(host);
  }

  /** Until all run, agree and hold everything. */
  settled(): Promise<void> {
    return settle(this.world, 60_000, "the cluster settles");
  }

  /** Flips a bit of the host's record of a key, and lets it find out. */
  async damage(host: SimHost): Promise<void> {
    const { oracle, schedule } = this.world;
    host.kill("finds a record damaged");
    oracle.losing(host, schedule.nowMs, () => host.disk.damage("objects"));
    await this.start(host);
    await this.settled();
  }
}
