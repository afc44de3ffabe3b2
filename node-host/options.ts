/**
 * How a host is told what to do: flags, then EVERWRITE_* variables, then the config file, then defaults.
 * One table describes every setting for all four; what is not in it is refused.
 */
import { readFileSync } from "node:fs";
import { multiaddr } from "@multiformats/multiaddr";
import { clusterDefaults, nodeDefaults, type NodeConfig } from "../core/config.ts";
import { StoreError } from "../core/errors.ts";
import { logFormats, logLevels } from "./log-options.ts";
import { anyText, flag, integerUpTo, oneOf, quorumSpec, someText, type TextValue } from "./text-values.ts";

export interface HostOptions extends Pick<NodeConfig, "r" | "w" | "durability" | "graceMs"> {
  /** Fixed by the cluster's first host, like `partitions`, `n` and `admission`; null: whatever the cluster has. */
  readonly cluster: string;
  readonly partitions: number | null;
  readonly n: number | null;
  readonly admission: "open";
  /** Directory of this host's data. */
  readonly data: string;
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
  readonly logLevel: (typeof logLevels)[number];
  readonly logFormat: (typeof logFormats)[number];
}

export interface Setting<T> {
  /** How help shows the value. */
  readonly placeholder: string;
  readonly about: string;
  readonly initial: T;
  /** May be given several times. */
  readonly many: boolean;
  /** Throws `bad-request` that begins with `origin`. */
  readonly read: (texts: readonly string[], origin: string) => T;
}

const multiaddrText: TextValue<string> = {
  expects: "a multiaddr such as /ip4/127.0.0.1/tcp/4001",
  parse(text) {
    try {
      return multiaddr(text).toString();
    } catch {
      return undefined;
    }
  },
};

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

/** In the order of the help. */
export const hostSettings: { readonly [Name in keyof HostOptions]: Setting<HostOptions[Name]> } = {
  cluster: one("NAME", someText, clusterDefaults.name, "the cluster to found, or to join through the seeds"),
  data: one("DIR", someText, ".everwrite/host", "directory of this host's data"),
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
  graceMs: one(
    "MS",
    integerUpTo(31_536_000_000),
    nodeDefaults.graceMs,
    "how long a delete is kept at least; the same on all hosts",
  ),
  logLevel: one("LEVEL", oneOf(...logLevels), "info", logLevels.join(", ")),
  logFormat: one("FORMAT", oneOf(...logFormats), "pretty", logFormats.join(" or ")),
};

export type SettingName = keyof HostOptions;
const names = Object.keys(hostSettings) as SettingName[];

export type HostFlags = { readonly [Name in SettingName | "config"]?: string | readonly string[] };

/** Throws `bad-request` with a sentence that names the flag, variable or key at fault. */
export function readHostOptions(flags: HostFlags, env: Readonly<Record<string, string | undefined>>): HostOptions {
  const file = flags.config?.toString() ?? env["EVERWRITE_CONFIG"];
  const config = file === undefined ? {} : readConfig(file);
  const chosen = names.map((name) => {
    const { many, initial, read } = hostSettings[name] as Setting<unknown>;
    const fromFlag = flags[name];
    if (fromFlag !== undefined) return [name, read([fromFlag].flat(), `--${kebab(name)}`)];
    const variable = `EVERWRITE_${kebab(name).replaceAll("-", "_").toUpperCase()}`;
    const fromEnv = env[variable];
    if (fromEnv !== undefined)
      return [name, read(many ? fromEnv.split(/[\s,]+/).filter(Boolean) : [fromEnv], variable)];
    const fromFile = config[name];
    if (fromFile !== undefined) return [name, read(textsOf(fromFile, name), `"${name}" in ${file}`)];
    return [name, initial];
  });
  const options = Object.fromEntries(chosen) as HostOptions; // every name has a value of its own setting's reader
  for (const quorum of ["r", "w"] as const) {
    const count = options[quorum];
    const n = options.n ?? clusterDefaults.n;
    if (typeof count === "number" && count > n) {
      throw badRequest(`--${quorum} ${count} can never be met: there are only --n ${n} copies of a key`);
    }
  }
  return options;
}

export function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function readConfig(file: string): Partial<Record<SettingName, unknown>> {
  let config: unknown;
  try {
    config = JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw badRequest(`the config file ${file} cannot be read: ${(cause as Error).message}`);
  }
  if (typeof config !== "object" || config === null || Array.isArray(config)) {
    throw badRequest(`the config file ${file} must hold a JSON object`);
  }
  const unknown = Object.keys(config).filter((key) => !Object.hasOwn(hostSettings, key));
  if (unknown.length > 0) throw badRequest(`${file}: unknown ${unknown.join(", ")}; known are ${names.join(", ")}`);
  return config;
}

function textsOf(value: unknown, name: string): string[] {
  return [value].flat().map((part) => {
    if (["string", "number", "boolean"].includes(typeof part)) return String(part);
    throw badRequest(`"${name}" in the config file must be a text, a number, true or false, or a list of them`);
  });
}

function one<T>(placeholder: string, value: TextValue<T>, initial: NoInfer<T>, about: string): Setting<T> {
  const read = (texts: readonly string[], origin: string): T => {
    const [text = "", ...more] = texts;
    if (more.length > 0) throw badRequest(`${origin} is given ${texts.length} times, but takes one value`);
    return parse(value, text, origin);
  };
  return { placeholder, about, initial, many: false, read };
}

/** A parameter of the cluster: refused where it differs from the cluster's. */
function fixed<T>(placeholder: string, value: TextValue<T>, about: string): Setting<T | null> {
  return { ...one<T | null>(placeholder, value, null, about), initial: null };
}

function several<T>(
  placeholder: string,
  value: TextValue<T>,
  initial: readonly T[],
  about: string,
): Setting<readonly T[]> {
  const read = (texts: readonly string[], origin: string): T[] => texts.map((text) => parse(value, text, origin));
  return { placeholder, about, initial, many: true, read };
}

function parse<T>(value: TextValue<T>, text: string, origin: string): T {
  const parsed = value.parse(text);
  if (parsed === undefined) throw badRequest(`${origin}: "${text}" is not ${value.expects}`);
  return parsed;
}

function badRequest(message: string): StoreError {
  return new StoreError("bad-request", message);
}
