/**
 * What a node is made of once it has a place in the cluster: everything is made, wired and begun here, in the order in
 * which one needs the other. Invariant: nobody hears of this node before its roster is on the disk.
 */
import { Admission, observed, pacedBy } from "./background/admission.ts";
import { AgreementAges, Agreements } from "./background/agreements.ts";
import { AntiEntropy } from "./background/anti-entropy.ts";
import { deliverHints, type HintDeps } from "./background/deliver-hints.ts";
import { Forgetting } from "./background/forgetting.ts";
import { Leases } from "./background/leases.ts";
import { leaveWhenTold } from "./background/leave.ts";
import { keepMembership } from "./background/members.ts";
import { type Portable, portableOf } from "./background/portable.ts";
import { Reaper } from "./background/reap.ts";
import { RateCap } from "./background/rate-cap.ts";
import { relieveHints } from "./background/relieve-hints.ts";
import type { RepairDeps } from "./background/repair.ts";
import { takeShare, takeShareWhenAsked } from "./background/take-share.ts";
import { Transfers } from "./background/transfers.ts";
import { HybridClock } from "./causality/hybrid-clock.ts";
import { Cluster } from "./cluster/cluster.ts";
import { Exchange } from "./cluster/exchange.ts";
import { meetSeeds } from "./cluster/find-cluster.ts";
import { Health } from "./cluster/health.ts";
import type { Marks } from "./cluster/marks.ts";
import { servePublicMembership } from "./cluster/serve-public-membership.ts";
import { RingCommands } from "./cluster/ring-commands.ts";
import { untilInContact, untilToldSecrets } from "./cluster/start.ts";
import type { NodeConfig } from "./config.ts";
import { ChangeFeeds } from "./coordinate/change-feeds.ts";
import { Channels } from "./coordinate/channels.ts";
import { Contexts } from "./coordinate/contexts.ts";
import { ToldStates } from "./coordinate/told-states.ts";
import { healDamaged, healKey } from "./coordinate/heal.ts";
import { Requests } from "./coordinate/requests.ts";
import { serveEdges } from "./coordinate/serve-edges.ts";
import { serveClients, serveHosts } from "./coordinate/serve.ts";
import { Deadlines } from "./deadlines.ts";
import { StoreError } from "./errors.ts";
import type { PartitionIndex } from "./identity.ts";
import type { HoldingsRecord, Roster } from "./membership/roster.ts";
import type { NodeOptions, NodePorts } from "./node-options.ts";
import type { LocatedKey } from "./placement/locate.ts";
import type { Stop } from "./ports.ts";
import { Consents } from "./replica/consents.ts";
import { Holdings } from "./replica/holdings.ts";
import { OwnTime, tickIntervalMs } from "./replica/own-time.ts";
import { Replica } from "./replica/replica.ts";
import type { RpcServer } from "./rpc/rpc.ts";
import { transportOfRun } from "./rpc/run-transport.ts";
import type { StatusDeps } from "./status.ts";
import type { RecordStore } from "./storage/record-store.ts";
import type { Tasks } from "./tasks.ts";

/** Damage is rare, and reads mend what they meet. */
const healIntervalMs = 5_000;
/** A member whose place ended answers nobody any more: it should not take long to find out. */
const noticeIntervalMs = 250;

export interface RunDeps {
  readonly ports: NodePorts;
  readonly options: NodeOptions;
  readonly config: NodeConfig;
  readonly records: RecordStore;
  readonly tasks: Tasks;
  readonly server: RpcServer;
  readonly marks: Marks;
  readonly waitFor: (what: string) => void;
  /** See `Cluster`; with the membership that was heard. */
  readonly onOldCopy: (roster: Roster) => void;
  /** See `leaveWhenTold`. */
  readonly onLeft: () => void;
  /** This node's lease has lapsed. Called once it has let go, `roster` gives all that it has heard until then. */
  readonly onLapsed: (roster: () => Roster) => void;
}

/** How a node came to its roster, and what its disk says that it held when it was written last. */
export interface Origin {
  readonly kind: "founded" | "returned" | "joined";
  readonly held?: HoldingsRecord | undefined;
}

