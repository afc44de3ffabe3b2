/**
 * openStore for Node: a host of the cluster inside the application's own process, or an edge of it, as a Store.
 */
import { readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import {
  type CancelSignal,
  Conflicts,
  HostStoreNode,
  type QuorumSpec,
  readyInTime,
  Store,
  StoreError,
  StorageError,
} from "../core/index.ts";
import { startEdge } from "./edge.ts";
import { type EmbeddedOptions, type RunningNode, startEmbedded } from "./host.ts";
import { IdentityError } from "./identity-file.ts";
import { anyPort, KeptPort } from "./kept-port.ts";
import { ListenError } from "./libp2p-node.ts";
import type { logLevels } from "./log-options.ts";
import { type HostOptions, hostSettings } from "./options.ts";
import { systemClock, systemRandom } from "../core/libp2p/system-ports.ts";
import { loadDocuments } from "../core/load-documents.ts";

/** Of either role. */
interface CommonOptions {
  /** The cluster, which a host founds (without seeds) or joins (through them); what is in `data` goes on. */
  readonly name: string;
  /** Directory of the data and of the node's key: `.everwrite/NAME` in the working directory where not given. One process at a time, and one thread of it. */
  readonly data?: string;
  /** Of the log on standard error: `error` where not given. */
  readonly logLevel?: (typeof logLevels)[number];
  readonly signal?: CancelSignal;
}

/** Only `name` is needed. What `everwrite host --help` says of the flags of the same names holds here too. */
export interface HostStoreOptions extends CommonOptions {
  /** A host holds a share of all data, on its disk. */
  readonly role?: "host";
  /** Multiaddrs of hosts of the cluster. Never needed again by one that was a member once. */
  readonly seeds?: readonly string[];
  /** Multiaddrs to listen on: a free port on loopback where not given, the same one at each start. */
  readonly listen?: readonly string[];
  /** Multiaddrs to tell others, where they differ from those. */
  readonly announce?: readonly string[];
  readonly zone?: string;
  readonly deviceGroup?: string;
  readonly capacity?: number;
  /** Fixed by the cluster's founder, like `partitions`; refused where the cluster has others. */
  readonly n?: number;
  readonly partitions?: number;
  /** Of buckets and calls that say nothing else. */
  readonly r?: QuorumSpec;
  readonly w?: QuorumSpec;
  /** How long the cluster may take to let this host in: 30 s where not given. */
  readonly timeoutMs?: number;
}

/** An edge listens to nobody. */
export interface EdgeStoreOptions extends CommonOptions {
  /** An edge keeps copies of what it uses, takes writes while it is offline, and sends them when hosts answer. */
  readonly role: "edge";
  /** Multiaddrs of hosts of the cluster. */
  readonly seeds: readonly string[];
}

/** See `openStore`. */
export type OpenStoreOptions = HostStoreOptions | EdgeStoreOptions;

const openTimeoutMs = 30_000;
const ports = { clock: systemClock, random: systemRandom };

/**
 * Resolves when the host has its place in the cluster; an edge, as soon as its storage is open. A process that ends without `close` loses nothing that was
 * acknowledged.
 * @throws StoreError `bad-request` (an option, or data of another cluster or role), `not-ready` (another process has the directory,
 *   an address is taken, no seed answers in time), `not-member` (it was removed, and has no seeds), `aborted`
 *
 * @example
 * await using store = await openStore<{ carts: Cart }>({ name: "shop", seeds: ["/ip4/10.0.0.1/tcp/4001"] });
 * const carts = store.bucket("carts", { conflict: merge(unionOfCarts) });
 * await carts.update("alice", (cart = emptyCart) => add(cart, "book"));
 */
export async function openStore<Schema extends object = object>(options: OpenStoreOptions): Promise<Store<Schema>> {
  // Not every caller has a compiler that checks these.
  if (typeof options.name !== "string") throw new StoreError("bad-request", "openStore needs the cluster's name");
  if (options.signal?.aborted) throw abortedError(options);
  if (options.role === "edge") return openEdge(options);
  if (options.role === undefined || options.role === "host") return openHost(options);
  throw new StoreError("bad-request", `role must be "host" or "edge", not ${String(options.role)}`);
}

/** As is usual in Node: all but `NODE_ENV=production` is development. */
function checkMerges(): boolean {
  return process.env["NODE_ENV"] !== "production";
}

async function openEdge<Schema extends object>(options: EdgeStoreOptions): Promise<Store<Schema>> {
  const common = commonOptionsOf(options);
  await refuseData(common.data, "store", "a host");
  try {
    const deps = { ...ports, loadDocuments, checkMerges: checkMerges() };
    return new Store<Schema>(options.name, { ...deps, ...(await startEdge(common)) });
  } catch (error: unknown) {
    throw storeErrorOf(error);
  }
}

async function openHost<Schema extends object>(options: HostStoreOptions): Promise<Store<Schema>> {
  const conflicts = new Conflicts();
  const hostOptions = hostOptionsOf(options);
  await refuseData(hostOptions.data, "edge", "an edge");
  const running = await started({ ...hostOptions, telemetry: conflicts }, options);
  const node = new HostStoreNode({
    ...ports,
    id: running.id,
    node: running.node,
    onConflict: (hear) => conflicts.on(hear),
    stop: () => running.stop(),
  });
  return new Store<Schema>(options.name, { ...ports, loadDocuments, checkMerges: checkMerges(), node });
}

/** What is in `data` belongs to the other role: what waits there to be sent, or the share of the ring, would be left behind. */
async function refuseData(data: string, folder: string, whose: string): Promise<void> {
  const names = await readdir(data).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [] as string[];
    throw new StoreError("not-ready", `cannot use ${data}: ${error.message}`, { cause: error });
  });
  if (names.includes(folder)) {
    throw new StoreError(
      "bad-request",
      `the data in ${data} is that of ${whose}: open it so, or give another directory`,
    );
  }
}

