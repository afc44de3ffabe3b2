/**
 * openStore for Node: a host of the cluster inside the application's own process, as a Store.
 */
import { join } from "node:path";
import {
  type CancelSignal,
  HostStoreNode,
  type LwwConflict,
  type QuorumSpec,
  Store,
  StoreError,
  StorageError,
  type StoreEvent,
} from "../core/index.ts";
import { type EmbeddedOptions, type RunningNode, startEmbedded } from "./host.ts";
import { IdentityError } from "./identity-file.ts";
import { anyPort, KeptPort } from "./kept-port.ts";
import { ListenError } from "./libp2p-node.ts";
import type { logLevels } from "./log-options.ts";
import { type HostOptions, hostSettings } from "./options.ts";
import { systemClock, systemRandom } from "./system-ports.ts";

/** Only `name` is needed. What `everwrite host --help` says of the flags of the same names holds here too. */
export interface OpenStoreOptions {
  /** The cluster, which this host founds (without seeds) or joins (through them); what is in `data` goes on. */
  readonly name: string;
  /** Multiaddrs of hosts of the cluster. Never needed again by one that was a member once. */
  readonly seeds?: readonly string[];
  /** A host holds a share of all data, on its disk. */
  readonly role?: "host";
  /** Directory of the data and of the node's key: `.everwrite/NAME` in the working directory where not given. One process at a time. */
  readonly data?: string;
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
  /** Of the log on standard error: `error` where not given. */
  readonly logLevel?: (typeof logLevels)[number];
  readonly signal?: CancelSignal;
  /** How long the cluster may take to let this host in: 30 s where not given. */
  readonly timeoutMs?: number;
}

const openTimeoutMs = 30_000;

/**
 * Resolves when the host has its place in the cluster. A process that ends without `close` loses nothing that was
 * acknowledged.
 * @throws StoreError `bad-request` (an option, or data of another cluster), `not-ready` (another process has the directory,
 *   an address is taken, no seed answers in time), `not-member` (it was removed, and has no seeds), `aborted`
 *
 * @example
 * await using store = await openStore<{ carts: Cart }>({ name: "shop", seeds: ["/ip4/10.0.0.1/tcp/4001"] });
 * const carts = store.bucket("carts", { conflict: merge(unionOfCarts) });
 * await carts.update("alice", (cart = emptyCart) => add(cart, "book"));
 */
export async function openStore<Schema extends object = object>(options: OpenStoreOptions): Promise<Store<Schema>> {
  const conflicts = new Set<(conflict: LwwConflict) => void>();
  const telemetry = {
    event(event: StoreEvent): void {
      if (event.kind === "conflict") for (const hear of conflicts) hear(conflictOf(event));
    },
  };
  if (options.signal?.aborted) throw abortedError(options);
  const running = await started({ ...hostOptionsOf(options), telemetry }, options);
  const ports = { clock: systemClock, random: systemRandom };
  const node = new HostStoreNode({
    ...ports,
    id: running.id,
    node: running.node,
    onConflict: (hear) => {
      conflicts.add(hear);
      return () => conflicts.delete(hear);
    },
    stop: () => running.stop(),
  });
  return new Store<Schema>(options.name, { ...ports, node });
}

/** As `everwrite host` would have them, in the words of the options here. @throws StoreError `bad-request` */
function hostOptionsOf(options: OpenStoreOptions): Omit<EmbeddedOptions, "telemetry"> {
  // Not every caller has a compiler that checks these.
  if (typeof options.name !== "string") throw new StoreError("bad-request", "openStore needs the cluster's name");
  if (options.role !== undefined && options.role !== "host") {
    throw new StoreError("bad-request", `role must be "host", not ${String(options.role)}`);
  }
  const setting = <Name extends keyof HostOptions>(name: Name, value: unknown, called: string = name) => {
    const { read, initial } = hostSettings[name];
    return value === undefined ? initial : read([value].flat().map(String), called);
  };
  const name = setting("cluster", options.name, "name");
  return {
    cluster: name,
    data: setting("data", options.data ?? join(".everwrite", encodeURIComponent(name))),
    seed: setting("seed", options.seeds, "seeds"),
    p2p: setting("p2p", options.listen ?? [], "listen"),
    announce: setting("announce", options.announce),
    zone: setting("zone", options.zone),
    deviceGroup: setting("deviceGroup", options.deviceGroup),
    capacity: setting("capacity", options.capacity),
    n: setting("n", options.n),
    partitions: setting("partitions", options.partitions),
    r: setting("r", options.r),
    w: setting("w", options.w),
    logLevel: setting("logLevel", options.logLevel ?? "error"),
    logFormat: hostSettings.logFormat.initial,
    identity: null,
    noJoin: false,
    admission: hostSettings.admission.initial,
    durability: hostSettings.durability.initial,
    gossip: hostSettings.gossip.initial,
    graceMs: hostSettings.graceMs.initial,
    relayReservations: 0, // browsers meet at hosts that are there for it
  };
}

async function started(hostOptions: EmbeddedOptions, options: OpenStoreOptions): Promise<RunningNode> {
  const { data } = hostOptions;
  const stops: (() => Promise<void>)[] = [];
  try {
    const keptPort = options.listen === undefined ? new KeptPort(data) : undefined;
    const running = await listening(hostOptions, keptPort);
    stops.push(() => running.stop());
    await Promise.all([readyInTime(running, options), keptPort?.keep(running.addresses)]);
    return running;
  } catch (error: unknown) {
    for (const stop of stops) await stop();
    const isExpected = [StorageError, IdentityError, ListenError].some((kind) => error instanceof kind);
    throw isExpected ? new StoreError("not-ready", (error as Error).message, { cause: error }) : error;
  }
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

async function readyInTime({ node, ready }: RunningNode, options: OpenStoreOptions): Promise<void> {
  const { name, signal, timeoutMs = openTimeoutMs } = options;
  let end = (): void => {};
  const over = new Promise<never>((_resolve, reject) => {
    const timer = setTimeout(() => {
      node.status().then(({ notices }) => {
        const text = `no place in the cluster "${name}" within ${timeoutMs} ms: ${notices.join("; ")}`;
        reject(new StoreError("not-ready", text));
      }, reject);
    }, timeoutMs);
    const abort = (): void => reject(abortedError(options));
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort, { once: true });
    end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    };
  });
  try {
    await Promise.race([over, ready]);
  } finally {
    end();
  }
}

function abortedError({ name }: OpenStoreOptions): StoreError {
  return new StoreError("aborted", `opening "${name}" was aborted by its signal`);
}

function conflictOf({ key, discardedDot, timeMs }: StoreEvent & { readonly kind: "conflict" }): LwwConflict {
  const slash = key.indexOf("/");
  return { bucket: key.slice(0, slash), name: key.slice(slash + 1), discardedDot, timeMs };
}