/** What a running node is asked of. */
export interface Running {
  readonly deps: StatusDeps;
  readonly repairDeps: RepairDeps & HintDeps;
  readonly portable: Portable;
  readonly requests: Requests;
  readonly feeds: ChangeFeeds;
  readonly channels: Channels;
  readonly reaper: Reaper;
  readonly commands: RingCommands;
  readonly transfers: Transfers;
  readonly stopListening: Stop;
}

/** Undefined: the node was stopped before it was taken in. */
export async function runNode(runDeps: RunDeps, roster: Roster, origin: Origin): Promise<Running | undefined> {
  const { ports, options, config, records, tasks, server, marks } = runDeps;
  refuseUnmeetable(config, roster.cluster);
  const { clock, random, identity, gossip } = ports;
  const transport = transportOfRun(ports.transport, tasks);
  const { self } = transport;
  const admission = new Admission(clock, {
    latencyThresholdMs: config.backgroundLatencyThresholdMs,
    windowMs: config.backgroundWindowMs,
    waitMaxMs: config.backgroundWaitMaxMs,
  });
  const telemetry = observed(ports.telemetry, admission);
  const stopLongTasks = ports.onLongTask?.((ms) => admission.observe(ms));
  const health = new Health({ transport, clock, telemetry }, config);
  const holdings = new Holdings(roster.cluster.partitions, random);
  const onOldCopy = (): void => runDeps.onOldCopy(cluster.roster);
  const clusterDeps = { self, records, holdings, health, clock, identity, marks, tasks, telemetry, onOldCopy };
  const cluster = new Cluster(clusterDeps, roster);
  // Only the own disk tells what is held: what peers remember of this node may be from a disk that is lost.
  if (origin.held !== undefined) holdings.restore(origin.held);
  const transfers = new Transfers({ records, holdings, clock, tasks }, config);
  await transfers.open(cluster.ring.fingerprint);
  // Of an earlier life: others own it, or will be asked for it. What they do not cover is offered to them.
  if (origin.kind === "joined") holdings.retireAll();
  if (options.recordsMissing) holdings.refillAll();
  const hybridClock = new HybridClock(config);
  const ownTime = new OwnTime(clock);
  const agreements = new Agreements(roster.cluster.partitions);
  tasks.every("notice sleep", tickIntervalMs, () => ownTime.tick());
  const forgetting = new Forgetting({ cluster, holdings, ownTime, agreements, clock }, config);
  const replicaDeps = {
    records,
    holdings,
    clock,
    hybridClock,
    random,
    telemetry,
    ownTime,
    forgettableBeforeMs: (partition: PartitionIndex) => forgetting.forgettableBeforeMs(partition),
    onLongClock: (partition: PartitionIndex) => forgetting.want(partition),
    owns: (partition: PartitionIndex) => cluster.ring.owners(partition).includes(self),
    isConfirmed: (partition: PartitionIndex) => cluster.isConfirmed(partition),
  };
  const replica = new Replica(replicaDeps, config);
  const consents = new Consents(records, roster);
  await Promise.all([replica.open(), consents.open()]);
  const exchangeDeps = { transport, identity, telemetry, cluster, clock, consents };
  const exchange = new Exchange(exchangeDeps, { timeoutMs: config.requestTimeoutMs });
  const deps = {
    cluster,
    exchange,
    contexts: new Contexts(cluster),
    toldStates: new ToldStates(),
    replica,
    transport,
    clock,
    deadlines: new Deadlines(clock),
    hybridClock,
    random,
    telemetry,
    tasks,
    config,
  };
  const requests = new Requests(deps);
  cluster.claimOwned(origin.kind === "founded" ? "complete" : "filling");
  await transfers.clean();
  await cluster.save();
  // After the roster, whose secret it names: a founder that fails in between founds another ring at its next start.
  await consents.settle(roster);

  // Every member is asked; one that has just joined, too, may share its identity with another process that was asked. Before
  // anybody saves what was heard: a crash must find out as well that the data is an old copy.
  cluster.onChange(() => {
    cluster.doubt(consents.takeUncovered(cluster.roster));
    forgetting.heard();
    agreements.keep((peer) => cluster.isMember(peer));
  });
  exchange.serve(server);
  const stopMembership = keepMembership({ ...deps, ...(gossip && { gossip }) }, config);
  const stopListening = (): void => {
    stopMembership();
    stopLongTasks?.();
  };
  // Only members are told the secrets: a new one has to be known first.
  runDeps.waitFor("the others to take it in as a member");
  await untilToldSecrets(cluster, tasks);
  if (!tasks.stopped) await consents.settle(cluster.roster);
  if (!tasks.stopped) serveHosts(deps, server, admission);
  if (origin.kind === "returned") {
    runDeps.waitFor("the others");
    await untilInContact(deps);
  }
  if (tasks.stopped) {
    stopListening();
    return undefined;
  }
  serveClients(deps, server, requests);
  servePublicMembership(deps, config, server);
  const feeds = new ChangeFeeds(deps);
  const channels = new Channels(deps);
  channels.serve(server);
  serveEdges({ ...deps, requests, feeds, channels }, server);
  const isDue = cluster.ring.host(self) === undefined || origin.kind === "joined";
  if (options.mayJoin === false) takeShareWhenAsked(deps);
  else takeShare(deps, { isDue });
  tasks.run("meet seeds", () => meetSeeds(deps, options.seeds));
  transfers.start({ ...deps, holdings, ownTime, admission, server });
  const leaving = leaveWhenTold({ ...deps, holdings, records, requests }, runDeps.onLeft);
  const leases = new Leases(deps);
  leases.start(server);
  tasks.every("notice a lapse", noticeIntervalMs, () => {
    if (cluster.ownRecord.status === "lapsed") runDeps.onLapsed(() => cluster.roster);
  });
  tasks.every("heal damaged records", healIntervalMs, () => healDamaged(deps));
  const rateCap = (): RateCap => new RateCap(deps, config.transferBytesPerSecondMax);
  const hintDeps = { ...deps, admission, rate: rateCap() };
  const deliveries = deliverHints(hintDeps);
  relieveHints(hintDeps, deliveries);
  const antiEntropyDeps = {
    ...deps,
    ownTime,
    agreements,
    holdings,
    server,
    rate: rateCap(),
    sendsHintsTo: deliveries.sendsTo,
    ...pacedBy(admission),
  };
  const antiEntropy = new AntiEntropy(antiEntropyDeps, config);
  const repairDeps = {
    ...antiEntropyDeps,
    admission,
    antiEntropy,
    heal: (located: LocatedKey) => healKey(deps, located, config.requestTimeoutMs),
    damagedFiles: options.damagedFiles ?? (async () => []),
  };
  const stopAntiEntropy = antiEntropy.start();
  const reaper = new Reaper({ ...deps, consents, forgetting, server, admission });
  reaper.start();
  return {
    deps: { ...deps, antiEntropy, leases, leaving, agreementAges: new AgreementAges({ cluster, ownTime, agreements }) },
    repairDeps,
    portable: portableOf({ ...repairDeps, consents, seal: (held, key) => deps.contexts.seal(held, held.state, key) }),
    requests,
    feeds,
    channels,
    reaper,
    commands: new RingCommands({ ...deps, held: () => heldBy(replica, records) }),
    transfers,
    stopListening: () => {
      stopAntiEntropy();
      stopListening();
    },
  };
}

/** A number of copies above N would fail each request. @throws StoreError `bad-request` */
function refuseUnmeetable(config: NodeConfig, { name, n }: Roster["cluster"]): void {
  for (const quorum of ["r", "w"] as const) {
    const count = config[quorum];
    if (typeof count !== "number" || count <= n) continue;
    throw new StoreError(
      "bad-request",
      `${quorum}=${count} can never be met: the cluster "${name}" has n=${n} copies of a key`,
    );
  }
}

async function heldBy(
  { index }: Replica,
  records: RecordStore,
): Promise<{ readonly keysIn: (partition: PartitionIndex) => number; readonly bytesPerKey: number }> {
  const { bytes } = await records.usage();
  return { keysIn: (partition) => index.trees.keysIn(partition), bytesPerKey: bytes / Math.max(1, index.keys) };
}
