/**
 * What anti-entropy costs, beside the least it could (PROTOCOL 8): bytes and round trips between two whole hosts that
 * differ in 0, 1 and 1,000 of 1 M keys of 1 KiB, and the time to build the trees at a start, from files.
 * Bytes are those of the messages' bodies, there and back: the wire's framing and its encryption come on top.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { makeKey } from "../../core/bytes/key.ts";
import { actorFromRandom } from "../../core/causality/actor.ts";
import { encodeVersioned } from "../../core/causality/encoding.ts";
import { stampOfMs } from "../../core/causality/hybrid-clock.ts";
import { contextOf, mint, nothing, nothingSeen, type LiveValue } from "../../core/causality/version-set.ts";
import type { NodeId } from "../../core/identity.ts";
import { EverwriteNode } from "../../core/node.ts";
import { locate } from "../../core/placement/locate.ts";
import type { Storage, StorageOperation } from "../../core/ports.ts";
import { RecordStore } from "../../core/storage/record-store.ts";
import type { StoreEvent } from "../../core/telemetry.ts";
import { openClassicStorage } from "../../node-host/classic-storage.ts";
import { MemoryNetwork } from "../core/memory-transport.ts";
import { eventually } from "../support/eventually.ts";
import { testIdentity } from "../support/test-identity.ts";
import { realClock } from "../support/real-clock.ts";
import type { Bench, Context, Table } from "../tools/trial.ts";

const partitions = 1_024;
const bodyBytes = 1_024;
/**
 * The fewest trips of any way that knows only hashes before, and sends no state in vain, however large its messages. Equality
 * takes 1: who answers compares one hash of all. Here who asks is ahead, and that takes 2, whatever the depth of a tree: the
 * answer has to tell which keys differ (from a sketch of all, or all their hashes), and only then are their states sent. A
 * tree spends further trips to keep each small: at two levels a trip `anti-entropy.ts` needs 4 for one key.
 */
const tripsMin = { equal: 1, different: 2 };
const random = { next: () => Math.random(), bytes: (count: number) => Uint8Array.from(randomBytes(count)) };
const [h1, h2] = ["h1" as NodeId, "h2" as NodeId];

type Of<Kind extends StoreEvent["kind"]> = Extract<StoreEvent, { kind: Kind }>;

export const bench: Bench = {
  name: "anti-entropy",
  summary:
    "what finding and mending a difference costs between two hosts, and what building the trees costs at a start",
  async run(context) {
    const keys = context.short ? 100_000 : 1_000_000;
    await foundPair(context);
    context.log(`writing ${keys} keys to two disks`);
    await Promise.all([h1, h2].map((id) => load(context, id, keys)));
    const costs: Record<string, string | number>[] = [];
    const builds: Record<string, string | number>[] = [];
    for (const different of [0, 1, 1_000]) {
      if (context.signal.aborted) break;
      const leastBytes = await diverge(context, h1, { keys, different });
      const measured = await compare(context);
      costs.push({ "keys that differ": different, ...costOf(measured.rounds, different, leastBytes) });
      builds.push(...measured.builds);
    }
    const tables: Table[] = [
      { title: `two hosts, ${keys.toLocaleString("en-US")} keys of 1 KiB, Q = ${partitions}`, rows: costs },
      { title: "building the trees at a start, two hosts one after the other", rows: builds },
    ];
    return tables;
  },
};

function costOf(rounds: readonly Of<"anti-entropy">[], different: number, leastBytes: number) {
  const working = rounds.filter((round) => different === 0 || round.partitionsDifferent > 0);
  const taken = different === 0 ? working.slice(-1) : working;
  const sum = (value: (round: Of<"anti-entropy">) => number): number =>
    taken.reduce((total, round) => total + value(round), 0);
  const bytes = sum((round) => round.bytes);
  return {
    rounds: taken.length,
    "round trips": sum((round) => round.roundTrips),
    "least trips": different === 0 ? tripsMin.equal : tripsMin.different,
    bytes,
    "bytes of the states": leastBytes,
    "times that": leastBytes === 0 ? "" : bytes / leastBytes,
    asked: different === 1 ? "5 trips, 10,000 bytes" : different > 1 ? "3 times" : "",
    pushed: sum((round) => round.keysPushed),
    pulled: sum((round) => round.keysPulled),
    ms: sum((round) => round.ms),
  };
}

/** Two hosts that know each other and hold every partition, without a key. */
async function foundPair(context: Context): Promise<void> {
  const pair = await Pair.open(context, { connected: true });
  await eventually(async () => {
    const all = await Promise.all(pair.nodes.map((node) => node.status()));
    return all.every(({ partitions: { owned, filling } }) => owned === partitions && filling === 0);
  }, "two complete hosts");
  await pair.close();
}