/** In the words of the options here what `everwrite host` reads from its flags. @throws StoreError `bad-request` */
function setting<Name extends keyof HostOptions>(
  name: Name,
  value: unknown,
  called: string = name,
): (typeof hostSettings)[Name]["initial"] {
  const { read, initial } = hostSettings[name];
  return value === undefined ? initial : read([value].flat().map(String), called);
}

function commonOptionsOf({ name, seeds, data, logLevel }: OpenStoreOptions) {
  const cluster = setting("cluster", name, "name");
  return {
    cluster,
    // The application may go to another directory afterwards.
    data: resolve(setting("data", data ?? join(".everwrite", encodeURIComponent(cluster)))),
    seed: setting("seed", seeds, "seeds"),
    logLevel: setting("logLevel", logLevel ?? "error"),
    logFormat: hostSettings.logFormat.initial,
  };
}

function hostOptionsOf(options: HostStoreOptions): Omit<EmbeddedOptions, "telemetry"> {
  return {
    ...commonOptionsOf(options),
    p2p: setting("p2p", options.listen ?? [], "listen"),
    announce: setting("announce", options.announce),
    zone: setting("zone", options.zone),
    deviceGroup: setting("deviceGroup", options.deviceGroup),
    capacity: setting("capacity", options.capacity),
    n: setting("n", options.n),
    partitions: setting("partitions", options.partitions),
    r: setting("r", options.r),
    w: setting("w", options.w),
    identity: null,
    dataBytesMax: null,
    noJoin: false,
    admission: hostSettings.admission.initial,
    durability: hostSettings.durability.initial,
    gossip: hostSettings.gossip.initial,
    graceMs: hostSettings.graceMs.initial,
    relayReservations: 0, // browsers meet at hosts that are there for it
  };
}

async function started(hostOptions: EmbeddedOptions, options: HostStoreOptions): Promise<RunningNode> {
  const { data } = hostOptions;
  const stops: (() => Promise<void>)[] = [];
  try {
    const keptPort = options.listen === undefined ? new KeptPort(data) : undefined;
    const running = await listening(hostOptions, keptPort);
    stops.push(() => running.stop());
    const limits = { ...options, timeoutMs: options.timeoutMs ?? openTimeoutMs };
    const inTime = readyInTime({ ...running, clock: systemClock }, options.name, limits);
    await Promise.all([inTime, keptPort?.keep(running.addresses)]);
    return running;
  } catch (error: unknown) {
    for (const stop of stops) await stop();
    throw storeErrorOf(error);
  }
}

/** What keeps a node from starting, for an application. */
function storeErrorOf(error: unknown): unknown {
  const isExpected = [StorageError, IdentityError, ListenError].some((kind) => error instanceof kind);
  const isOfSystem = error instanceof Error && "syscall" in error;
  return isExpected || isOfSystem ? new StoreError("not-ready", (error as Error).message, { cause: error }) : error;
}

async function listening(options: EmbeddedOptions, keptPort: KeptPort | undefined): Promise<RunningNode> {
  if (keptPort === undefined) return startEmbedded(options);
  const kept = await keptPort.address();
  try {
    return await startEmbedded({ ...options, p2p: [kept] });
  } catch (error: unknown) {
    // Somebody else has it meanwhile.
    if (error instanceof ListenError) return startEmbedded({ ...options, p2p: [anyPort] });
    throw error;
  }
}

function abortedError({ name }: OpenStoreOptions): StoreError {
  return new StoreError("aborted", `opening "${name}" was aborted by its signal`);
}
