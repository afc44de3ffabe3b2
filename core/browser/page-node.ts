/**
 * The node behind a store in this tab: its storage, its identity, its network, and an edge or a host made of them.
 */
import { EdgeNode, type EdgeOptions, type EdgePorts } from "../edge/edge-node.ts";
import { StoreError } from "../errors.ts";
import { systemClock, systemRandom } from "../libp2p/system-ports.ts";
import type { Stop } from "../ports.ts";
import { RecordStore } from "../storage/record-store.ts";
import type { SharedNode, StoreFacts } from "../store-node.ts";
import type { Telemetry } from "../telemetry.ts";
import { LateNetwork } from "./late-network.ts";
import { loadPageIdentity } from "./page-identity.ts";
import type { PageEdgeOptions, PageNodeOptions } from "./page-options.ts";
import { openParts, type PageParts, release } from "./page-parts.ts";
import { openPageStorage, type PageStorage } from "./page-storage.ts";
import { onWake } from "./wake.ts";

/**
 * Resolves when local reads and writes are answered; `close` closes all. It takes the store from a tab that had it open;
 * `openTabNode` makes one node of those of all tabs.
 * @throws StoreError `bad-request` (data of a host, or of another cluster), `corrupt`, `not-ready`; StorageError
 */
export async function openPageNode(
  options: PageNodeOptions,
  openStorage = (): Promise<PageStorage> => openPageStorage(options.database ?? options.name),
): Promise<SharedNode> {
  // Not every caller has a compiler that checks these.
  const { role = "edge" } = options;
  if (role !== "edge" && role !== "host") {
    throw new StoreError("bad-request", `role must be "edge" or "host", not ${String(role)}`);
  }
  const parts = await openParts(options, openStorage);
  try {
    if (options.role !== "host") return await startEdge(options, parts);
    const { openPageHost } = await import("./host.ts");
    return await openPageHost(options, parts);
  } catch (error: unknown) {
    await release(parts);
    throw error;
  }
}

async function startEdge(options: PageEdgeOptions, parts: PageParts): Promise<SharedNode> {
  const { name, seeds = [], clock = systemClock, random = systemRandom, telemetry = silence } = options;
  const { transport, identity } = await networkOf(options, parts);
  const ports = { clock, random, storage: parts.storage, transport, identity, telemetry };
  const node = new PageEdge(ports, { cluster: name, seeds }, parts);
  await node.start();
  return node;
}

async function networkOf(
  {
    name,
    network,
    networkSwitch,
    meetPages = false,
    iceServers,
    seeds = [],
    clock = systemClock,
    random = systemRandom,
  }: PageEdgeOptions,
  { storage, facts, stops }: PageParts,
): Promise<Pick<EdgePorts, "transport" | "identity">> {
  if (network !== undefined) {
    stops.push(() => network.stop());
    return network;
  }
  const { id, key } = await loadPageIdentity(new RecordStore(storage), "edge");
  const late = new LateNetwork({
    self: id,
    clock,
    isIntroduced: meetPages,
    open: async () => {
      const { openPageNetwork } = await import("./network.ts");
      const wanted = {
        ...(networkSwitch && { networkSwitch }),
        ...(meetPages && { edgeOf: name }),
        ...(iceServers && { iceServers }),
      };
      return openPageNetwork({ key, seeds, meetPages, clock, random, ...wanted });
    },
    onWake: (run) => onWake(clock, run),
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
    return this.#parts.facts.with(super.facts());
  }

  override onFacts(listener: () => void): Stop {
    return this.#parts.facts.onChangeToo(super.onFacts(listener), listener);
  }

  override async close(): Promise<void> {
    await super.close();
    await release(this.#parts);
  }
}
