/**
 * A host on the ring in a page: the same core as in Node, over IndexedDB, WebSockets and WebRTC, started and stopped in order.
 *
 * It is on the ring under a lease (PROTOCOL 9): a page that is closed for good gives its place up without a word. It is light,
 * and where the ring has Node hosts no copy is kept by pages alone. Nothing is done when the page is hidden, and little when
 * it is frozen: others find it gone at once, for its connections are cut; what it has not heard while it slept counts against
 * nobody (`Health`, `Leases`); and it dials and probes them when it wakes. In tabs a frozen one ends
 * its time (`tabs/tenure.ts`): another tab goes on, or it is opened anew.
 * Invariant: what was started is stopped in reverse, also when a later part fails to start.
 */
import type { NodeConfig } from "../config.ts";
import { StoreError } from "../errors.ts";
import { systemClock, systemRandom } from "../libp2p/system-ports.ts";
import { EverwriteNode } from "../node.ts";
import type { NodeOptions } from "../node-options.ts";
import type { Clock, Random, Stop, Storage } from "../ports.ts";
import { RecordStore } from "../storage/record-store.ts";
import { Conflicts } from "../store/conflicts.ts";
import { HostStoreNode } from "../store/host-node.ts";
import { readyInTime } from "../store/ready-in-time.ts";
import type { SharedNode, StoreFacts } from "../store-node.ts";
import { reasonOf } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";
import { deviceGroup } from "./device-group.ts";
import { type Aside, HostData } from "./host-data.ts";
import { databaseName, deleteDatabase, presentStores } from "./indexeddb-database.ts";
import { openIndexedDbStorage } from "./indexeddb-storage.ts";
import { onLongTask } from "./long-tasks.ts";
import type { PageNetwork } from "./network.ts";
import { loadPageIdentity } from "./page-identity.ts";
import type { PageAdapters, PageHostOptions, PageHostSettings } from "./page-options.ts";
import { type PageParts, release } from "./page-parts.ts";

export interface StartOptions extends PageHostSettings, Pick<PageAdapters, "networkSwitch" | "storageBudget"> {
  readonly name: string;
  /** As of the store: the cluster's name where not given. */
  readonly database?: string;
  readonly seeds: readonly string[];
  /** Of the page's identity. */
  readonly key: Uint8Array;
  /** The store's own, in which the identity is; the caller closes it. The data goes to databases beside it. */
  readonly storage: Storage;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  /** Hears which data is kept beside that of this host, unused. */
  readonly tellAside?: (aside: readonly Aside[]) => void;
}

/** A running one. */
export interface PageHost {
  readonly node: EverwriteNode;
  readonly network: PageNetwork;
  /** Resolves when it has its place in the cluster; rejects when the cluster refuses it. */
  readonly ready: Promise<void>;
  /** It stays a member: started again on the same storage it goes on. */
  stop(): Promise<void>;
}

const openTimeoutMs = 30_000;
const lightCapacity = 10;
/** A page has less room than a host, and dies with its tab: what Node hosts keep 64 MiB and 256 MiB for. */
const pageConfig: Partial<NodeConfig> = {
  cacheBytesMax: 8 * 1024 * 1024,
  hintBytesMax: 32 * 1024 * 1024,
  changeLogEntriesMax: 4_096,
};

/**
 * Resolves when the host has its place in the cluster. `parts` are released by `close`; by the caller where this rejects.
 * @throws StoreError `bad-request` (an option, or data of another cluster or role), `not-ready` (this browser keeps nothing, or no
 *   relay or host answers in time: it names each, and why), `aborted`; StorageError
 */
export async function openPageHost(options: PageHostOptions, parts: PageParts): Promise<SharedNode> {
  const { name, seeds = [], clock = systemClock, random = systemRandom, timeoutMs = openTimeoutMs, signal } = options;
  const { storage, facts } = parts;
  if (facts.now.storage === "memory") {
    throw new StoreError(
      "not-ready",
      "this browser keeps nothing, and what a host acknowledges is kept: open it as an edge",
    );
  }
  const { id, key } = await loadPageIdentity(new RecordStore(storage), "host");
  const conflicts = new Conflicts();
  const telemetry = both(conflicts, options.telemetry);
  const tellAside = (aside: readonly Aside[]): void => facts.notice("aside", asideNotice(aside));
  const host = await startPageHost({ ...options, seeds, key, storage, clock, random, telemetry, tellAside });
  parts.stops.push(() => host.stop());
  const noteRelays = (): void => {
    const isFound = host.network.addresses().length > 0;
    facts.notice("relays", isFound ? undefined : "no relay knows this page now: new pages cannot find it");
  };
  noteRelays();
  const stopNoting = host.network.onAddresses(noteRelays);
  parts.stops.push(async () => stopNoting());
  await readyInTime({ ...host, clock }, name, { timeoutMs, ...(signal && { signal }) });
  const { node } = host;
  const onConflict = conflicts.on.bind(conflicts);
  return new PageHostNode({ id, node, clock, random, onConflict, stop: () => release(parts) }, parts);
}

function asideNotice(aside: readonly Aside[]): string | undefined {
  if (aside.length === 0) return undefined;
  const kept = aside.map(({ name, untilMs }) => `${databaseName(name)} until ${new Date(untilMs).toISOString()}`);
  return `old data of this host was set aside, and is kept for you: ${kept.join(", ")}; indexedDB.deleteDatabase() ends it before`;
}

