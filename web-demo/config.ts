/** Which cluster the page belongs to: `everwrite.json` beside it, or the query of its address. */

export interface SiteConfig {
  /** Name of the cluster. */
  readonly cluster: string;
  /** Multiaddrs of hosts. */
  readonly seeds: readonly string[];
  /** N of the cluster: on so many hosts is "everywhere". */
  readonly copies: number;
  /** Of this browser, the beginning of its name: hosts get only what was written for them. */
  readonly database: string;
  /** Of the server of `npm start`: with it the page can stop and start hosts. */
  readonly control?: { readonly token: string };
}

/** @throws Error in words for whoever put the page on a server */
export async function loadConfig(query: URLSearchParams): Promise<SiteConfig> {
  const seeds = query.getAll("seed");
  const cluster = query.get("cluster") ?? "everwrite";
  // Anybody can make such a link: what this visitor wrote elsewhere must not go to its hosts.
  if (seeds.length > 0) return { cluster, seeds, copies: 3, database: `${cluster} ${seeds.toSorted().join(" ")}` };
  const response = await fetch("everwrite.json");
  if (!response.ok) throw new Error(`the page needs everwrite.json beside it, and got ${response.status} for it`);
  return checkConfig(await response.json());
}

function checkConfig(value: unknown): SiteConfig {
  const { cluster, seeds, copies = 3, control } = (value ?? {}) as Partial<SiteConfig>;
  if (typeof cluster !== "string" || !Array.isArray(seeds) || !seeds.every((seed) => typeof seed === "string")) {
    throw new TypeError('everwrite.json must hold { "cluster": "NAME", "seeds": ["MULTIADDR"] }');
  }
  const token = control?.token;
  return { cluster, seeds, copies, database: cluster, ...(typeof token === "string" ? { control: { token } } : {}) };
}
