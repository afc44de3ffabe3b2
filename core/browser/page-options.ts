/** What an application says of the node behind a store in a page. */
import type { QuorumSpec } from "../config.ts";
import type { CancelSignal, Clock, Identity, Random, Storage, Transport } from "../ports.ts";
import type { Telemetry } from "../telemetry.ts";
import type { NetworkSwitch } from "./network-switch.ts";
import type { StorageBudget } from "./storage-budget.ts";

/** What an application may put in the place of the browser's own. */
export interface PageAdapters {
  /** In the place of IndexedDB. The node closes it. */
  readonly storage?: Storage;
  /** In the place of libp2p: it knows who this node is, and dials the seeds when it is asked to meet them. */
  readonly network?: { readonly transport: Transport; readonly identity: Identity; stop(): Promise<void> };
  /** Of the browser's own network: cuts and slows it. */
  readonly networkSwitch?: NetworkSwitch;
  /** Of the browser's own storage: limits what is written. */
  readonly storageBudget?: StorageBudget;
  readonly clock?: Clock;
  readonly random?: Random;
  /** Hears what happens inside. */
  readonly telemetry?: Telemetry;
}

interface CommonOptions {
  /** Of the cluster. */
  readonly name: string;
  /** Of this browser's database: the cluster's where not given. Several nodes of one origin need one each. */
  readonly database?: string;
  /**
   * Multiaddrs of hosts of the cluster, `/dns4/host.example/tcp/443/wss`; to a host in a page, and an edge of such, a relay will do. None: what an
   * edge writes stays here.
   */
  readonly seeds?: readonly string[];
}

/** An edge keeps copies of what it uses, takes writes while it is offline, and sends them when hosts answer. */
export interface PageEdgeOptions extends CommonOptions, PageAdapters {
  readonly role?: "edge";
  /** Hosts may be pages, too: it loads WebRTC, and its seeds may be relays. False where not given: hosts are dialled by WebSockets. */
  readonly meetPages?: boolean;
  /** With `meetPages`: STUN and TURN servers of the application, for pages in different networks. */
  readonly iceServers?: readonly RTCIceServer[];
}

/** What an application says of a host. */
export interface PageHostSettings {
  /**
   * Whether this page founds the cluster where there is nobody of it: it finds that out at the relays, all of which must answer
   * (without seeds it just does). Of several that open at once only one does. False where not given: others are waited for.
   */
  readonly found?: boolean;
  /** Share of the data, where 100 is that of an ordinary Node host: 10 where not given. */
  readonly capacity?: number;
  readonly zone?: string;
  /** For how long it may be gone before others take over its share, ms: 10 minutes where not given. */
  readonly leaseMs?: number;
  /** Fixed by the cluster's founder, like `partitions`; refused where the cluster has others. */
  readonly n?: number;
  readonly partitions?: number;
  /** Of buckets and calls that say nothing else. */
  readonly r?: QuorumSpec;
  readonly w?: QuorumSpec;
  /** STUN and TURN servers of the application, for pages in different networks. */
  readonly iceServers?: readonly RTCIceServer[];
}

/** A host holds a share of all data, for as long as its page is open and a while longer. Its storage and network are the browser's. */
export interface PageHostOptions extends CommonOptions, PageHostSettings, Omit<PageAdapters, "storage" | "network"> {
  readonly role: "host";
  /** How long the cluster may take to let it in: 30 s where not given. */
  readonly timeoutMs?: number;
  /** Ends the opening, not the host. */
  readonly signal?: CancelSignal;
}

export type PageNodeOptions = PageEdgeOptions | PageHostOptions;
