/**
 * The node behind a store in this tab: its storage, its identity, its network, and an edge made of them.
 */
import { EdgeNode, type EdgeOptions, type EdgePorts } from "../edge/edge-node.ts";
import { StoreError } from "../errors.ts";
import { systemClock, systemRandom } from "../libp2p/system-ports.ts";
import type { Clock, Identity, Random, Stop, Storage, Transport } from "../ports.ts";
import { RecordStore } from "../storage/record-store.ts";
import type { StoreFacts, StoreNode } from "../store-node.ts";
import type { Telemetry } from "../telemetry.ts";
import { LateNetwork } from "./late-network.ts";
import { PageFacts } from "./page-facts.ts";
import { loadPageIdentity } from "./page-identity.ts";
import { askToPersist, openPageStorage } from "./page-storage.ts";

/** What an application may put in the place of the browser's own. */
export interface PageAdapters {
  /** In the place of IndexedDB. The node closes it. */
  readonly storage?: Storage;
  /** In the place of libp2p: it knows who this node is, and dials the seeds when it is asked to meet them. */
  readonly network?: { readonly transport: Transport; readonly identity: Identity; stop(): Promise<void> };
  readonly clock?: Clock;
  readonly random?: Random;
  /** Hears what happens inside. */
  readonly telemetry?: Telemetry;
}

export interface PageNodeOptions extends PageAdapters {
  /** Of the cluster, and of the database. */
  readonly name: string;
  /** Multiaddrs of hosts of the cluster, `/dns4/host.example/tcp/443/wss`. None: what is written stays here. */
  readonly seeds?: readonly string[];
  /** `edge`, the default, keeps copies of what it uses, takes writes while it is offline, and sends them when hosts answer. */
  readonly role?: "edge" | "host";
}

/** What nodes of either role are made of in a page. */
export interface PageParts {
  readonly storage: Storage;
  readonly facts: PageFacts;
  /** Run by `release`, the last first. */
  readonly stops: (() => Promise<void>)[];
}

/**
 * Resolves when local reads and writes are answered; `close` closes all. One tab at a time may have it open: whoever calls
 * this sees to that.
 * @throws StoreError `bad-request` (data of a host, or of another cluster), `corrupt`, `not-ready`; StorageError
 */
export async function openPageNode(options: PageNodeOptions): Promise<StoreNode> {
  const { role = "edge" } = options;
  if (role !== "edge") throw new StoreError("bad-request", `in a browser a store is opened as "edge", not as ${role}`);
  const parts = await openParts(options);
  try {
    return await startEdge(options, parts);
  } catch (error: unknown) {
    await release(parts);
    throw error;
  }
}

async function openParts({ name, seeds = [], storage: injected }: PageNodeOptions): Promise<PageParts> {
  const { storage, memoryBecause } = injected === undefined ? await openPageStorage(name) : { storage: injected };
  const facts = new PageFacts(memoryBecause === undefined ? "evictable" : "memory");
  if (memoryBecause !== undefined) {
    facts.notice("storage", `this browser keeps nothing, all is gone with this page: ${memoryBecause}`);
  } else if (injected === undefined) {
    // Never awaited: some browsers ask the user, who may not answer. One that cannot say keeps no promise.
    askToPersist().then(
      (isGranted) => isGranted && facts.persistent(),
      () => undefined,
    );
  }
  if (seeds.length === 0) facts.notice("seeds", "no seeds were given: it has no hosts to send to");
  return { storage, facts, stops: [() => storage.close()] };
}

async function release({ stops }: PageParts): Promise<void> {
  for (let last = stops.pop(); last !== undefined; last = stops.pop()) await last();
}

async function startEdge(options: PageNodeOptions, parts: PageParts): Promise<StoreNode> {
  const { name, seeds = [], clock = systemClock, random = systemRandom, telemetry = silence } = options;
  const { transport, identity } = await networkOf(options, parts);
  const ports = { clock, random, storage: parts.storage, transport, identity, telemetry };
  const node = new PageEdge(ports, { cluster: name, seeds }, parts);
  await node.start();
  return node;
}

async function networkOf(
  { network, seeds = [], clock = systemClock }: PageNodeOptions,
  { storage, facts, stops }: PageParts,
): Promise<Pick<EdgePorts, "transport" | "identity">> {
  if (network !== undefined) {
    stops.push(() => network.stop());
    return network;
  }
  const { id, key } = await loadPageIdentity(new RecordStore(storage));
  const late = new LateNetwork({
    self: id,
    clock,
    open: async () => {
      const { openPageNetwork } = await import("./network.ts");
      return openPageNetwork({ key, seeds, meetPages: false, clock });
    },
    onProblem: (problem) => facts.notice("network", problem),
  });
  stops.push(() => late.stop());
  return { transport: late, identity: late.identity };
}

const silence: Telemetry = { event: () => undefined };

/** An edge that tells of the page, too, and closes what it was made of. */
class PageEdge extends EdgeNode {
  readonly #parts: PageParts;

  constructor(ports: EdgePorts, options: EdgeOptions, parts: PageParts) {
    super(ports, options);
    this.#parts = parts;
  }

  override facts(): StoreFacts {
    return { ...super.facts(), browser: this.#parts.facts.now };
  }

  override onFacts(listener: () => void): Stop {
    const stops = [super.onFacts(listener), this.#parts.facts.onChange(listener)];
    return () => {
      for (const stop of stops) stop();
    };
  }

  override async close(): Promise<void> {
    await super.close();
    await release(this.#parts);
  }
}
