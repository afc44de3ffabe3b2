/**
 * Sessions beside the swarm's clients: lww values that expire. Applications at edges, whose clocks are wrong by up to an
 * hour, put, renew, delete, read and watch them; others do so at hosts, which agree about the time. What the oracle cannot
 * see of edges is judged here: expiry goes by the hosts' time, for reads and for whoever watches; a renewal loses to what it
 * has not seen; and what was discarded unseen is told to whoever wrote it.
 */
import type { Sibling } from "../../../core/api.ts";
import { covers, type Dot } from "../../../core/causality/version-set.ts";
import { coverageOf, evidenceOf } from "../../../core/edge/evidence.ts";
import type { EdgeNode } from "../../../core/edge/edge-node.ts";
import { StoreError } from "../../../core/errors.ts";
import type { ActorId, Key } from "../../../core/identity.ts";
import type { Chance } from "../chance.ts";
import { keyOf } from "../clients.ts";
import { until } from "../cluster.ts";
import { nameOf } from "../history.ts";
import type { SimHost } from "../host.ts";
import { differenceOfOwners, ownersState } from "../owners.ts";
import { wallTime } from "../process.ts";
import type { World } from "../world.ts";
import { bodyOf, contentTypeOf, newWrite, type Write } from "../write.ts";
import { befall } from "./mishaps.ts";
import { SimEdge } from "./sim-edge.ts";

const bucket = "sim";
const sessions = 8;
/** Of clocks of edges. */
const wrongMsMax = 3_600_000;
/** By how much an edge may measure the hosts' time wrong: longer trips do not count. */
const tripMsMax = 1_000;
/** An expiry is shown so much later: the wall clock is looked at now and then. */
const lookMsMax = 12_000;
const deliveryMsMax = 120_000;
const ttlsMs = [1_000, 5_000, 3_600_000] as const;

/** One process of an edge, and what its application was shown. */
interface Life {
  readonly node: EdgeNode;
  readonly shown: Map<string, { readonly siblings: readonly Sibling[]; readonly atMs: number }>;
  /** When hosts took a write of it so fast that it has measured their time by then. */
  metMs: number | undefined;
}

interface Place {
  readonly edge: SimEdge;
  readonly chance: Chance;
  readonly accepted: { readonly write: Write; readonly dot: Dot }[];
  /** Contexts that it was given, by key, oldest first. */
  readonly contexts: Map<string, string[]>;
  /** Dots of the writes that it sends no more. */
  readonly parked: Set<string>;
  life: Life | undefined;
  heal: (() => void) | undefined;
}

export class Sessions {
  readonly #world: World;
  readonly #chance: Chance;
  readonly #places: readonly Place[];
  readonly #renewals = new Set<Write>();
  #running = 0;
  #over = false;
  /** How far ahead of the true time hosts' clocks were, as they are set now and then. */
  readonly #hostsMs = { slowest: Infinity, fastest: -Infinity };

