/**
 * What coordinating a request takes: needs here, options in `NodeConfig`.
 */
import type { HybridClock } from "../causality/hybrid-clock.ts";
import type { Cluster } from "../cluster/cluster.ts";
import type { Exchange } from "../cluster/exchange.ts";
import type { NodeConfig } from "../config.ts";
import type { Deadlines } from "../deadlines.ts";
import type { Clock, Random, Transport } from "../ports.ts";
import type { Replica } from "../replica/replica.ts";
import type { Tasks } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";
import type { Contexts } from "./contexts.ts";
import type { ToldStates } from "./told-states.ts";

export interface CoordinateDeps {
  readonly cluster: Cluster;
  readonly exchange: Exchange;
  readonly contexts: Contexts;
  readonly toldStates: ToldStates;
  readonly replica: Replica;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly hybridClock: HybridClock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly tasks: Tasks;
  readonly config: NodeConfig;
}