async function compare(context: Context) {
  const pair = await Pair.open(context, { connected: false });
  try {
    const builds = pair.builds;
    pair.network.heal(h1, h2);
    const rounds = pair.eventsOf("anti-entropy");
    await eventually(() => rounds().at(-1)?.roundTrips === 1, "equal trees", 120_000);
    return { builds, rounds: rounds() };
  } finally {
    await pair.close();
  }
}

class Pair {
  readonly network = new MemoryNetwork({ clock: realClock, random });
  readonly nodes: EverwriteNode[] = [];
  readonly builds: Record<string, string | number>[] = [];
  readonly #events: StoreEvent[] = [];
  readonly #storages: Storage[] = [];

  /** Not connected: they start cut off, and each has built its trees when this resolves. */
  static async open(context: Context, { connected }: { readonly connected: boolean }): Promise<Pair> {
    const pair = new Pair();
    if (!connected) pair.network.cut(h1, h2);
    for (const id of [h1, h2]) await pair.#start(context, id, connected);
    return pair;
  }

  eventsOf<Kind extends StoreEvent["kind"]>(kind: Kind): () => Of<Kind>[] {
    return () => this.#events.filter((event): event is Of<Kind> => event.kind === kind);
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
    await Promise.all(this.#storages.map((storage) => storage.close()));
  }

  async #start(context: Context, id: NodeId, connected: boolean): Promise<void> {
    const storage = await openClassicStorage({ directory: join(context.folder, id) });
    this.#storages.push(storage);
    const telemetry = { event: (event: StoreEvent) => void this.#events.push(event) };
    const setAside = () => Promise.reject(new Error("no data here is an old copy"));
    const ports = {
      clock: realClock,
      random,
      storage,
      transport: this.network.node(id),
      telemetry,
      identity: testIdentity(id),
      setAside,
      openAside: setAside,
    };
    // Only one of the two asks, so that no two rounds find the same difference.
    const config = { antiEntropyIntervalMs: id === h1 ? 50 : 2_000_000_000 };
    const cluster = { name: "bench", partitions, n: 3 };
    const node = new EverwriteNode(ports, { cluster, seeds: connected && id === h2 ? ["memory:h1"] : [], config });
    this.nodes.push(node);
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    const built = this.eventsOf("trees-built");
    const before = built().length;
    const own = { kind: "host" as const, capacity: 100, zone: "", deviceGroup: "", http: "" };
    await node.start({ ...own, addresses: [`memory:${id}`] });
    await eventually(() => built().length > before, "trees", 120_000);
    delay.disable();
    const { keys, ms } = built().at(-1)!;
    this.builds.push({ keys, ms, "longest stall of the event loop, ms": delay.max / 1e6 });
  }
}

const nameOf = (i: number) => locate(makeKey("carts", `user-${i}`), partitions);
const actors = Array.from({ length: 16 }, () => actorFromRandom(random.bytes(8)));
const atMs = Date.UTC(2026, 10, 21);
const body = random.bytes(bodyBytes);

function eventOf(i: number, counter: number): LiveValue {
  const dot = { actor: actors[i % actors.length]!, counter };
  const stamp = stampOfMs(atMs + i + counter);
  return { dot, stamp, kind: "opaque", tombstone: false, contentType: "application/octet-stream", body };
}

async function load(context: Context, id: NodeId, keys: number): Promise<void> {
  const states = function* () {
    for (let i = 0; i < keys; i++) {
      yield { row: nameOf(i).row, value: encodeVersioned(mint(nothing, nothingSeen, eventOf(i, i + 1))) };
    }
  };
  await store(context, id, states());
}

/** Overwrites that the other host missed; returns the bytes of their keys and states. */
async function diverge(context: Context, id: NodeId, { keys, different }: { keys: number; different: number }) {
  let bytes = 0;
  const states = function* () {
    for (let n = 0; n < different; n++) {
      const i = Math.floor((n * keys) / different);
      const old = mint(nothing, nothingSeen, eventOf(i, i + 1));
      const value = encodeVersioned(mint(old, contextOf(old), eventOf(i, 2 * keys + different + i)));
      bytes += nameOf(i).row.length - 16 + value.length;
      yield { row: nameOf(i).row, value };
    }
  };
  await store(context, id, states());
  return bytes;
}

async function store(context: Context, id: NodeId, states: Iterable<{ row: Uint8Array; value: Uint8Array }>) {
  const records = new RecordStore(await openClassicStorage({ directory: join(context.folder, id) }));
  let batch: StorageOperation[] = [];
  for (const { row, value } of states) {
    batch.push({ kind: "put", ns: "objects", key: row, value });
    if (batch.length < 1_000) continue;
    await records.commit(batch, { durability: "buffered" });
    batch = [];
  }
  await records.commit(batch);
  await records.close();
}
