/** One node of a cluster whose other hosts are made up, with a clock of the test's own. */
import { Admission } from "../../../core/background/admission.ts";
import { bitmapOf } from "../../../core/bytes/bitmap.ts";
import { HybridClock } from "../../../core/causality/hybrid-clock.ts";
import { Cluster } from "../../../core/cluster/cluster.ts";
import { Exchange } from "../../../core/cluster/exchange.ts";
import { Health } from "../../../core/cluster/health.ts";
import { Marks } from "../../../core/cluster/marks.ts";
import { nodeDefaults, type NodeConfig } from "../../../core/config.ts";
import type { NodeId, PartitionIndex } from "../../../core/identity.ts";
import { emptyRoster, mergeRoster, type Roster } from "../../../core/membership/roster.ts";
import { allPartitions } from "../../../core/placement/partition.ts";
import { Consents } from "../../../core/replica/consents.ts";
import { Holdings } from "../../../core/replica/holdings.ts";
import { OwnTime } from "../../../core/replica/own-time.ts";
import { Replica } from "../../../core/replica/replica.ts";
import { RpcServer } from "../../../core/rpc/rpc.ts";
import { MemoryStorage } from "../../../core/storage/memory-storage.ts";
import { RecordStore } from "../../../core/storage/record-store.ts";
import { Tasks } from "../../../core/tasks.ts";
import type { StoreEvent } from "../../../core/telemetry.ts";
import { FaultyStorage } from "../../support/faulty-storage.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { testIdentity } from "../../support/test-identity.ts";
import { realRandom } from "../../support/memory-cluster.ts";
import { memberRecord, secret } from "../membership/samples.ts";
import { MemoryNetwork } from "../memory-transport.ts";

export const node = (name: string): NodeId => name as NodeId;

export interface RosterSpec {
  readonly partitions?: number;
  readonly n?: number;
  /** What these hosts say of all partitions. */
  readonly holdings?: Readonly<Record<string, "complete" | "filling">>;
}

/** Hosts that have the tokens in turns, each under epoch 2. */
export function rosterOf(hosts: readonly string[], { partitions = 16, n = 3, holdings = {} }: RosterSpec = {}): Roster {
  const [all, none] = [bitmapOf(partitions, allPartitions(partitions)), bitmapOf(partitions, [])];
  return mergeRoster(emptyRoster({ name: "test", partitions, n, admission: "open" }), {
    members: new Map(hosts.map((name) => [node(name), memberRecord({ id: node(name) })])),
    secrets: [secret],
    assignment: allPartitions(partitions).map((token) => ({ host: node(hosts[token % hosts.length]!), epoch: 2 })),
    holdings: new Map(
      Object.entries(holdings).map(([name, state]) => {
        const bits = { complete: none, filling: none, former: none, hints: none, [state]: all };
        return [node(name), { id: node(name), life: 1, incarnation: 1, sequence: 1, ...bits }];
      }),
    ),
  });
}

export type OneNode = ReturnType<typeof oneNode>;

/** `peers` are connected and have exchanged membership; what they answer is up to the test. */
export function oneNode(
  name: string,
  roster: Roster,
  peers: readonly string[] = [],
  changed: Partial<NodeConfig> = {},
) {
  const config = { ...nodeDefaults, ...changed };
  const clock = new ManualClock(1_000_000);
  const network = new MemoryNetwork({ clock, random: realRandom });
  const events: StoreEvent[] = [];
  const telemetry = { event: (event: StoreEvent) => void events.push(event) };
  const transport = network.node(name);
  const servers = new Map(
    peers.map((peer) => {
      const server = new RpcServer(telemetry);
      const theirs = network.node(peer);
      server.listen(theirs);
      void theirs.meet(transport.address);
      return [peer, server];
    }),
  );
  const random = realRandom;
  const disk = new FaultyStorage(new MemoryStorage());
  const records = new RecordStore(disk);
  const holdings = new Holdings(roster.cluster.partitions, random);
  const health = new Health({ transport, clock, telemetry }, config);
  const tasks = new Tasks({ clock, telemetry });
  const self = node(name);
  const identity = testIdentity(self);
  const marks = new Marks({ records, random }, [memberRecord().mark]);
  const onOldCopy = (): void => {};
  const clusterDeps = { self, records, holdings, health, clock, identity, marks, tasks, telemetry, onOldCopy };
  const cluster = new Cluster(clusterDeps, roster);
  for (const peer of peers) cluster.exchangedWith(node(peer));
  const owns = (partition: PartitionIndex): boolean => cluster.ring.owners(partition).includes(node(name));
  const isConfirmed = (): boolean => true;
  const hybridClock = new HybridClock(config);
  const replica = new Replica(
    {
      records,
      holdings,
      clock,
      hybridClock,
      random,
      telemetry,
      owns,
      isConfirmed,
      ownTime: new OwnTime(clock),
      forgettableBeforeMs: () => 0,
      onLongClock: () => {},
    },
    config,
  );
  const admission = new Admission(clock, { latencyThresholdMs: 50, windowMs: 10_000, waitMaxMs: 1_000 });
  const consents = new Consents(records, roster);
  const exchangeDeps = { transport, identity, telemetry, cluster, clock, consents };
  const exchange = new Exchange(exchangeDeps, { timeoutMs: config.requestTimeoutMs });
  const deps = { admission, cluster, exchange, holdings, records, replica, transport, clock, tasks, telemetry, config };
  const ownTime = { hasSleptSince: () => false };
  return { ...deps, consents, ownTime, network, server: new RpcServer(telemetry), servers, events, disk };
}
