/**
 * Where the demo's hosts live: directories, ports, seeds. Remembered in `cluster.json`, so that a second start finds
 * the same hosts.
 * Invariant: only a cluster that never existed is founded; a wiped directory joins the hosts that still have theirs. Two
 * demos of one machine are two clusters: each has a name of its own, so that they stay apart though one may be given a port
 * that the other had.
 */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { clusterDefaults } from "../../core/config.ts";
import { StoreError } from "../../core/errors.ts";

export interface HostPlace {
  /** 1, 2, 3, … */
  readonly number: number;
  readonly directory: string;
  readonly log: string;
  readonly httpPort: number;
  /** Where other hosts connect, over TCP. */
  readonly p2pPort: number;
  /** Where browsers connect, over WebSockets. */
  readonly wsPort: number;
  readonly url: string;
}

/** Where the relay keeps its key, and browsers find it, over WebSockets. */
export interface RelayPlace {
  readonly directory: string;
  readonly log: string;
  readonly wsPort: number;
}

export interface Layout {
  /** Name of the cluster. */
  readonly cluster: string;
  /** Those to start, by number. */
  readonly hosts: readonly HostPlace[];
  /** Host 1 founded the cluster at some time. */
  readonly founded: boolean;
  /** Ports of hosts that are not started this time are addresses still. */
  seedsOf(host: HostPlace): readonly string[];
  /** Called once host 1 serves: from now on nobody founds. */
  rememberFounded(): void;
  /** A place for one host more: that of one that has left, or a new one. */
  add(): Promise<HostPlace>;
  /** It has left the cluster: the next start does without it. */
  rememberLeft(host: HostPlace): void;
  /** Of the demo's page, kept: to a browser another port is another site, with other data. */
  readonly pagePort: number;
  /** Of the relay at which browsers alone meet. */
  readonly relay: RelayPlace;
  /** Ports that were wanted, but taken. */
  readonly moved: readonly string[];
}

interface KnownHost {
  readonly http: number;
  readonly p2p: number;
  /** Missing in a file of before there were browsers. */
  readonly ws?: number;
  readonly left?: boolean;
}

interface ClusterFile {
  /** Missing in a file of before each demo had one of its own. */
  readonly cluster?: string;
  readonly founded: boolean;
  readonly ports: readonly KnownHost[];
  readonly page?: number;
  readonly relay?: number;
}

const HTTP_PORT = 7_070;
const P2P_PORT = 4_001;
const WS_PORT = 4_101;
const PAGE_PORT = 8_080;
const RELAY_PORT = 4_201;
const HOSTS_AT_FIRST = 3;

/**
 * `count` undefined: the hosts of the last time, three the first time. Hosts that left are counted, and not among those to
 * start.
 * @throws StoreError `bad-request`: what is remembered is damaged
 */
export async function layOut(directory: string, count?: number): Promise<Layout> {
  mkdirSync(directory, { recursive: true });
  const file = join(directory, "cluster.json");
  const before = readClusterFile(file);
  const known: KnownHost[] = [...before.ports];
  const chosen = new Set<number>();
  const moved: string[] = [];
  const choose = async (wanted: number, use: string): Promise<number> => {
    const port = await freePort(wanted, chosen);
    chosen.add(port);
    if (port !== wanted) moved.push(`port ${wanted} is taken: ${use} is on ${port}`);
    return port;
  };
  const place = async (number: number): Promise<HostPlace> => {
    const last = known[number - 1];
    const httpPort = await choose(last?.http ?? HTTP_PORT + number - 1, `HTTP of host ${number}`);
    const p2pPort = await choose(last?.p2p ?? P2P_PORT + number - 1, `host ${number}`);
    const wsPort = await choose(last?.ws ?? WS_PORT + number - 1, `host ${number} for browsers`);
    known[number - 1] = { http: httpPort, p2p: p2pPort, ws: wsPort };
    const base = join(directory, `host-${number}`);
    const url = `http://127.0.0.1:${httpPort}`;
    return { number, directory: base, log: `${base}.log`, httpPort, p2pPort, wsPort, url };
  };

  const wanted = count ?? Math.max(HOSTS_AT_FIRST, known.length);
  const hosts: HostPlace[] = [];
  for (let number = 1; number <= wanted; number += 1) {
    if (count !== undefined || known[number - 1]?.left !== true) hosts.push(await place(number));
  }

  const pagePort = await choose(before.page ?? PAGE_PORT, "the page");
  const relayPort = await choose(before.relay ?? RELAY_PORT, "the relay");
  if (before.page !== undefined && pagePort !== before.page) {
    const carts = `what a browser has kept of it is at port ${before.page}, as soon as that is free again`;
    moved.push(`to browsers this is another shop: ${carts}`);
  }

  // If cluster.json was lost, hosts beside the first prove that there is a cluster: they only ever join.
  let founded = before.founded || hosts.slice(1).some(({ directory: data }) => hasFiles(data));
  const cluster = before.cluster ?? clusterOf(directory) ?? (founded ? clusterDefaults.name : newName());
  const remember = (): void => {
    // A port that is taken this time is wanted the next time: a browser knows the page by it.
    const { page = pagePort, relay = relayPort } = before;
    const remembered: ClusterFile = { cluster, founded, ports: known, page, relay };
    // Whole or not at all: a start that is cut short must not keep the next one from starting.
    writeFileSync(`${file}.new`, `${JSON.stringify(remembered, null, 2)}\n`);
    renameSync(`${file}.new`, file);
  };
  remember();
  const isNew = !founded;
  const relayDirectory = join(directory, "relay");
  return {
    cluster,
    hosts,
    founded,
    pagePort,
    relay: { directory: relayDirectory, log: `${relayDirectory}.log`, wsPort: relayPort },
    moved,
    seedsOf: ({ number }) =>
      number === 1 && isNew
        ? []
        : known.flatMap(({ p2p }, index) => (index + 1 === number ? [] : [`/ip4/127.0.0.1/tcp/${p2p}`])),
    rememberFounded() {
      founded = true;
      remember();
    },
    async add() {
      const left = known.findIndex((host) => host.left === true);
      const added = await place(left === -1 ? known.length + 1 : left + 1);
      remember();
      return added;
    },
    rememberLeft({ number }) {
      known[number - 1] = { ...known[number - 1]!, left: true };
      remember();
    },
  };
}

function readClusterFile(file: string): ClusterFile {
  if (!existsSync(file)) return { founded: false, ports: [] };
  try {
    return JSON.parse(readFileSync(file, "utf8")) as ClusterFile;
  } catch (error: unknown) {
    const advice = "move it away, and the demo finds its hosts by their directories";
    throw new StoreError("bad-request", `${file} is damaged (${(error as Error).message}): ${advice}`, {
      cause: error,
    });
  }
}

/** As the hosts of this directory remember it beside their keys. */
function clusterOf(directory: string): string | undefined {
  const marks = readdirSync(directory)
    .filter((name) => /^host-\d+$/.test(name))
    .map((name) => join(directory, name, "identity.key.member"));
  const [mark] = marks.filter((path) => existsSync(path));
  return mark === undefined ? undefined : readFileSync(mark, "utf8").trim();
}

function newName(): string {
  return `demo-${randomBytes(4).toString("hex")}`;
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
