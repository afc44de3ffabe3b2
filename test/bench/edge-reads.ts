/**
 * Gets of an edge: of one that asks R owners itself, and of one that has a host coordinate, by turns at the same hosts.
 */
import { generateKeyPair } from "@libp2p/crypto/keys";
import { clusterDefaults } from "../../core/config.ts";
import { EdgeNode } from "../../core/index.ts";
import { libp2pIdentity } from "../../core/libp2p/identity.ts";
import { systemClock, systemRandom } from "../../core/libp2p/system-ports.ts";
import { type Transport, TransportError } from "../../core/ports.ts";
import { methods } from "../../core/rpc/rpc.ts";
import { MemoryStorage } from "../../core/storage/memory-storage.ts";
import { eventually } from "../support/eventually.ts";
import { median } from "../support/figures.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { metric } from "../support/http-client.ts";
import { Libp2pNodes } from "../support/libp2p-nodes.ts";
import type { Bench } from "../tools/trial.ts";

const keys = 1_000;
const inFlightSteps = [1, 16, 64];
const ways = ["by itself", "through a host"] as const;
const rounds = 3;

interface Turn {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly hostCpuUs: number;
  readonly requests: number;
}

interface Reader {
  readonly edge: EdgeNode;
  /** Requests of the edge so far. */
  readonly requests: () => number;
}

export const bench: Bench = {
  name: "edge-reads",
  summary: "gets of an edge from three hosts at N=3, R=2, which it coordinates itself, or has a host coordinate",
  async run({ folder, short, log }) {
    await using hosts = await HostProcesses.of(3, folder);
    const nodes = new Libp2pNodes();
    try {
      const readers = {
        "by itself": await open(nodes, hosts, true),
        "through a host": await open(nodes, hosts, false),
      };
      await fill(readers["by itself"].edge);
      const rows = [];
      for (const inFlight of inFlightSteps) {
        const turns = { "by itself": [] as Turn[], "through a host": [] as Turn[] };
        for (let round = 0; round < (short ? 1 : rounds); round++) {
          for (const way of ways)
            turns[way].push(await turn(readers[way], hosts, { inFlight, ms: short ? 500 : 3_000 }));
        }
        for (const way of ways) {
          const of = (name: keyof Turn): number => Number(median(turns[way].map((each) => each[name])).toFixed(2));
          log(`${inFlight} in flight, ${way}: p50 ${of("p50Ms")} ms`);
          rows.push({
            coordinated: way,
            "in flight": inFlight,
            "per second": of("perSecond"),
            "p50 ms": of("p50Ms"),
            "p99 ms": of("p99Ms"),
            "hosts' CPU us/get": of("hostCpuUs"),
            "edge's requests/get": of("requests"),
          });
        }
      }
      for (const { edge } of Object.values(readers)) await edge.close();
      return [{ title: `gets at an edge, medians of ${short ? 1 : rounds} turns`, rows }];
    } finally {
      await nodes.close();
    }
  },
};

async function open(nodes: Libp2pNodes, hosts: HostProcesses, coordinates: boolean): Promise<Reader> {
  const { transport } = await nodes.start(coordinates ? "by itself" : "through a host");
  let requests = 0;
  const counted: Transport["request"] = (to, body, timeoutMs) => {
    if (!coordinates && body[0] === methods.edgeFetch.number)
      return Promise.reject(new TransportError("not-sent", "this edge has hosts coordinate"));
    requests += 1;
    return transport.request(to, body, timeoutMs);
  };
  const ports = {
    clock: systemClock,
    random: systemRandom,
    storage: new MemoryStorage(),
    transport: new Proxy(transport, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name);
        return name === "request" ? counted : typeof value === "function" ? value.bind(target) : value;
      },
    }),
    identity: libp2pIdentity(await generateKeyPair("Ed25519")),
    telemetry: { event: () => {} },
  };
  const edge = new EdgeNode(ports, { cluster: clusterDefaults.name, seeds: hosts.addresses });
  await edge.start();
  const connected = (): number => [...transport.peers()].filter((peer) => peer.connected).length;
  await eventually(() => edge.facts().connected && connected() === hosts.urls.length, "an edge with all hosts");
  return { edge, requests: () => requests };
}

async function fill(edge: EdgeNode): Promise<void> {
  const body = new Uint8Array(200);
  for (let i = 0; i < keys; i += 50) {
    await Promise.all(Array.from({ length: 50 }, (_, j) => edge.put("bench", `k${i + j}`, body, { w: "all" })));
  }
}

async function turn(
  { edge, requests }: Reader,
  hosts: HostProcesses,
  { inFlight, ms }: { readonly inFlight: number; readonly ms: number },
): Promise<Turn> {
  const latencies: number[] = [];
  const [cpuBefore, requestsBefore] = [await cpuSecondsOf(hosts), requests()];
  const startMs = performance.now();
  const lane = async (): Promise<void> => {
    while (performance.now() < startMs + ms) {
      const beganMs = performance.now();
      const { siblings, source } = await edge.get("bench", `k${Math.floor(Math.random() * keys)}`);
      if (siblings.length !== 1 || source !== "quorum") throw new Error("a get did not find its value at hosts");
      latencies.push(performance.now() - beganMs);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  const seconds = (performance.now() - startMs) / 1_000;
  latencies.sort((a, b) => a - b);
  const at = (share: number): number => latencies[Math.floor(share * (latencies.length - 1))]!;
  return {
    perSecond: Math.round(latencies.length / seconds),
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    hostCpuUs: ((await cpuSecondsOf(hosts)) - cpuBefore) * (1e6 / latencies.length),
    requests: (requests() - requestsBefore) / latencies.length,
  };
}

async function cpuSecondsOf({ urls }: HostProcesses): Promise<number> {
  const each = await Promise.all(urls.map((url) => metric(url, "everwrite_process_cpu_seconds_total")));
  return each.reduce((sum, seconds) => sum + seconds, 0);
}
