/**
 * One edge in this process: storage in files, libp2p that only dials, the node, started and stopped in order.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { EdgeNode } from "../core/index.ts";
import { libp2pIdentity } from "../core/libp2p/identity.ts";
import { libp2pTransport } from "../core/libp2p/transport.ts";
import { openClassicStorage } from "./classic-storage.ts";
import { loadIdentity } from "./identity-file.ts";
import { nodeLibp2p } from "./libp2p-node.ts";
import { createLog, logTelemetry } from "./log.ts";
import type { HostOptions } from "./options.ts";
import { systemClock, systemRandom } from "../core/libp2p/system-ports.ts";

export type StartEdgeOptions = Pick<HostOptions, "cluster" | "data" | "seed" | "logLevel" | "logFormat">;

/**
 * Its storage is `DATA/edge`; a host's is `DATA/store`. Resolves when local reads and writes are answered; `release`, after the node was closed, closes the rest.
 * @throws StorageError, IdentityError, StoreError `bad-request` (the data is a host's, or of another cluster)
 */
export async function startEdge(options: StartEdgeOptions): Promise<{ node: EdgeNode; release(): Promise<void> }> {
  const stops: (() => Promise<unknown>)[] = [];
  const release = async (): Promise<void> => {
    for (let last = stops.pop(); last !== undefined; last = stops.pop()) await last();
  };
  try {
    const log = createLog({ format: options.logFormat, level: options.logLevel });
    await mkdir(options.data, { recursive: true, mode: 0o700 });
    const privateKey = await loadIdentity(join(options.data, "identity.key"), (text) => log.warn(text));
    const storage = await openClassicStorage({ directory: join(options.data, "edge") });
    stops.push(() => storage.close());
    const libp2p = await nodeLibp2p({ privateKey, listen: [] });
    stops.push(async () => libp2p.stop());
    const transport = libp2pTransport({ libp2p, clock: systemClock });
    await transport.start();
    stops.push(() => transport.stop());
    const ports = {
      clock: systemClock,
      random: systemRandom,
      storage,
      transport,
      identity: libp2pIdentity(privateKey),
      telemetry: logTelemetry(log),
    };
    const node = new EdgeNode(ports, { cluster: options.cluster, seeds: options.seed });
    await node.start();
    return { node, release };
  } catch (error: unknown) {
    await release();
    throw error;
  }
}
