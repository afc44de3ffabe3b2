/** Where stories play: a cluster of hosts on calm wires, one key, and clients who remember what they have read. */
import assert from "node:assert/strict";
import type { RingRequest } from "../../../core/api.ts";
import type { Clients } from "../clients.ts";
import type { NodeId } from "../../../core/identity.ts";
import type { MemberRecord } from "../../../core/membership/member.ts";
import { lease } from "../../../core/membership/roles.ts";
import type { DiskImage } from "../disk-image.ts";
import type { SimHost } from "../host.ts";
import { type Operation, plainOperation, type Scenario } from "../scenario.ts";
import { membershipOn } from "../rows.ts";
import { settle, stand, until } from "../cluster.ts";
import { healAndJudge } from "../liveness.ts";
import { type Report, simulate } from "../simulate.ts";
import type { World } from "../world.ts";
import { textOf, type Write } from "../write.ts";

export interface Story {
  /** A sentence of the specification, with the bug behind it. */
  readonly name: string;
  readonly cluster?: Partial<Scenario>;
  /** The planted bug that shows that it can fail. */
  readonly brokenBy?: string;
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
  endsInDeletes: false,
  racesReaps: false,
  lateMsMax: 0,
  skewMs: 0,
  browsers: [],
  edges: 0,
  leaseMs: lease.minMs,
  joinsAtOnce: false,
  gossips: false, // the swarm gossips: a story is about something else
  evensOut: false,
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

const patienceMs = 60_000;

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

  /** Of a host, as another one has it on its disk. */
  incarnation(of: SimHost, at: SimHost): number {
    return membershipOn(at.disk.view)?.roster.members.get(of.id)?.incarnation ?? 0;
  }

  /** As another host has it on its disk. */
  member(of: SimHost, at: SimHost): MemberRecord {
    const record = membershipOn(at.disk.view)?.roster.members.get(of.id);
    assert.ok(record, `${at.name} knows no ${of.name}`);
    return record;
  }

  /** Until its lease has lapsed, as this host has it on its disk. */
  lapsed(of: SimHost, at: SimHost): Promise<void> {
    return until(this.world, patienceMs, `${of.name} lapses`, () => this.member(of, at).status === "lapsed");
  }

  /** That nobody's membership ended, for so long; at the end all must know each other. */
  async nobodyLapses(ms: number): Promise<void> {
    await this.sleep(ms);
    for (const at of this.world.hosts) {
      for (const of of this.world.hosts) {
        const { life, status } = this.member(of, at);
        assert.deepEqual([life, status], [1, "up"], `${of.name} at ${at.name}`);
      }
    }
  }

  /** Until it has found out that its data is an old copy, and serves nobody with it. */
  async startsAnew(host: SimHost): Promise<void> {
    const isOld = async (): Promise<boolean | undefined> =>
      (await host.node?.status())?.notices.includes("waiting for its old data to be set aside");
    while (!(await isOld())) await this.sleep(10);
  }

  sleep(ms: number): Promise<void> {
    return this.world.sleep(ms);
  }

  /** Deletes what a read there finds. */
  async delete(at: SimHost, how: Partial<Operation> = {}): Promise<Write> {
    await this.get(at, how);
    return this.put(at, { verb: "delete", context: "latest", ...how });
  }

  /** Runs `act` once, just before the host sends its first request of this method to one of the others, or to `target`. */
  beforeRequest(host: SimHost, method: { readonly number: number }, act: (to: NodeId) => void, target?: SimHost): void {
    const { transport } = host;
    assert.ok(transport, `${host.name} does not run`);
    transport.onNextRequest = (to, body) => {
      if (body[0] !== method.number || to === host.id || (target !== undefined && to !== target.id)) return;
      transport.onNextRequest = undefined;
      act(to);
    };
  }

  /** Until the host has sent a request of this method to the other one. */
  requested(host: SimHost, method: { readonly number: number }, to: SimHost): Promise<void> {
    let isSent = false;
    host.transport!.onNextRequest = (id, body) => {
      isSent ||= id === to.id && body[0] === method.number;
    };
    return until(this.world, patienceMs, `${host.name} asks ${to.name}`, () => isSent);
  }