/** Begins; with seeds that do not answer yet it is not ready, but answers `status`. @throws as `openPageHost` */
export async function startPageHost(options: StartOptions): Promise<PageHost> {
  const stops: (() => Promise<unknown>)[] = [];
  const stop = (): Promise<void> => release({ stops });
  try {
    return await startInOrder(options, stops, stop);
  } catch (error: unknown) {
    await stop();
    throw error;
  }
}

async function startInOrder(
  options: StartOptions,
  stops: (() => Promise<unknown>)[],
  stop: () => Promise<void>,
): Promise<PageHost> {
  const { name, key, storage, clock, random, telemetry } = options;
  const data = await HostData.open(
    {
      records: new RecordStore(storage),
      clock,
      random,
      open: async (database) => {
        const storage = await openIndexedDbStorage({ name: database, clock });
        return options.storageBudget?.around(storage) ?? storage;
      },
      drop: deleteDatabase,
      present: presentStores,
      tellAside: options.tellAside ?? (() => {}),
    },
    options.database ?? name,
  );
  stops.push(() => data.close());
  // Not awaited: another tab may have it open, one that is stopped for as long as it is.
  data.tidyAside().catch((error: unknown) => {
    telemetry.event({ kind: "task-failed", task: "delete what was aside", reason: reasonOf(error) });
  });
  if (options.seeds.length === 0 && options.found !== true && !data.wasMember) {
    throw new StoreError(
      "bad-request",
      `without seeds this page cannot find the cluster "${name}", and it may not found it`,
    );
  }
  const group = await deviceGroup(random);
  const { openPageNetwork } = await import("./network.ts");
  const network = await openPageNetwork({
    key,
    seeds: options.seeds,
    meetPages: true,
    hostOf: name,
    ...(options.iceServers && { iceServers: options.iceServers }),
    ...(options.networkSwitch && { networkSwitch: options.networkSwitch }),
    clock,
    random,
    onProblem: ({ kind, peer, message }) =>
      telemetry.event(
        kind === "bad-frames"
          ? { kind: "bad-frame", from: peer, reason: message }
          : { kind: "peer-problem", id: peer, problem: kind, reason: message },
      ),
  });
  stops.push(() => network.stop());
  const { identity, host } = network;
  const { transport, gossip } = host!;
  const ports = {
    clock,
    random,
    storage: data.storage,
    transport,
    identity,
    gossip,
    onLongTask,
    telemetry,
    setAside: () => data.setAside(),
    openAside: () => data.openAside(),
  };
  const node = new EverwriteNode(ports, nodeOptions(options, data, network));
  stops.push(() => node.stop());
  const { capacity = lightCapacity, zone = "", leaseMs } = options;
  const lease = leaseMs === undefined ? {} : { leaseMs };
  const begin = async (): Promise<void> => {
    const addresses = network.addresses();
    await node.start({ kind: "browser-host", capacity, zone, deviceGroup: group, addresses, http: "", ...lease });
    host!.list();
    const stopTelling = tellAddresses({ node, network, telemetry }, addresses);
    stops.push(async () => stopTelling());
    await data.noteMember();
  };
  return { node, network, ready: begin(), stop };
}

function nodeOptions(
  { name, found = false, n, partitions, r, w }: StartOptions,
  data: HostData,
  network: PageNetwork,
): NodeOptions {
  const { host } = network;
  const mayFound = found && !data.wasMember;
  return {
    cluster: { name, ...(n !== undefined && { n }), ...(partitions !== undefined && { partitions }) },
    seeds: network.seeds().map(({ address }) => address),
    mayFound,
    ...(mayFound && host && { isFirst: () => host.isFirst() }),
    config: { ...pageConfig, ...(r !== undefined && { r }), ...(w !== undefined && { w }) },
    setAside: data.setAsideNames,
  };
}

/** While no relay knows the page, the addresses stay that were told last: through these it will be found again. */
function tellAddresses(
  { node, network, telemetry }: Pick<PageHost, "node" | "network"> & { readonly telemetry: Telemetry },
  told: readonly string[],
): Stop {
  let last = told.toSorted().join();
  const tell = (): void => {
    const addresses = network.addresses().toSorted();
    if (addresses.length === 0 || addresses.join() === last) return;
    last = addresses.join();
    node.moveTo(addresses).catch((error: unknown) => {
      telemetry.event({ kind: "task-failed", task: "tell the new addresses", reason: reasonOf(error) });
    });
  };
  tell();
  return network.onAddresses(tell);
}

const silence: Telemetry = { event: () => undefined };

function both(one: Telemetry, other: Telemetry = silence): Telemetry {
  return {
    event(event) {
      one.event(event);
      other.event(event);
    },
  };
}

/** A host that tells of the page, too. */
class PageHostNode extends HostStoreNode {
  readonly #parts: PageParts;

  constructor(deps: ConstructorParameters<typeof HostStoreNode>[0], parts: PageParts) {
    super(deps);
    this.#parts = parts;
  }

  override facts(): StoreFacts {
    return this.#parts.facts.with(super.facts());
  }

  override onFacts(listener: () => void): Stop {
    return this.#parts.facts.onChangeToo(super.onFacts(listener), listener);
  }
}
