/**
 * One host process: storage in files, libp2p, the node, and its HTTP API, started and stopped in order.
 * Invariant: what was started is stopped in reverse, also when a later part fails to start.
 */
import type { GossipSub } from "@chainsafe/libp2p-gossipsub";
import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { nodeDefaults } from "../core/config.ts";
import { StoreError } from "../core/errors.ts";
import type { NodeId } from "../core/identity.ts";
import { EverwriteNode, repair } from "../core/index.ts";
import { gossipService, libp2pGossip } from "../core/libp2p/gossip.ts";
import { libp2pIdentity } from "../core/libp2p/identity.ts";
import { relayService } from "../core/libp2p/relay.ts";
import { libp2pTransport } from "../core/libp2p/transport.ts";
import type { StoreEvent, Telemetry } from "../core/telemetry.ts";
import { ByteLimit } from "./byte-limit.ts";
import { asideName, setAside, setAsideOf } from "./classic-directory.ts";
import { openClassicStorage } from "./classic-storage.ts";
import { createHttpServer } from "./http/server.ts";
import { loadIdentity } from "./identity-file.ts";
import { ListenError, nodeLibp2p } from "./libp2p-node.ts";
import { createLog, logTelemetry } from "./log.ts";
import { MembershipMark } from "./membership-mark.ts";
import { metricsTelemetry } from "./metrics.ts";
import type { HostOptions } from "./options.ts";
import { StorageError } from "../core/ports.ts";
import { systemClock, systemRandom } from "../core/libp2p/system-ports.ts";

/** A node with its storage and its connections, in this process. */
export interface RunningNode {
  readonly node: EverwriteNode;
  readonly id: NodeId;
  /** Multiaddrs under which others reach it. */
  readonly addresses: readonly string[];
  /** Resolves when it has its place in the cluster; rejects when the cluster refuses it. */
  readonly ready: Promise<void>;
  /** Resolves when it was told to leave, and has: stop it then. */
  readonly left: Promise<void>;
  stop(): Promise<void>;
}

/** A node that HTTP clients can reach. */
export interface RunningHost extends RunningNode {
  readonly httpUrl: string;
}

/** What an application that is itself the client does without, and what it wants to hear. */
export type EmbeddedOptions = Omit<HostOptions, "http" | "httpName"> & { readonly telemetry: Telemetry };

type StartOptions = EmbeddedOptions & { readonly http?: Pick<HostOptions, "http" | "httpName"> };

/**
 * Listens and starts; with seeds that do not answer yet it is not ready, but answers `/status`.
 * @throws StorageError, IdentityError, ListenError
 */
export async function startHost({ http, httpName, ...options }: HostOptions): Promise<RunningHost> {
  const host = await startInOrder({ ...options, telemetry: { event: () => {} }, http: { http, httpName } });
  const left = host.left.then(() => setTimeout(leftShownMs));
  return { ...host, left, httpUrl: host.httpUrl! };
}

/** The same without HTTP. @throws StorageError, IdentityError, ListenError */
export async function startEmbedded(options: EmbeddedOptions): Promise<RunningNode> {
  return startInOrder(options);
}

/** Whoever asks it every tenth of a second how far it is learns that it has left, and did not just end. */
const leftShownMs = 500;

type Started = RunningNode & { readonly httpUrl: string | undefined };

