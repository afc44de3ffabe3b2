/** Which cluster the page belongs to: `everwrite.json` beside it, or the query of its address. */

export interface SiteConfig {
  /** Name of the cluster. */
  readonly cluster: string;
  /** Multiaddrs of hosts; of relays, where browsers are the hosts. */
  readonly seeds: readonly string[];
  /** `hosts`: the page is an edge of theirs. `browsers`: it is a host itself, on a ring of nothing but pages. */
  readonly ring: "hosts" | "browsers";
  /** There are relays, so that both rings can be had. */
  readonly hasRelays: boolean;
  /** N of the cluster: on so many hosts is "everywhere". */
  readonly copies: number;
  /** Of this browser, the beginning of its name: hosts get only what was written for them. */
  readonly database: string;
  /** Of the server of `npm start`: with it the page can stop and start hosts. */
  readonly control?: { readonly token: string };
}

/** Of the file, or what stands for it in the page's address. */
interface Site extends Omit<SiteConfig, "ring" | "hasRelays"> {
  /** Multiaddrs of relays, at which browsers meet that are alone. */
  readonly relays: readonly string[];
}

/** Of three browsers each has everything; more share it. */
const browserCopies = 3;

/** `?ring=browsers` chooses the ring of pages. @throws Error in words for whoever put the page on a server */
export async function loadConfig(query: URLSearchParams): Promise<SiteConfig> {
  const { relays, ...site } = siteOfQuery(query) ?? (await siteOfFile());
  const hasRelays = relays.length > 0;
  if (query.get("ring") !== "browsers") return { ...site, ring: "hosts", hasRelays };
  if (!hasRelays) throw new TypeError("browsers alone need a relay to meet at, and none is named in everwrite.json");
  // Another cluster: that of the hosts has its data, and its own members.
  const cluster = `${site.cluster}-browsers`;
  const database = `${site.database} browsers`;
  return { ...site, cluster, database, seeds: relays, ring: "browsers", hasRelays, copies: browserCopies };
}

function siteOfQuery(query: URLSearchParams): Site | undefined {
  const seeds = query.getAll("seed");
  const relays = query.getAll("relay");
  if (seeds.length === 0 && relays.length === 0) return undefined;
  const cluster = query.get("cluster") ?? "everwrite";
  // Anybody can make such a link: what this visitor wrote elsewhere must not go to its hosts.
  const database = `${cluster} ${[...seeds, ...relays].toSorted().join(" ")}`;
  return { cluster, seeds, relays, copies: 3, database };
}

async function siteOfFile(): Promise<Site> {
  const response = await fetch("everwrite.json");
  if (!response.ok) throw new Error(`the page needs everwrite.json beside it, and got ${response.status} for it`);
  return checkSite(await response.json());
}

function checkSite(value: unknown): Site {
  const { cluster, seeds, relays = [], copies = 3, control } = (value ?? {}) as Partial<Site>;
  if (typeof cluster !== "string" || !areTexts(seeds) || !areTexts(relays)) {
    throw new TypeError('everwrite.json must hold { "cluster": "NAME", "seeds": ["MULTIADDR"] }');
  }
  const token = control?.token;
  const site = { cluster, seeds, relays, copies, database: cluster };
  return typeof token === "string" ? { ...site, control: { token } } : site;
}

function areTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}