  constructor(world: World, edges: number) {
    this.#world = world;
    this.#chance = world.chance.fork("sessions");
    this.#places = Array.from({ length: edges }, (_, i) => {
      const chance = world.chance.fork(`sessions ${i}`);
      const edge = new SimEdge(world, `s${i + 1}`);
      edge.machine.skewMs = chance.between(-wrongMsMax, wrongMsMax);
      const contexts = new Map<string, string[]>();
      return { edge, chance, accepted: [], contexts, parked: new Set(), life: undefined, heal: undefined };
    });
  }

  /** Applications act until `calm`. */
  start(): void {
    for (const place of this.#places) {
      place.edge.start();
      this.#again(place.chance, () => this.#act(place));
    }
    this.#again(this.#chance, () => this.#actAtHost());
  }

  #again(chance: Chance, act: () => void): void {
    this.#world.schedule.after(chance.logarithmic(100, 5_000), "session", () => {
      if (this.#over) return;
      act();
      this.#again(chance, act);
    });
  }

  #act(place: Place): void {
    const { edge, chance } = place;
    this.#lookAtClocks();
    this.#checkWatched(place);
    if (chance.is(0.15)) return befall(this.#world, { edge, chance, place });
    const life = this.#lifeOf(place);
    if (life === undefined) return;
    const name = `session${chance.whole(0, sessions - 1)}`;
    const verb = chance.weighted([
      ["put", 4],
      ["renew", 4],
      ["delete", 1],
      ["get", 5],
    ] as const);
    const work = verb === "get" ? this.#get(place, life, name) : this.#write(place, life, { verb, name });
    this.#run(`${edge.id} ${verb} ${name}`, work);
  }

  #run(what: string, work: Promise<void>): void {
    this.#running += 1;
    void work
      .catch((error: unknown) => {
        if (error instanceof StoreError) return this.#world.schedule.log(`${what}: ${error.code}`);
        this.#world.oracle.broken("every failure is a typed error", `${what}: ${String(error)}`);
      })
      .finally(() => {
        this.#running -= 1;
      });
  }

  /** Whoever uses the present process watches all from its start on. */
  #lifeOf(place: Place): Life | undefined {
    const { node } = place.edge;
    if (node === undefined || !node.facts().loaded) return undefined;
    if (place.life?.node !== node) {
      place.life = { node, shown: new Map(), metMs: undefined };
      void this.#watch(place.life);
    }
    return place.life;
  }

  /** It ends with the process. */
  async #watch({ node, shown }: Life): Promise<void> {
    for await (const { name, siblings } of node.watch(bucket, { prefix: "session" }, neverAborted))
      shown.set(name, { siblings, atMs: this.#world.schedule.nowMs });
  }

  async #get({ edge, chance, contexts }: Place, { node, metMs }: Life, name: string): Promise<void> {
    const r = chance.pick(["local", "local", "one", "quorum"] as const);
    const read = await edge.call(() => node.get(bucket, name, { r }));
    if (read === "died") return;
    const { siblings, context, pending } = read;
    if (context !== null) given(contexts, name).push(context);
    // Before it has met hosts it goes by its own clock.
    if (metMs === undefined) return;
    this.#lookAtClocks();
    const { oracle } = this.#world;
    oracle.checks += 1;
    const over = this.#expired(siblings, tripMsMax);
    if (over !== undefined)
      return oracle.broken("an expired value reads as deleted", `${edge.id} shows ${over.dot} of ${name}`);
    const key = keyOf(name);
    if (pending || oracle.history(key).truncated) return;
    const subject = { edge: edge.id, key: key as Key };
    const { vector } = coverageOf(subject, evidenceOf(subject, context ?? undefined));
    const latestMs = wallTime(this.#world.schedule, { skewMs: this.#hostsMs.fastest }) + tripMsMax;
    for (const live of oracle.history(key).liveOf(vector)) {
      const { value, expiryVaries } = oracle.history(key).events.get(live)!;
      const isThere = !value.tombstone && !expiryVaries && (value.expiresAtMs ?? Infinity) > latestMs;
      if (!isThere || siblings.some(({ dot }) => dot === live)) continue;
      oracle.broken(
        "a value is shown until it expires",
        `${edge.id} does not show ${oracle.tell(key, live)} of ${name}`,
      );
    }
  }

  async #write(
    { edge, chance, contexts, accepted }: Place,
    life: Life,
    { verb, name }: { readonly verb: "put" | "renew" | "delete"; readonly name: string },
  ): Promise<void> {
    const { oracle, schedule } = this.#world;
    const read = given(contexts, name);
    const context = read.length > 0 && (verb === "renew" || chance.is(0.3)) ? chance.pick(read) : undefined;
    if (verb === "renew" && context === undefined) return;
    const subject = { edge: edge.id, key: keyOf(name) as Key };
    const seen = coverageOf(subject, evidenceOf(subject, context)).vector;
    const write = this.#begin(verb, name, { ttlMs: chance.pick(ttlsMs), context: seen });
    if (verb === "renew") this.#renewals.add(write);
    const options = {
      ...(context === undefined ? {} : { context }),
      ...(verb === "renew" ? { renews: true } : {}),
      ...optionsOf(write),
      w: chance.pick(["one", "quorum"] as const),
    };
    const answer = await edge.call(() =>
      write.verb === "delete"
        ? life.node.delete(bucket, name, options)
        : life.node.put(bucket, name, write.body, options),
    );
    if (answer === "died") return;
    const { receipt, dot: text } = answer;
    schedule.log(`${edge.id} ${verb} ${name}: write ${write.id} is ${text}${receipt.localOnly ? ", here alone" : ""}`);
    const [actor, counter] = text.split(":") as [ActorId, string];
    accepted.push({ write, dot: { actor, counter: Number(counter) } });
    if (answer.context !== null) read.push(answer.context);
    if (receipt.localOnly) return;
    if (schedule.nowMs - write.startedMs < tripMsMax) life.metMs ??= schedule.nowMs;
    // One that has lost where it arrived is an event of no disk.
    if (write.events.size === 0) return;
    write.ack = { atMs: schedule.nowMs, needed: receipt.needed, durable: receipt.durable };
    oracle.acknowledged(write, `${edge.id} ${verb} ${name}`, receipt.needed);
  }

  #begin(
    verb: "put" | "renew" | "delete",
    name: string,
    { ttlMs, context }: { readonly ttlMs: number; readonly context: readonly Dot[] },
  ): Write {
    const { oracle, schedule } = this.#world;
    const id = oracle.writes.length;
    const common = { id, key: keyOf(name), context, startedMs: schedule.nowMs };
    const write =
      verb === "delete"
        ? newWrite({ ...common, verb, body: new Uint8Array(0) })
        : newWrite({ ...common, verb: "put", body: bodyOf(id, 20), ttlMs });
    oracle.writes.push(write);
    return write;
  }

  #actAtHost(): void {
    const ready = this.#world.hosts.filter((host) => host.ready);
    if (ready.length === 0) return;
    const host = this.#chance.pick(ready);
    const name = `session${this.#chance.whole(0, sessions - 1)}`;
    const verb = this.#chance.is(0.4) ? "delete" : "put";
    this.#run(`${host.name} ${verb} ${name}`, this.#writeAtHost(host, verb, name));
  }

  async #writeAtHost(host: SimHost, verb: "put" | "delete", name: string): Promise<void> {
    const { oracle, schedule } = this.#world;
    const write = this.#begin(verb, name, { ttlMs: this.#chance.pick(ttlsMs), context: [] });
    const answer = await host.call((node) =>
      verb === "delete"
        ? node.delete(bucket, name, optionsOf(write))
        : node.put(bucket, name, write.body, optionsOf(write)),
    );
    if (answer === "died") return;
    const { receipt } = answer;
    schedule.log(`${host.name} ${verb} ${name}: write ${write.id}`);
    write.ack = { atMs: schedule.nowMs, needed: receipt.needed, durable: receipt.durable };
    oracle.acknowledged(write, `${host.name} ${verb} ${name}`, receipt.needed);
  }

  #lookAtClocks(): void {
    const skews = this.#world.hosts.map(({ machine }) => machine.skewMs);
    this.#hostsMs.slowest = Math.min(this.#hostsMs.slowest, ...skews);
    this.#hostsMs.fastest = Math.max(this.#hostsMs.fastest, ...skews);
  }

  /** One that has expired by each host's clock, for so long. */
  #expired(siblings: readonly Sibling[], forMs: number): Sibling | undefined {
    const latestMs = wallTime(this.#world.schedule, { skewMs: this.#hostsMs.slowest }) - forMs;
    return siblings.find(({ expiresAtMs }) => (expiresAtMs ?? Infinity) <= latestMs);
  }

  /** Who knows the hosts' time, and has been awake since it showed a value, has told whoever watches that this one is over. */
  #checkWatched({ edge, life }: Place): void {
    const { process, node } = edge;
    if (life === undefined || life.node !== node || life.metMs === undefined || process!.paused) return;
    const { oracle, schedule } = this.#world;
    const sleptMs = process!.clock.now() - (process!.sleeps.at(-1)?.[1] ?? -Infinity);
    for (const [name, { siblings, atMs }] of life.shown) {
      oracle.checks += 1;
      if (Math.min(schedule.nowMs - Math.max(life.metMs, atMs), sleptMs) < lookMsMax) continue;
      const over = this.#expired(siblings, tripMsMax + lookMsMax);
      if (over === undefined) continue;
      oracle.broken("whoever watches a value is told of its expiry", `${edge.id}: ${over.dot} of ${name}`);
    }
  }

  /** Nothing new begins, and nothing keeps edges from hosts any more. */
  calm(): void {
    this.#over = true;
    for (const { edge, heal } of this.#places) {
      heal?.();
      edge.calm();
    }
  }

  /** Call when hosts have healed. Judges what owners have when all are equal; afterwards no edge runs. */
  async deliver(): Promise<void> {
    const isDone = (): boolean =>
      this.#running === 0 &&
      this.#places.every(({ edge }) => {
        const facts = edge.node?.facts();
        return facts?.loaded === true && facts.connected && facts.pending === 0;
      });
    await until(this.#world, deliveryMsMax, "edges deliver their sessions", isDone);
    await this.#world.sleep(2 * (tripMsMax + lookMsMax));
    for (const place of this.#places) {
      this.#checkWatched(place);
      const parked = await place.edge.call((node) => node.parked());
      for (const { dot } of parked === "died" ? [] : parked) place.parked.add(dot);
      place.edge.kill("is switched off");
    }
    const areEqual = (): boolean => differenceOfOwners(this.#world) === undefined;
    await until(this.#world, deliveryMsMax, "owners are equal after sessions were delivered", areEqual);
    for (const place of this.#places) this.#judge(place);
    for (const write of this.#renewals) this.#checkRenewal(write);
  }

  #judge({ edge, accepted, parked }: Place): void {
    const { oracle } = this.#world;
    for (const { write, dot } of accepted) {
      const name = nameOf(dot);
      if (parked.has(name) || oracle.history(write.key).truncated) continue;
      oracle.checks += 1;
      this.#world.delivered += 1;
      const text = `${edge.id}: write ${write.id} (${name}) of ${write.key}`;
      const isKnown = covers(ownersState(this.#world, write.key)?.vector ?? [], dot);
      if (!isKnown && !oracle.history(write.key).isCut(dot) && !this.#mayBeLost(write))
        oracle.broken("what an edge has accepted reaches the owners", `${text} is unknown to them`);
      // A value that no disk ever had, and that nobody has seen who wrote there, lost unseen wherever it arrived.
      const isSeen = oracle.writes.some(({ key, context }) => key === write.key && covers(context, dot));
      if (write.verb === "delete" || write.events.size > 0 || isSeen || edge.conflicts.has(name)) continue;
      oracle.broken("nothing is discarded silently", `${text}, which its edge has not told`);
    }
  }

  /** The oracle does not hear of it where a disk is lost that knew of one which no disk ever had (seed edges-559). */
  #mayBeLost({ events, lost, startedMs }: Write): boolean {
    const { hosts, departed, oracle } = this.#world;
    if (events.size > 0) return lost;
    return [...hosts, ...departed].some(({ id }) => (oracle.lossMs(id) ?? -Infinity) >= startedMs);
  }

  /** Of what it has not seen, all that is later than what it has is later than itself. */
  #checkRenewal({ id, key, context, events }: Write): void {
    const { oracle } = this.#world;
    if (oracle.history(key).truncated) return;
    const all = [...oracle.history(key).events.values()];
    // What has lost where it arrived had a stamp, too.
    const isAllKnown = context.every(({ actor, counter }) =>
      all.some(({ dot }) => dot.actor === actor && dot.counter === counter),
    );
    if (!isAllKnown) return;
    const seenStamp = Math.max(0, ...all.flatMap(({ dot, value }) => (covers(context, dot) ? [value.stamp] : [])));
    for (const name of events) {
      oracle.checks += 1;
      const { stamp } = oracle.history(key).events.get(name)!.value;
      const beaten = all.find(({ value }) => value.stamp > seenStamp && value.stamp < stamp);
      if (beaten === undefined) continue;
      const text = `write ${id} of ${key} wins over ${oracle.tell(key, beaten.name)}`;
      oracle.broken("a renewal loses to what it has not seen", text);
    }
  }
}

function given(contexts: Map<string, string[]>, name: string): string[] {
  const list = contexts.get(name) ?? [];
  contexts.set(name, list);
  return list;
}

function optionsOf({ id, ttlMs }: Write) {
  return { kind: "lww" as const, contentType: contentTypeOf(id), ...(ttlMs === undefined ? {} : { ttlMs }) };
}

const neverAborted = { aborted: false, addEventListener: () => {}, removeEventListener: () => {} };