async function startInOrder(options: StartOptions): Promise<Started> {
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
  options: StartOptions,
  stops: (() => Promise<unknown>)[],
  stop: () => Promise<void>,
): Promise<Started> {
  const log = createLog({ format: options.logFormat, level: options.logLevel });
  const metrics = metricsTelemetry();
  const telemetry = all(logTelemetry(log), metrics.telemetry, options.telemetry);
  await mkdir(options.data, { recursive: true, mode: 0o700 }).catch((cause: Error) => {
    throw new StorageError("io", `cannot make the data directory: ${cause.message}; use another one`, { cause });
  });
  const warn = (text: string): void => log.warn(text);
  const identityFile = options.identity ?? join(options.data, "identity.key");
  const privateKey = await loadIdentity(identityFile, warn);
  const membership = new MembershipMark(identityFile);

  const limit = new ByteLimit(options.dataBytesMax);
  const { askDisk } = limit;
  const storage = await openClassicStorage({ directory: join(options.data, "store"), askDisk });
  const { directory } = storage;
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

  /** Set aside, and nothing is open in its place yet: a disk may fail in between. */
  let renamed: string | undefined;
  const ports = {
    clock: systemClock,
    random: systemRandom,
    storage,
    setAside: async () => {
      if (renamed === undefined) await stores.at(-1)!.close();
      const as = (renamed ??= await setAside(directory, "old"));
      stores.push(await openClassicStorage({ directory, askDisk }));
      renamed = undefined;
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
    repair,
    damagedFiles: () => stores.at(-1)!.damagedTables(),
    recordsMissing: storage.droppedLogBytes > 0,
  });
  stops.push(() => node.stop());
  const httpUrl = options.http === undefined ? undefined : await serveHttp(options.http);

  const addresses = libp2p.getMultiaddrs().map(String);
  const http = httpUrl === undefined ? "" : toldUrl(httpUrl, options.http!.http.host, addresses);
  const { zone, deviceGroup, capacity } = options;
  const ready = node
    .start({ kind: "host", capacity, zone, deviceGroup, addresses, http })
    .then(() => membership.note(name));
  return { node, id: transport.self, httpUrl, addresses, ready, left: node.left, stop };

  async function serveHttp({ http, httpName }: Pick<HostOptions, "http" | "httpName">): Promise<string> {
    const server = createHttpServer({
      node,
      metrics,
      importOld: async (name) => {
        const old = (await setAsideOf(directory)).find((path) => basename(path) === name);
        if (old === undefined) throw new StoreError("not-found", `nothing was set aside as ${name}; see /status`);
        const aside = await openClassicStorage({ directory: old, isAside: true }).catch(rethrowAside(old));
        try {
          return await node.portable.importOld(aside);
        } finally {
          await aside.close();
        }
      },
      limit,
      config: { ...nodeDefaults, names: [http.host, ...httpName], watchPingMs: 15_000 },
      log,
    });
    stops.push(async () => server.close());
    return server.listen(http).catch((error: Error) => {
      throw new ListenError(`${http.host}:${http.port} for HTTP`, error.message, { cause: error });
    });
  }
}

/** What others are told of the HTTP API: of one that listens on all addresses, that where they find the host itself. */
function toldUrl(url: string, listensOn: string, addresses: readonly string[]): string {
  if (!["0.0.0.0", "::"].includes(listensOn)) return url;
  const isLoopback = (host: string): boolean => host.startsWith("127.") || host === "[::1]";
  // To a name it answers only where it was told so (--http-name), and perhaps at another port.
  const hosts = addresses.flatMap((address) => {
    const [, version, ip] = /^\/ip([46])\/([^/]+)\//.exec(address) ?? [];
    if (ip === undefined) return [];
    return version === "6" ? `[${ip}]` : ip;
  });
  const host = hosts.find((each) => !isLoopback(each)) ?? hosts[0];
  return host === undefined ? "" : `http://${host}:${new URL(url).port}`;
}

/** In the words of who asked to import it. */
const rethrowAside =
  (directory: string) =>
  (error: unknown): never => {
    if (!(error instanceof StorageError)) throw error;
    const { kind, message } = error;
    const code = kind === "corrupt" ? "corrupt" : "not-ready";
    const reason = kind === "locked" ? "is being imported already" : `cannot be opened: ${message}`;
    throw new StoreError(code, `${basename(directory)} ${reason}`, { cause: error });
  };

function all(...each: readonly Telemetry[]): Telemetry {
  return {
    event(event: StoreEvent) {
      for (const telemetry of each) telemetry.event(event);
    },
  };
}
