/**
 * Edges beside the swarm's hosts and clients: their applications read and write, they are offline for long, killed, frozen
 * in the middle of a request, lose power, and get old copies of their storage back. In the end each write that an edge has
 * accepted is known to the owners, under the dot that it told, as one event; the oracle judges what hosts made of it.
 */
import { covers, type Dot } from "../../../core/causality/version-set.ts";
import { coverageOf, evidenceOf } from "../../../core/edge/evidence.ts";
import { nodeDefaults } from "../../../core/config.ts";
import { StoreError } from "../../../core/errors.ts";
import type { ActorId, Key } from "../../../core/identity.ts";
import type { StoreRead } from "../../../core/store-node.ts";
import type { Chance } from "../chance.ts";
import { keyOf } from "../clients.ts";
import { checkHeldByAll, heldByAll } from "../reads.ts";
import { until } from "../cluster.ts";
import type { DiskImage } from "../disk-image.ts";
import type { Oracle } from "../oracle.ts";
import { differenceOfOwners, ownersState } from "../owners.ts";
import { wallTime } from "../process.ts";
import type { World } from "../world.ts";
import type { DocumentRead, Documents } from "../documents/documents.ts";
import { bodyOf, contentTypeOf, newWrite, type Write } from "../write.ts";
import { SimEdge } from "./sim-edge.ts";

const bucket = "sim";
/** By how much an edge may measure the hosts' time wrong, and more. */
const tripMsMax = 10_000;
/** All that edges have accepted is with hosts so long after healing. */
const deliveryMsMax = 120_000;

/** A write that its application was told is durable. */
interface Accepted {
  readonly write: Write;
  readonly dot: Dot;
  readonly atMs: number;
}

interface Device {
  readonly edge: SimEdge;
  readonly chance: Chance;
  accepted: Accepted[];
  /** What its applications were last given of each key. */
  readonly contexts: Map<string, string>;
  backup: { readonly image: DiskImage; readonly atMs: number } | undefined;
  /** Of documents, that it may go by again. */
  readonly reads: Map<string, DocumentRead>;
  /** Dots of the writes that it sends no more, and their keys. */
  readonly aside: Set<string>;
  /** Ends what keeps it from hosts. */
  heal: (() => void) | undefined;
}

/** What befalls edges; each is counted as it happens, beside the faults of hosts. */
const troubles = [
  ["edge kill", 0.5],
  ["edge cut", 0.7],
  /**
   * For two grace periods, where these are short (8 s, with all that hangs on them as short): longer than hosts wait before they
   * forget what was deleted, and than they keep hints in most such runs. Where they are a day, half a minute, in which nothing
   * is forgotten. Days of 24 hours are in `stories/edges-away.ts`.
   */
  ["edge days offline", 0.15],
  ["edge freeze", 0.3],
  ["edge freeze in a request", 0.3],
  ["edge power cut", 0.3],
  ["edge backup", 0.3],
  ["edge old copy", 0.2],
  /** Another tab opens the storage; the one that had it goes on, without. */
  ["edge second tab", 0.2],
] as const;

type Trouble = (typeof troubles)[number][0];
type Action = "put" | "delete" | "get" | "heal" | Trouble;

export const edgeFaults: readonly string[] = [...troubles.map(([kind]) => kind), "edge eviction"];

export class Devices {
  readonly #world: World;
  readonly #devices: Device[];
  readonly #documents: Documents | undefined;
  #running = 0;
  #over = false;
  /** How far behind the true time the slowest of all clocks ever was, as they are set now and then; not above 0. */
  #slowestMs = 0;
  /** As much for hosts alone, and how far ahead the fastest of theirs was. */
  readonly #hostsMs = { slowest: 0, fastest: 0 };

