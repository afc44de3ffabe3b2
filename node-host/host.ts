/**
 * One host process: storage in files, libp2p, the node, and its HTTP API, started and stopped in order.
 * Invariant: what was started is stopped in reverse, also when a later part fails to start.
 */
import type { GossipSub } from "@chainsafe/libp2p-gossipsub";
import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import type { NodeApi } from "../core/api.ts";
import { nodeDefaults } from "../core/config.ts";
import { StoreError } from "../core/errors.ts";
import { EverwriteNode } from "../core/index.ts";
import { gossipService, libp2pGossip } from "../core/libp2p/gossip.ts";
import { libp2pIdentity } from "../core/libp2p/identity.ts";
import { relayService } from "../core/libp2p/relay.ts";
import { libp2pTransport } from "../core/libp2p/transport.ts";
import type { StoreEvent, Telemetry } from "../core/telemetry.ts";
import { asideName, setAside, setAsideOf } from "./classic-directory.ts";
import { openClassicStorage } from "./classic-storage.ts";
import { createHttpServer } from "./http/server.ts";
import { loadIdentity } from "./identity-file.ts";
import { nodeLibp2p } from "./libp2p-node.ts";
import { createLog, logTelemetry } from "./log.ts";
import { MembershipMark } from "./membership-mark.ts";
import { metricsTelemetry } from "./metrics.ts";
import type { HostOptions } from "./options.ts";
import { systemClock, systemRandom } from "./system-ports.ts";

export interface RunningHost {
  readonly node: NodeApi;
  readonly id: string;
  readonly httpUrl: string;
  /** Multiaddrs under which others reach it. */
  readonly addresses: readonly string[];
  /** Resolves when it has its place in the cluster; rejects when the cluster refuses it. */
  readonly ready: Promise<void>;
  /** Resolves when it was told to leave, and has: stop it then. */
  readonly left: Promise<void>;
  stop(): Promise<void>;
}

/**
 * Listens and starts; with seeds that do not answer yet it is not ready, but answers `/status`.
 * @throws StorageError, IdentityError, ListenError, or Node's error of a taken HTTP port
 */
export async function startHost(options: HostOptions): Promise<RunningHost> {
  const stops: (() => Promise<unknown>)[] = [];
  const stop = async (): Promise<void> => {
    const failures: unknown[] = [];
    for (let last = stops.pop(); last !== undefined; last = stops.pop()) {
      await last().catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw new AggregateError(failures, "some parts did not stop cleanly");
  };
  try {
    return await start(options, stops, stop);
  } catch (error: unknown) {
    await stop();
    throw error;
  }
}

async function start(
  options: HostOptions,
  stops: (() => Promise<unknown>)[],
  stop: () => Promise<void>,
): Promise<RunningHost> {
  const log = createLog({ format: options.logFormat, level: options.logLevel });
  const metrics = metricsTelemetry();
  const telemetry = both(logTelemetry(log), metrics.telemetry);
  await mkdir(options.data, { recursive: true, mode: 0o700 });
  const warn = (text: string): void => log.warn(text);
  const identityFile = options.identity ?? join(options.data, "identity.key");
  const privateKey = await loadIdentity(identityFile, warn);
  const membership = new MembershipMark(identityFile);

  const directory = join(options.data, "store");
  const storage = await openClassicStorage({ directory });
  const stores = [storage];
  stops.push(() => stores.at(-1)!.close());
  if (storage.droppedLogBytes > 0) {
    log.error(`the storage lost ${storage.droppedLogBytes} damaged bytes of its log: every partition is filled anew`);
  }
  const { cluster: name, partitions, n, admission, r, w, durability, graceMs, seed: seeds } = options;
  const services = {
    ...(options.gossip === "on" ? { pubsub: gossipService(name) } : {}),
    ...(options.relayReservations > 0 ? { relay: relayService({ reservationsMax: options.relayReservations }) } : {}),
  };
  const libp2p = await nodeLibp2p({ privateKey, listen: options.p2p, announce: options.announce, services });
  stops.push(async () => libp2p.stop());
  const transport = libp2pTransport({
    libp2p,
    clock: systemClock,
    onProblem: ({ kind, peer, message }) =>
      telemetry.event(
        kind === "bad-frames"
          ? { kind: "bad-frame", from: peer, reason: message }
          : { kind: "peer-problem", id: peer, problem: kind, reason: message },
      ),
  });
  await transport.start();
  stops.push(() => transport.stop());

  const ports = {
    clock: systemClock,
    random: systemRandom,
    storage,
    setAside: async () => {
      await stores.at(-1)!.close();
      const as = await setAside(directory, "old");
      stores.push(await openClassicStorage({ directory }));
      return { storage: stores.at(-1)!, as };
    },
    openAside: async () => {
      const as = asideName(directory, "old");
      return { storage: await openClassicStorage({ directory: as }), as };
    },
    transport,
    identity: libp2pIdentity(privateKey),
    ...(options.gossip === "on" ? { gossip: libp2pGossip(libp2p.services["pubsub"] as GossipSub, name) } : {}),
    telemetry,
  };
  const node = new EverwriteNode(ports, {
    cluster: { name, admission, ...(partitions === null ? {} : { partitions }), ...(n === null ? {} : { n }) },
    seeds,
    mayFound: storage.setAsideAs === undefined && !(await membership.isMemberOf(name)),
    mayJoin: !options.noJoin,
    config: { r, w, durability, graceMs },
    setAside: await setAsideOf(directory),
    damagedFiles: () => stores.at(-1)!.damagedTables(),
    recordsMissing: storage.droppedLogBytes > 0,
  });
  stops.push(() => node.stop());
  const http = createHttpServer({
    node,
    metrics,
    importOld: async (name) => {
      const old = (await setAsideOf(directory)).find((path) => basename(path) === name);
      if (old === undefined) throw new StoreError("not-found", `nothing was set aside as ${name}; see /status`);
      const aside = await openClassicStorage({ directory: old });
      try {
        return await node.importOld(aside);
      } finally {
        await aside.close();
      }
    },
    config: { ...nodeDefaults, names: [options.http.host, ...options.httpName], watchPingMs: 15_000 },
    log,
  });
  stops.push(async () => http.close());
  const httpUrl = await http.listen(options.http);

  const addresses = libp2p.getMultiaddrs().map(String);
  const { zone, deviceGroup, capacity } = options;
  const ready = node
    .start({ kind: "host", capacity, zone, deviceGroup, addresses, http: httpUrl })
    .then(() => membership.note(name));
  return { node, id: transport.self, httpUrl, addresses, ready, left: node.left, stop };
}

function both(first: Telemetry, second: Telemetry): Telemetry {
  return {
    event(event: StoreEvent) {
      first.event(event);
      second.event(event);
    },
  };
}
