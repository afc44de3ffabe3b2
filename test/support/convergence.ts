/**
 * Whether replicas are equal: asked of running hosts without any client read, and found in the files of stopped ones.
 */
import { join } from "node:path";
import { decodeVersioned } from "../../core/causality/encoding.ts";
import { clockHash, entryHash, sameHash } from "../../core/merkle/hash.ts";
import { HashTrees } from "../../core/merkle/trees.ts";
import type { PartitionIndex } from "../../core/identity.ts";
import { RecordStore } from "../../core/storage/record-store.ts";
import { openClassicStorage } from "../../node-host/classic-storage.ts";
import type { HostProcesses } from "./host-processes.ts";
import { getJson, kv, metrics } from "./http-client.ts";

/** What anti-entropy has done on one host since its process began. */
export interface Rounds {
  readonly idle: number;
  readonly withDifferences: number;
  readonly bytes: number;
  readonly keys: number;
}

export async function roundsOf(url: string): Promise<Rounds> {
  const of = await metrics(url);
  return {
    idle: of("everwrite_anti_entropy_rounds_total", 'found="none"'),
    withDifferences: of("everwrite_anti_entropy_rounds_total", 'found="differences"'),
    bytes: of("everwrite_anti_entropy_bytes_total"),
    keys: of("everwrite_anti_entropy_keys_total"),
  };
}

/** Where keys live: the numbers of their owners. */
export type Owners = ReadonlyMap<string, readonly number[]>;

/** As the running hosts say, which hold all of the ring. */
export async function ownersOf(hosts: HostProcesses, keys: readonly string[]): Promise<Owners> {
  const running = hosts.urls.flatMap((_url, i) => (hosts.isRunning(i) ? [i] : []));
  const numberOf = new Map<string, number>();
  await Promise.all(running.map(async (i) => numberOf.set((await hosts.status(i)).id, i)));
  const owners = new Map<string, readonly number[]>();
  await inLanes(keys, async (key, i) => {
    const { preferenceList } = await getJson<{ preferenceList: { id: string; role: string }[] }>(
      `${hosts.url(running[i % running.length]!)}/explain/${key}`,
    );
    owners.set(
      key,
      preferenceList.filter(({ role }) => role === "owner").map(({ id }) => numberOf.get(id)!),
    );
  });
  return owners;
}

/** The keys of which not all owners, but for `except`, hold the same events completely; local reads only. */
export async function unequalKeys(hosts: HostProcesses, owners: Owners, except?: number): Promise<string[]> {
  const unequal: string[] = [];
  await inLanes([...owners], async ([key, all]) => {
    const asked = all.filter((owner) => owner !== except);
    const answers = await Promise.all(asked.map((owner) => localState(hosts.url(owner), key)));
    if (answers.some((answer) => answer === undefined || answer !== answers[0])) unequal.push(key);
  });
  return unequal;
}

/** The events of one replica; undefined while it is filling. */
async function localState(url: string, key: string): Promise<string | undefined> {
  const { json } = await kv(url).get(key, "local=1");
  if (json.holding !== "complete") return undefined;
  const dots = (json.siblings ?? []).map(({ dot, value }) => `${dot}=${value}`);
  return dots.toSorted().join(" ");
}

const lanes = 32;

async function inLanes<T>(items: readonly T[], run: (item: T, index: number) => Promise<void>): Promise<void> {
  const next = items.entries();
  const lane = async (): Promise<void> => {
    for (const [index, item] of next) await run(item, index);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

/**
 * The roots of all partitions, built from the rows of stopped hosts: each partition with keys must be on `n` of them,
 * with one root and one number of keys. Returns what is not so, and how many keys there are.
 */
export async function rootsOnDisks(
  hosts: HostProcesses,
  n: number,
): Promise<{ readonly complaints: readonly string[]; readonly keys: number }> {
  const partitions = 1024;
  const trees = await Promise.all(hosts.urls.map((_url, i) => treesOf(join(hosts.data(i), "store"), partitions)));
  const complaints: string[] = [];
  let keys = 0;
  for (let p = 0 as PartitionIndex; p < partitions; p++) {
    const held = trees.filter((tree) => tree.keysIn(p) > 0);
    const [first] = held;
    if (first === undefined) continue;
    keys += first.keysIn(p);
    const isEqual = held.every(
      (tree) => sameHash(tree.rootOf(p), first.rootOf(p)) && tree.keysIn(p) === first.keysIn(p),
    );
    if (held.length !== n || !isEqual)
      complaints.push(`partition ${p}: keys ${trees.map((tree) => tree.keysIn(p)).join(", ")}, equal: ${isEqual}`);
  }
  return { complaints, keys };
}

async function treesOf(directory: string, partitions: number): Promise<HashTrees> {
  const records = new RecordStore(await openClassicStorage({ directory }));
  const trees = new HashTrees(partitions);
  try {
    for (let gte: Uint8Array | null = new Uint8Array(0); gte !== null;) {
      const page = await records.page("objects", { gte, limit: 10_000, maxBytes: 16_777_216 });
      for (const row of page.rows) {
        if ("corrupt" in row) throw new Error(`a damaged row in ${directory}`);
        trees.update(row.key, undefined, entryHash(row.key, clockHash(decodeVersioned(row.value))));
      }
      gte = page.next;
    }
  } finally {
    await records.close();
  }
  return trees;
}
