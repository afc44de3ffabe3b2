/** What a host can be told; how it is told is in settings.ts. */
import { clusterDefaults, nodeDefaults, type NodeConfig } from "../core/config.ts";
import { defaultRelayLimits } from "../core/libp2p/limits.ts";
import { logFormats, logLevels } from "./log-options.ts";
import {
  badRequest,
  type Flags,
  multiaddrText,
  one,
  readSettings,
  several,
  type Setting,
  type Settings,
} from "./settings.ts";
import {
  anyText,
  atLeast,
  flag,
  integerUpTo,
  oneOf,
  quorumSpec,
  someText,
  type TextValue,
  wholeNumber,
} from "./text-values.ts";

export interface HostOptions extends Pick<NodeConfig, "r" | "w" | "durability" | "graceMs"> {
  /** Fixed by the cluster's first host, like `partitions`, `n` and `admission`; null: whatever the cluster has. */
  readonly cluster: string;
  readonly partitions: number | null;
  readonly n: number | null;
  readonly admission: "open";
  /** Directory of this host's data. */
  readonly data: string;
  /** What the records in it may take, bytes, with the headroom; null: whatever the disk gives. */
  readonly dataBytesMax: number | null;
  /** File of the node key; null: inside the data directory. */
  readonly identity: string | null;
  readonly http: { readonly host: string; readonly port: number };
  /** Names that requests may carry in `Host`, beside loopback and the address bound. */
  readonly httpName: readonly string[];
  /** Multiaddrs to listen on, to tell others, and to find the cluster at. */
  readonly p2p: readonly string[];
  readonly announce: readonly string[];
  readonly seed: readonly string[];
  /** Wait for `everwrite join` instead of taking a share of the ring. */
  readonly noJoin: boolean;
  readonly zone: string;
  readonly deviceGroup: string;
  /** Share of the tokens relative to the other hosts; 100 = one ordinary host. */
  readonly capacity: number;
  /** `off`: membership spreads by pairwise exchanges alone. */
  readonly gossip: "on" | "off";
  /** Browsers that others reach through this host at the same time; 0: it is no relay. */
  readonly relayReservations: number;
  readonly logLevel: (typeof logLevels)[number];
  readonly logFormat: (typeof logFormats)[number];
}

const hostPort: TextValue<{ host: string; port: number }> = {
  expects: "HOST:PORT such as 127.0.0.1:7070 or [::1]:7070",
  parse(text) {
    // A whole URL is taken too: EVERWRITE_HTTP holds one for the client verbs.
    const [, v6, name, digits] = /^(?:http:\/\/)?(?:\[([0-9a-f:.]+)\]|([^[\]:/]+)):([0-9]{1,5})\/?$/i.exec(text) ?? [];
    const host = v6 ?? name;
    const port = Number(digits);
    return host !== undefined && port <= 65_535 ? { host, port } : undefined;
  },
};

const powerOfTwo: TextValue<number> = {
  expects: "a power of two from 1 to 65536",
  parse: (text) => [...Array(17).keys()].map((bits) => 2 ** bits).find((power) => String(power) === text),
};

/** Twice the headroom of a small disk. */
const dataBytesLeast = 33_554_432;

/** In the order of the help. */
export const hostSettings: Settings<HostOptions> = {
  cluster: one("NAME", someText, clusterDefaults.name, "the cluster to found, or to join through the seeds"),
  data: one("DIR", someText, ".everwrite/host", "directory of this host's data"),
  dataBytesMax: {
    ...one("BYTES", atLeast(dataBytesLeast), dataBytesLeast, "what it may take there: full as on a disk of that size"),
    initial: null,
  },
  identity: { ...one("FILE", someText, "", "node key, if it is to be kept outside the data directory"), initial: null },
  http: one("HOST:PORT", hostPort, { host: "127.0.0.1", port: 7070 }, "where the HTTP API listens; port 0: any"),
  httpName: several("NAME", someText, [], "a name by which requests may call this host, beside loopback"),
  p2p: several("MULTIADDR", multiaddrText, ["/ip4/127.0.0.1/tcp/4001"], "where other hosts connect"),
  announce: several("MULTIADDR", multiaddrText, [], "an address to tell others, where it differs from --p2p"),
  seed: several("MULTIADDR", multiaddrText, [], "a host of the cluster; with none, this host founds the cluster"),
  noJoin: one("", flag, false, "take no share of the ring before `everwrite join ID` gives it one"),
  zone: one("ZONE", anyText, "", "failure domain; copies are spread over zones"),
  deviceGroup: one("GROUP", anyText, "", "hosts of one group share a machine: never two copies there"),
  capacity: one("CAPACITY", integerUpTo(1_000_000), 100, "share of the data relative to others; 100 = ordinary"),
  partitions: fixed("Q", powerOfTwo, `partitions of the cluster, fixed by its founder (${clusterDefaults.partitions})`),
  n: fixed("N", integerUpTo(16), `copies of each key, fixed by the founder of the cluster (${clusterDefaults.n})`),
  r: one("R", quorumSpec, nodeDefaults.r, "copies that must answer a read: one, quorum, all or a number"),
  w: one("W", quorumSpec, nodeDefaults.w, "copies that must be durable before a write is acknowledged"),
  admission: one("POLICY", oneOf("open"), clusterDefaults.admission, "who may join: open = whoever can connect"),
  durability: one("MODE", oneOf("synced", "buffered"), nodeDefaults.durability, "synced, or buffered: one copy synced"),
  gossip: one("on|off", oneOf("on", "off"), "on", "off: membership spreads by exchanges of pairs alone, more slowly"),
  relayReservations: one(
    "COUNT",
    wholeNumber,
    defaultRelayLimits.reservationsMax,
    "browsers that meet through this host at the same time; 0: none",
  ),
  graceMs: one(
    "MS",
    integerUpTo(31_536_000_000),
    nodeDefaults.graceMs,
    "how long a delete is kept at least; the same on all hosts",
  ),
  logLevel: one("LEVEL", oneOf(...logLevels), "info", logLevels.join(", ")),
  logFormat: one("FORMAT", oneOf(...logFormats), "pretty", logFormats.join(" or ")),
};

export type HostFlags = Flags<HostOptions>;

/** Throws `bad-request` with a sentence that names the flag, variable or key at fault. */
export function readHostOptions(flags: HostFlags, env: Readonly<Record<string, string | undefined>>): HostOptions {
  const options = readSettings(hostSettings, flags, env);
  for (const quorum of ["r", "w"] as const) {
    const count = options[quorum];
    // Those of a cluster that exists are known to its members.
    if (options.n !== null && typeof count === "number" && count > options.n) {
      throw badRequest(`--${quorum} ${count} can never be met: there are only --n ${options.n} copies of a key`);
    }
  }
  return options;
}

/** A parameter of the cluster: refused where it differs from the cluster's. */
function fixed<T>(placeholder: string, value: TextValue<T>, about: string): Setting<T | null> {
  return { ...one<T | null>(placeholder, value, null, about), initial: null };
}