  /** With documents they write updates of these, and nothing else. */
  constructor(world: World, documents?: Documents) {
    this.#world = world;
    this.#documents = documents;
    this.#devices = Array.from({ length: world.scenario.edges }, (_, i) => {
      const edge = new SimEdge(world, `e${i + 1}`);
      const chance = world.chance.fork(`application ${i}`);
      const known = { accepted: [], contexts: new Map(), reads: new Map(), aside: new Set<string>() };
      return { edge, chance, ...known, backup: undefined, heal: undefined };
    });
  }

  /** They act until `calm`. */
  start(): void {
    for (const device of this.#devices) {
      device.edge.start();
      this.#actAgain(device);
    }
  }

  #actAgain(device: Device): void {
    this.#world.schedule.after(device.chance.logarithmic(10, 2_000), "application", () => {
      if (this.#over) return;
      this.#act(device);
      this.#actAgain(device);
    });
  }

  #act(device: Device): void {
    const machines = [...this.#world.hosts, ...this.#devices.map(({ edge }) => edge)].map(({ machine }) => machine);
    this.#slowestMs = Math.min(this.#slowestMs, ...machines.map(({ skewMs }) => skewMs));
    const ofHosts = this.#world.hosts.map(({ machine }) => machine.skewMs);
    this.#hostsMs.slowest = Math.min(this.#hostsMs.slowest, ...ofHosts);
    this.#hostsMs.fastest = Math.max(this.#hostsMs.fastest, ...ofHosts);
    const { chance } = device;
    // A copy of an edge's storage sends what it believes unsent: with deletes that are forgotten soon, that shows.
    const mayRestore = this.#world.graceMs >= nodeDefaults.graceMs;
    const action = chance.weighted<Action>([
      ["put", 8],
      ["delete", 1],
      ["get", 4],
      ["heal", device.heal === undefined ? 0 : 1],
      ...troubles.filter(([kind]) => mayRestore || kind !== "edge old copy"),
    ]);
    if (action === "put" || action === "delete" || action === "get") return this.#ask(device, action);
    if (action === "heal") return this.#heal(device);
    this.#world.happened(action);
    this.#befall(device, action);
  }

  #befall(device: Device, trouble: Trouble): void {
    const { edge, chance } = device;
    const { schedule, graceMs } = this.#world;
    if (trouble === "edge cut") this.#cut(device, chance.is(0.8));
    else if (trouble === "edge days offline") {
      this.#cut(device, true);
      const { heal } = device;
      const forMs = Math.min(2 * graceMs, 30_000);
      schedule.after(forMs, `${edge.id} is back`, () => device.heal === heal && this.#heal(device));
    } else if (trouble === "edge freeze") this.#freeze(device);
    else if (trouble === "edge freeze in a request") this.#freezeInRequest(device);
    else if (trouble === "edge backup") device.backup = { image: edge.disk.synced.copy(), atMs: schedule.nowMs };
    else if (trouble === "edge second tab") edge.openAgain(chance.logarithmic(50, 20_000), chance.is(0.5));
    else this.#end(device, trouble);
  }

  #cut(device: Device, bothWays: boolean): void {
    this.#heal(device);
    const pairs = this.#world.hosts.map(({ id }) => [device.edge.id, id] as const);
    device.heal = this.#world.network.cutPairs(pairs, bothWays);
  }

  #heal(device: Device): void {
    device.heal?.();
    device.heal = undefined;
  }

  #freeze({ edge, chance }: Device): void {
    const { process } = edge;
    process?.pause();
    this.#world.schedule.after(chance.logarithmic(100, 30_000), `${edge.id} goes on`, () => process?.resume());
  }

  /** Just after its next request has left, or a few steps later. */
  #freezeInRequest(device: Device): void {
    const { transport, process } = device.edge;
    if (transport === undefined || process === undefined) return;
    transport.onNextRequest = () => {
      transport.onNextRequest = undefined;
      let left = device.chance.whole(0, 20);
      process.onStep = () => {
        if (left-- > 0) return;
        process.onStep = undefined;
        this.#freeze(device);
      };
    };
  }

  #end(device: Device, how: "edge kill" | "edge power cut" | "edge old copy"): void {
    const { edge, backup, chance } = device;
    edge.kill();
    if (how === "edge power cut") edge.disk.powerCut();
    if (how === "edge old copy" && backup !== undefined) {
      edge.disk.restore(backup.image);
      // What was accepted since is in nobody's storage any more, unless hosts have it.
      device.accepted = device.accepted.filter(({ atMs }) => atMs < backup.atMs);
    }
    this.#world.schedule.after(chance.between(0, 1_000), `${edge.id} starts again`, () => {
      if (!this.#over) edge.start();
    });
  }

  #ask(device: Device, verb: "put" | "delete" | "get"): void {
    this.#running += 1;
    const name = this.#documents?.nameOf(device.chance) ?? `key${device.chance.whole(0, 4)}`;
    const work = verb === "get" ? this.#get(device, name) : this.#write(device, this.#documents ? "put" : verb, name);
    void work
      .catch((error: unknown) => {
        if (error instanceof StoreError) return this.#world.schedule.log(`${device.edge.id} ${verb}: ${error.code}`);
        this.#world.oracle.broken("every failure is a typed error", `${device.edge.id} ${verb}: ${String(error)}`);
      })
      .finally(() => {
        this.#running -= 1;
      });
  }

  async #get({ edge, contexts, chance }: Device, name: string): Promise<void> {
    const { oracle, schedule, scenario } = this.#world;
    const r = chance.pick(["local", "one", "quorum", "quorum", "all"] as const);
    const key = keyOf(name) as Key;
    const sinceMs = schedule.nowMs;
    const expected = r === "local" ? undefined : oracle.mustBeRead(key, r);
    const heldBefore = heldByAll(this.#world, key);
    const read: StoreRead | "died" = await edge.call((node) => node.get(bucket, name, { r }));
    if (read === "died") return;
    const { context, siblings, source, degraded, pending } = read;
    if (context !== null) contexts.set(name, context);
    this.#checkExpired(edge, name, read);
    if (source === "local") return;
    const subject = { edge: edge.id, key };
    const { vector } = coverageOf(subject, evidenceOf(subject, context ?? undefined));
    const where = `${edge.id} get ${name} r=${r}`;
    schedule.log(`${where}: [${siblings.map(({ contentType }) => contentType).join()}]`);
    // Own writes that hosts do not have are on no disk that the oracle sees; and who has slept tells what hosts may have forgotten.
    const isPrompt = schedule.nowMs - sinceMs < (scenario.config.inFlightMsMax ?? nodeDefaults.inFlightMsMax) / 2;
    if (!pending && isPrompt)
      oracle.answered(key, where, { siblings, context: vector, wallMs: undefined, host: edge.id });
    if (degraded) return;
    oracle.read(key, where, { expected, sinceMs, context: vector });
    if (heldBefore === undefined) return;
    await checkHeldByAll(this.#world, key, { where, expected: heldBefore, context: vector });
  }

  /** No clock shows that it is not over: none of a host's, by which edges go, nor its own, by which it goes before it has met one. */
  #checkExpired(edge: SimEdge, name: string, { siblings }: StoreRead): void {
    const { oracle, schedule } = this.#world;
    oracle.checks += 1;
    const latestMs = wallTime(schedule, { skewMs: this.#slowestMs }) - tripMsMax;
    const over = siblings.find(({ expiresAtMs }) => (expiresAtMs ?? Infinity) <= latestMs);
    if (over === undefined) return;
    oracle.broken("an expired value reads as deleted", `${edge.id} shows ${over.dot} of ${name}`);
  }

  async #write(device: Device, verb: "put" | "delete", name: string): Promise<void> {
    const { edge, chance, contexts } = device;
    const { oracle, scenario, schedule } = this.#world;
    const key = keyOf(name);
    const context = this.#documents || chance.is(0.3) ? undefined : contexts.get(name);
    const subject = { edge: edge.id, key: key as Key };
    const update = await this.#documents?.next(chance, () => this.#readDocument(device, name));
    const given = update === undefined ? (context ?? null) : update.context;
    const id = oracle.writes.length;
    const ttlMs = verb === "put" && !update && chance.is(0.3) ? chance.pick([1_000, 5_000, 3_600_000]) : undefined;
    const write = newWrite({
      id,
      key,
      verb,
      ttlMs,
      body: verb === "delete" ? new Uint8Array(0) : (update?.bodyOf(id) ?? bodyOf(id, 20)),
      folds: update?.contained ?? new Set(),
      context: coverageOf(subject, evidenceOf(subject, context)).vector,
      startedMs: schedule.nowMs,
    });
    oracle.writes.push(write);
    const options = {
      ...(given === null ? {} : { context: given }),
      contentType: contentTypeOf(id),
      ...(update === undefined ? {} : { kind: "yjs" as const, folds: update.folds }),
      ...(ttlMs === undefined ? {} : { ttlMs }),
      w: chance.pick(["one", "quorum"] as const),
    };
    const restores = device.backup;
    const answer = await edge.call((node) =>
      verb === "delete" ? node.delete(bucket, name, options) : node.put(bucket, name, write.body, options),
    );
    if (answer === "died" || device.backup !== restores) return;
    const { receipt, dot: text } = answer;
    schedule.log(`${edge.id} ${verb} ${name}: write ${id} is ${text}${receipt.localOnly ? ", here alone" : ""}`);
    const [actor, counter] = text.split(":") as [ActorId, string];
    const dot = { actor, counter: Number(counter) };
    device.accepted.push({ write, dot, atMs: schedule.nowMs });
    if (answer.context !== null) contexts.set(name, answer.context);
    // One that went with its successor is an event of no disk.
    const mayBeInNext = scenario.foldsUnsent === true || successors(oracle.writes, write, dot).length > 0;
    if (receipt.localOnly || (write.events.size === 0 && mayBeInNext)) return;
    write.ack = { atMs: schedule.nowMs, needed: receipt.needed, durable: receipt.durable };
    oracle.acknowledged(write, `${edge.id} ${verb} ${name}`, receipt.needed);
  }

  async #readDocument({ edge, chance, reads }: Device, name: string): Promise<DocumentRead> {
    const foldsUnsent = this.#world.scenario.foldsUnsent === true;
    const older = foldsUnsent && chance.is(0.4) ? reads.get(name) : undefined;
    if (older !== undefined) return older;
    const read = await edge.call((node) => node.get(bucket, name, { r: "local" }));
    if (foldsUnsent && read !== "died" && chance.is(0.5)) reads.set(name, read);
    return read;
  }

  /** Nothing new begins, and nothing keeps edges from hosts any more. */
  calm(): void {
    this.#over = true;
    for (const device of this.#devices) {
      this.#heal(device);
      device.edge.calm();
    }
  }

  /** Call when hosts have healed. Judges what owners have when all are equal, before they forget; afterwards no edge runs. */
  async deliver(): Promise<void> {
    const isDone = (): boolean =>
      this.#running === 0 &&
      this.#devices.every(({ edge }) => {
        const facts = edge.node?.facts();
        return facts?.loaded === true && facts.connected && facts.pending === 0;
      });
    await until(this.#world, deliveryMsMax, "edges deliver what they have accepted", isDone);
    for (const device of this.#devices) await this.#switchOff(device);
    const areEqual = (): boolean => differenceOfOwners(this.#world) === undefined;
    await until(this.#world, deliveryMsMax, "owners are equal after edges delivered", areEqual);
    this.#judge();
  }

  async #switchOff(device: Device): Promise<void> {
    const { edge } = device;
    const parked = await edge.call((node) => node.parked());
    for (const { name, dot, error } of parked === "died" ? [] : parked) {
      device.aside.add(dot).add(keyOf(name));
      if (error.code === "outcome-unknown" || error.code === "too-many-siblings") continue;
      // What a ring has given no other one can open before they have met (seed edges-82).
      if (error.code === "bad-context" && this.#world.hosts.some(({ foundsApart }) => foundsApart)) continue;
      const text = `${edge.id}: ${dot} of ${name}, ${error.message}`;
      this.#world.oracle.broken("hosts refuse no edge's write without a reason", text);
    }
    edge.kill("is switched off");
  }

  #judge(): void {
    const { oracle } = this.#world;
    for (const { edge, accepted, aside } of this.#devices) {
      if (this.#documents !== undefined) {
        // Updates are judged by what their documents say.
        for (const { write } of accepted) if (!aside.has(write.key)) this.#documents.accepted(write);
        continue;
      }
      for (const { write, dot } of accepted) {
        const name = `${dot.actor}:${dot.counter}`;
        const history = oracle.history(write.key);
        this.#checkMinted(edge, { write, name });
        if (history.truncated || write.lost || aside.has(name) || isForgotten(oracle, { write, dot })) continue;
        oracle.checks += 1;
        this.#world.delivered += 1;
        const vector = ownersState(this.#world, write.key)?.vector ?? [];
        if (covers(vector, dot) || history.isCut(dot)) continue;
        const text = `${edge.id}: write ${write.id} (${name}) of ${write.key} is unknown to the owners`;
        oracle.broken("what an edge has accepted reaches the owners", text);
      }
    }
  }

  /** What is to expire tells when it was minted: between the asking and now, by the clock of a host at least, whatever the edge's own says. */
  #checkMinted({ id }: SimEdge, { write, name }: { readonly write: Write; readonly name: string }): void {
    const { oracle, schedule } = this.#world;
    const event = oracle.history(write.key).events.get(name);
    const expiresAtMs = event?.value.expiresAtMs;
    if (write.ttlMs === undefined || expiresAtMs === undefined || event!.expiryVaries) return;
    oracle.checks += 1;
    const mintedMs = expiresAtMs - write.ttlMs;
    const earliestMs = wallTime({ nowMs: write.startedMs }, { skewMs: this.#hostsMs.slowest });
    const latestMs = wallTime(schedule, { skewMs: this.#hostsMs.fastest });
    if (mintedMs >= earliestMs - tripMsMax && mintedMs <= latestMs + tripMsMax) return;
    const wrongMs = mintedMs < earliestMs ? mintedMs - earliestMs : mintedMs - latestMs;
    oracle.broken("an edge mints by the hosts' time", `${id}: write ${write.id} (${name}), ${wrongMs} ms off`);
  }
}

/** One that went with its successor is an event of no disk: hosts may have forgotten that one. */
function isForgotten(oracle: Oracle, { write, dot }: Pick<Accepted, "write" | "dot">): boolean {
  const history = oracle.history(write.key);
  if (write.events.size > 0) return history.isReaped(write);
  return successors(oracle.writes, write, dot).some((later) => history.isReaped(later));
}

/** Later writes that have seen it and are events of disks. */
function successors(all: readonly Write[], { id, key }: Write, dot: Dot): Write[] {
  return all.filter(
    (later) => later.id > id && later.key === key && later.events.size > 0 && covers(later.context, dot),
  );
}
