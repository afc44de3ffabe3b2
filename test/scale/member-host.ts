/**
 * A host of a scale study: everything of the core that has to do with membership (roster, ring, exchanges, gossip,
 * heartbeats, suspicion, taking a share), without data: no replica, hints and anti-entropy, and a disk that only counts.
 */
import { keepMembership } from "../../core/background/members.ts";
import { takeShare } from "../../core/background/take-share.ts";
import { Cluster } from "../../core/cluster/cluster.ts";
import { Exchange, fetchRoster } from "../../core/cluster/exchange.ts";
import { Health } from "../../core/cluster/health.ts";
import { Marks } from "../../core/cluster/marks.ts";
import { joinCluster, type OwnDescription, untilToldSecrets } from "../../core/cluster/start.ts";
import { nodeDefaults } from "../../core/config.ts";
import type { NodeId } from "../../core/identity.ts";
import type { Roster } from "../../core/membership/roster.ts";
import type { Gossip, Identity, Storage } from "../../core/ports.ts";
import { Consents } from "../../core/replica/consents.ts";
import { Holdings } from "../../core/replica/holdings.ts";
import { RpcServer } from "../../core/rpc/rpc.ts";
import { RecordStore } from "../../core/storage/record-store.ts";
import { Tasks } from "../../core/tasks.ts";
import type { Chance } from "../sim/chance.ts";
import { type Mesh, MeshTransport } from "./mesh.ts";

export interface MemberHostDeps {
  readonly mesh: Mesh;
  readonly chance: Chance;
  readonly identity: Identity;
  readonly gossip?: Gossip;
  /** It exchanges membership in its random rounds alone: not upon a connection or a change, nor as a heartbeat. */
  readonly roundsOnly: boolean;
}

const telemetry = { event: (): void => {} };

class RoundsOnly extends Tasks {
  override run(name: string, work: () => Promise<unknown>): void {
    if (name !== "exchange membership") super.run(name, work);
  }
}

export class MemberHost {
  readonly id: NodeId;
  readonly cluster: Cluster;
  readonly transport: MeshTransport;
  readonly #tasks: Tasks;

  /** One that was a member long since, and starts with what everybody knows. */
  static member(deps: MemberHostDeps, id: NodeId, roster: Roster): MemberHost {
    const parts = partsOf(deps, id, [roster.members.get(id)!.mark]);
    return new MemberHost(deps, parts, roster, { joins: false });
  }

  /** A newcomer, as soon as it has the roster of its seed. */
  static async newcomer(deps: MemberHostDeps, own: OwnDescription, seed: NodeId): Promise<MemberHost> {
    const parts = partsOf(deps, own.id, []);
    const { transport, clock, marks } = parts;
    await transport.meet(seed);
    const known = await fetchRoster(
      { transport, identity: deps.identity },
      seed,
      "scale",
      nodeDefaults.requestTimeoutMs,
    );
    const means = { clock, random: deps.chance, identity: deps.identity, marks };
    return new MemberHost(deps, parts, await joinCluster(own, known, known.cluster, means), { joins: true });
  }

  private constructor(deps: MemberHostDeps, parts: Parts, roster: Roster, { joins }: { readonly joins: boolean }) {
    const { chance, gossip, identity } = deps;
    const { clock, marks, records, server, tasks, transport } = parts;
    this.id = transport.self;
    this.transport = transport;
    this.#tasks = tasks;
    const health = new Health({ transport, clock, telemetry }, nodeDefaults);
    const holdings = new Holdings(roster.cluster.partitions, chance);
    const held = roster.holdings.get(this.id);
    if (held !== undefined) holdings.restore(held);
    const onOldCopy = (): void => {
      throw new Error(`${this.id} runs on no old copy`);
    };
    const own = { self: this.id, records, holdings, health, clock, identity, marks, tasks, telemetry, onOldCopy };
    this.cluster = new Cluster(own, roster);
    if (joins) this.cluster.claimOwned("filling");
    const { cluster } = this;
    const consents = new Consents(records, roster);
    const exchange = new Exchange({ transport, identity, telemetry, cluster, clock, consents }, { timeoutMs: 5_000 });
    exchange.serve(server);
    const random = chance;
    const membership = { cluster, exchange, transport, clock, random, tasks, telemetry, ...(gossip && { gossip }) };
    keepMembership(membership, nodeDefaults);
    if (!joins) return;
    tasks.run("join", async () => {
      await untilToldSecrets(cluster, tasks);
      if (!tasks.stopped) takeShare({ cluster, clock, tasks, telemetry }, { isDue: true });
    });
  }

  /** Its machine is gone: nobody is told. */
  fallSilent(): void {
    this.transport.silenced = true;
    void this.#tasks.stop(0);
  }
}

type Parts = ReturnType<typeof partsOf>;

function partsOf({ mesh, chance, roundsOnly }: MemberHostDeps, id: NodeId, knownMarks: readonly string[]) {
  const clock = mesh.clock();
  const records = new RecordStore(noDisk);
  const tasks = new (roundsOnly ? RoundsOnly : Tasks)({ clock, telemetry });
  const transport = new MeshTransport(id, mesh);
  const server = new RpcServer(telemetry);
  server.listen(transport);
  const marks = new Marks({ records, random: chance }, knownMarks);
  return { clock, marks, records, server, tasks, transport };
}

/** Nobody starts twice in a study, so nothing is ever read. */
const noDisk: Storage = {
  get: async () => undefined,
  getMany: async (_ns, keys) => keys.map(() => undefined),
  batch: async () => {},
  page: async () => ({ rows: [], next: null }),
  clear: async () => {},
  usage: async () => ({ bytes: 0 }),
  close: async () => {},
};
