/**
 * What a node is made with: the outside world, and what to do in it.
 */
import type { repair } from "./background/repair.ts";
import type { WantedParameters } from "./cluster/start.ts";
import type { NodeConfig } from "./config.ts";
import type { Clock, Gossip, Identity, Random, Stop, Storage, Transport } from "./ports.ts";
import type { Telemetry } from "./telemetry.ts";

/** The outside world of one node. The caller made them, and closes them after `stop`. */
export interface NodePorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly storage: Storage;
  /** Closes the storage, keeps what is in it, and opens an empty one: what was in it turned out to be an old copy. */
  readonly setAside: () => Promise<{ readonly storage: Storage; readonly as: string }>;
  /** Opens an empty storage beside the one in use, to keep some of what is in that; the node fills and closes it. */
  readonly openAside: () => Promise<{ readonly storage: Storage; readonly as: string }>;
  readonly transport: Transport;
  readonly identity: Identity;
  /** Without it membership spreads more slowly. */
  readonly gossip?: Gossip;
  /**
   * Of a node that shares its thread, as in a page: tells how long something held all up, ms. Background work yields to that as
   * it does to requests, for it may have been the cause (PROTOCOL 13).
   */
  readonly onLongTask?: (hear: (ms: number) => void) => Stop;
  readonly telemetry: Telemetry;
}

/** Which cluster, and how. */
export interface NodeOptions {
  readonly cluster: WantedParameters;
  /** Addresses of hosts of the cluster. None, and no data: this node founds the cluster, if it may. */
  readonly seeds: readonly string[];
  /** False: this identity was a member once and has lost its data; it waits for the others instead. */
  readonly mayFound?: boolean;
  /**
   * Of a node that finds the others through relays, which are seeds but no hosts: asked while no seed leads to the cluster.
   * True: nobody of it is there, and of those who wait to found it this node is the first; so it does.
   */
  readonly isFirst?: () => Promise<boolean>;
  /** False: take no share of the ring before an operator gives it one (`join`). */
  readonly mayJoin?: boolean;
  readonly config?: Partial<NodeConfig>;
  /** What opening the storage found, for `status`. */
  readonly setAside?: readonly string[];
  /** Records that were on the disk are missing: what is there is kept, and every partition is filled anew. */
  readonly recordsMissing?: boolean;
  /** Carries out what operators ask for (`background/repair.ts`). A page, which has none, is made and loaded without it. */
  readonly repair?: typeof repair;
  /** Names files of the storage that are damaged, for `repair`. */
  readonly damagedFiles?: () => Promise<readonly string[]>;
}
