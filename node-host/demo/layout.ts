/**
 * Where the demo's hosts live: directories, ports, seeds. Remembered in `cluster.json`, so that a second start finds
 * the same hosts.
 * Invariant: only a cluster that never existed is founded; a wiped directory joins the hosts that still have theirs.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

export interface HostPlace {
  /** 1, 2, 3, … */
  readonly number: number;
  readonly directory: string;
  readonly log: string;
  readonly httpPort: number;
  readonly p2pPort: number;
  readonly url: string;
}

export interface Layout {
  readonly hosts: readonly HostPlace[];
  /** Host 1 founded the cluster at some time. */
  readonly founded: boolean;
  /** Ports of hosts that are not started this time are addresses still. */
  seedsOf(host: HostPlace): readonly string[];
  /** Called once host 1 serves: from now on nobody founds. */
  rememberFounded(): void;
  /** Ports that were wanted, but taken. */
  readonly moved: readonly string[];
}

interface ClusterFile {
  readonly founded: boolean;
  readonly ports: readonly { readonly http: number; readonly p2p: number }[];
}

const HTTP_PORT = 7_070;
const P2P_PORT = 4_001;

export async function layOut(directory: string, count: number): Promise<Layout> {
  mkdirSync(directory, { recursive: true });
  const file = join(directory, "cluster.json");
  const before = readClusterFile(file);
  const chosen = new Set<number>();
  const moved: string[] = [];
  const choose = async (wanted: number, use: string): Promise<number> => {
    const port = await freePort(wanted, chosen);
    chosen.add(port);
    if (port !== wanted) moved.push(`port ${wanted} is taken: ${use} is on ${port}`);
    return port;
  };

  const hosts: HostPlace[] = [];
  for (let number = 1; number <= count; number += 1) {
    const known = before.ports[number - 1];
    const httpPort = await choose(known?.http ?? HTTP_PORT + number - 1, `HTTP of host ${number}`);
    const p2pPort = await choose(known?.p2p ?? P2P_PORT + number - 1, `host ${number}`);
    const base = join(directory, `host-${number}`);
    hosts.push({ number, directory: base, log: `${base}.log`, httpPort, p2pPort, url: `http://127.0.0.1:${httpPort}` });
  }

  // If cluster.json was lost, hosts beside the first prove that there is a cluster: they only ever join.
  const founded = before.founded || hosts.slice(1).some(({ directory: data }) => hasFiles(data));
  const ports = hosts.map(({ httpPort, p2pPort }) => ({ http: httpPort, p2p: p2pPort }));
  const all = [...ports, ...before.ports.slice(count)];
  const remember = (isFounded: boolean): void => {
    writeFileSync(file, `${JSON.stringify({ founded: isFounded, ports: all } satisfies ClusterFile, null, 2)}\n`);
  };
  remember(founded);
  return {
    hosts,
    founded,
    moved,
    seedsOf: ({ number }) =>
      number === 1 && !founded
        ? []
        : all.flatMap(({ p2p }, index) => (index + 1 === number ? [] : [`/ip4/127.0.0.1/tcp/${p2p}`])),
    rememberFounded: () => remember(true),
  };
}

function readClusterFile(file: string): ClusterFile {
  if (!existsSync(file)) return { founded: false, ports: [] };
  return JSON.parse(readFileSync(file, "utf8")) as ClusterFile;
}

function hasFiles(directory: string): boolean {
  return existsSync(directory) && readdirSync(directory).length > 0;
}

/** The wanted port if nobody listens there, else whatever the system gives. */
async function freePort(wanted: number, chosen: ReadonlySet<number>): Promise<number> {
  if (!chosen.has(wanted) && (await canListen(wanted)) !== null) return wanted;
  for (;;) {
    const port = await canListen(0);
    if (port !== null && !chosen.has(port)) return port;
  }
}

function canListen(port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(null));
    server.listen(port, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : null));
    });
  });
}