  /** Until hosts have forgotten so many copies of deleted keys. */
  async reaped(copies: number): Promise<void> {
    const deadlineMs = this.world.schedule.nowMs + 10 * this.world.graceMs;
    while (this.world.reaped.keys < copies) {
      assert.ok(this.world.schedule.nowMs < deadlineMs, `${this.world.reaped.keys} copies were forgotten`);
      await this.sleep(10);
    }
  }

  /** So long that a reap would have come, and that none has. */
  async notReaped(): Promise<void> {
    await this.sleep(4 * this.world.graceMs);
    assert.equal(this.world.reaped.keys, 0);
  }

  /** What an operator commands there. */
  async change(at: SimHost, request: RingRequest): Promise<void> {
    const plan = await at.call((node) => node.changeRing(request));
    assert.notEqual(plan, "died");
    this.world.schedule.log(`operator at ${at.name}: ${request.kind}`);
  }

  /** Nothing passes between these hosts and the others until the answer is called. */
  cutOff(...hosts: readonly SimHost[]): () => void {
    const others = this.world.hosts.filter((host) => !hosts.includes(host));
    const pairs = hosts.flatMap((host) => others.map((other) => [host.id, other.id] as const));
    return this.world.network.cutPairs(pairs, true);
  }

  /** Until it was told to leave, and has. */
  gone(host: SimHost): Promise<void> {
    return until(this.world, patienceMs, `${host.name} leaves`, () => host.gone);
  }

  /** Until this host has heard that it was removed. */
  notices(host: SimHost): Promise<void> {
    const isNoticed = (): boolean => membershipOn(host.disk.view)?.roster.members.get(host.id)?.status === "removed";
    return until(this.world, patienceMs, `${host.name} notices that it was removed`, isNoticed);
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
  async wipe(host: SimHost, { awaitReady = true } = {}): Promise<void> {
    host.kill("loses its disk");
    const { arrivals, oracle, schedule } = this.world;
    oracle.losing(host, schedule.nowMs, () => host.disk.wipe());
    arrivals.arrives(host, schedule.nowMs);
    if (awaitReady) await this.start(host);
    else this.world.start(host);
  }

  /** Kills it, and one record of it is gone. */
  lose(host: SimHost): void {
    host.kill("finds a record missing");
    const { oracle, schedule } = this.world;
    oracle.losing(host, schedule.nowMs, () => host.disk.lose("objects"));
  }

  /** Kills it; its disk is what it was when `copy` was made. `isNoticed`: it can find out from the others, and fills then. */
  restoreCopy(host: SimHost, copy: DiskImage, { isNoticed }: { readonly isNoticed: boolean }): void {
    host.kill("gets an old copy of its disk back");
    const { arrivals, copiedHosts, oracle, schedule } = this.world;
    copiedHosts.add(host.id);
    this.world.losesToCopy(host, copy);
    oracle.losing(host, schedule.nowMs, () => host.disk.restore(copy));
    if (isNoticed) arrivals.arrives(host, schedule.nowMs);
    else arrivals.forgetArrival(host);
  }

  cutPower(host: SimHost): void {
    const { oracle, schedule } = this.world;
    oracle.losing(host, schedule.nowMs, () => host.powerCut());
  }

  /** Until all run, agree and hold everything. */
  settled(): Promise<void> {
    return settle(this.world, 60_000, "the cluster settles");
  }

  /** Until nothing is kept for anybody. */
  drained(): Promise<void> {
    return settle(this.world, 60_000, "hints are delivered", true);
  }

  /** Flips a bit of the body in the host's record of a key (not of the checksum, which might show nowhere), and lets it find out. */
  async damage(host: SimHost): Promise<void> {
    const { oracle, schedule } = this.world;
    host.kill("finds a record damaged");
    oracle.losing(host, schedule.nowMs, () => host.disk.damage("objects", bodyIn));
    await this.start(host);
    await this.settled();
  }
}

/** Where the text of a write begins; 0: it has none. */
function bodyIn(record: Uint8Array): number {
  return Math.max(0, Buffer.from(record).indexOf("write "));
}
