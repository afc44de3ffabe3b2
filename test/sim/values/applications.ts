/**
 * Applications beside the swarm's clients: they use the Store on hosts and on edges, and change counters, carts, sets, and
 * lists that are merged by union. They are killed, cut off, frozen and robbed of power in the middle. In the end everybody reads the
 * same, and it is what the ledger says.
 */
import { StoreError } from "../../../core/errors.ts";
import { HostStoreNode } from "../../../core/store/host-node.ts";
import { Store } from "../../../core/store/store.ts";
import type { StoreNode } from "../../../core/store-node.ts";
import { type AddWinsSet, addWinsSet } from "../../../core/values/add-wins-set.ts";
import { type Cart, cart } from "../../../core/values/cart.ts";
import { json } from "../../../core/values/codecs.ts";
import { type ConflictRule, merge } from "../../../core/values/conflict-rules.ts";
import { type Counter, counter } from "../../../core/values/counter.ts";
import type { Dot, Seen } from "../../../core/values/dots.ts";
import type { Chance } from "../chance.ts";
import { fail, until } from "../cluster.ts";
import { befall } from "../edges/mishaps.ts";
import { SimEdge } from "../edges/sim-edge.ts";
import type { SimHost } from "../host.ts";
import type { Process } from "../process.ts";
import { type ApplicationsPlan, applicationValues, type ApplicationValue } from "../scenario.ts";
import type { World } from "../world.ts";
import { type Change, problemOfCounter, problemOfItems, problemOfUnion, returnedItems } from "./ledger.ts";

const deliveryMsMax = 300_000;
const items = ["a", "b", "c", "d", "e"];

/** Where an application runs. */
interface Place {
  readonly name: string;
  readonly chance: Chance;
  readonly edge: SimEdge | undefined;
  /** Values that it has read before: what it changes is not always the latest. */
  readonly older: Map<string, Counter>;
  heal: (() => void) | undefined;
}

interface Merging {
  readonly state: { readonly seen: Seen };
}

/** Notes under which dot each change is written, and what its writer had seen. */
function noted<T extends Merging>(rule: ConflictRule<T>, { attempts }: Change): ConflictRule<T> {
  return {
    ...rule,
    seal(value, present, pen) {
      let dot: Dot | undefined;
      const sealed = rule.seal!(value, present, (seen) => {
        const mark = pen(seen);
        dot = mark;
        return mark;
      });
      attempts.push({ dot, seen: value.state.seen });
      return sealed;
    },
  };
}

const union = merge<readonly string[]>((lists) => [...new Set(lists.flat())].toSorted());
/** The swarm's own keys are in the bucket "sim". */
const bucketOf = (kind: ApplicationValue): string => `app-${kind}`;

function ruleOf(bucket: string): ConflictRule<unknown> {
  const kind = applicationValues.find((each) => bucketOf(each) === bucket)!;
  return { counter: counter(), cart: cart(), set: addWinsSet<string>(), union }[kind];
}

export class Applications {
  readonly #world: World;
  readonly #plan: ApplicationsPlan;
  readonly #places: Place[];
  readonly #stores = new WeakMap<object, Store>();
  /** By bucket and key. */
  readonly #ledgers = new Map<string, Change[]>();
  #made = 0;
  #running = 0;
  #isCalm = false;
  /** What was removed, and came back: of lists that are merged by union, where it may. */
  readonly returned: string[] = [];

  constructor(world: World, plan: ApplicationsPlan) {
    this.#world = world;
    this.#plan = plan;
    const place = (name: string, edge?: SimEdge): Place => ({
      name,
      chance: world.chance.fork(`application at ${name}`),
      edge,
      older: new Map(),
      heal: undefined,
    });
    const edges = Array.from({ length: plan.edges }, (_, i) => `a${i + 1}`);
    this.#places = [
      ...edges.map((name) => place(name, new SimEdge(world, name))),
      ...world.hosts.map(({ name }) => place(name)),
    ];
  }

  /** Changes whose outcome was told. */
  get acknowledged(): number {
    return [...this.#ledgers.values()].flat().filter(({ outcome }) => outcome === "acknowledged").length;
  }

  /** They go on until all changes are made, and are unhurt from `calm` on. */
  start(): void {
    for (const place of this.#places) {
      place.edge?.start();
      this.#again(place);
    }
  }

  #again(place: Place): void {
    this.#world.schedule.after(place.chance.between(0, 2 * this.#plan.pauseMs), `application at ${place.name}`, () => {
      if (this.#made >= this.#plan.changes) return;
      if (!this.#isCalm) this.#mishap(place);
      if (this.#runs(place)) this.#change(place);
      this.#again(place);
    });
  }

  /** Hosts have the scenario's faults. */
  #mishap(place: Place): void {
    const { edge, chance } = place;
    if (edge === undefined || !chance.is(this.#plan.mishaps)) return;
    befall(this.#world, { edge, chance, place });
  }

  #change(place: Place): void {
    const { chance, name } = place;
    const kind = chance.pick(this.#plan.kinds);
    const key = `k${chance.whole(0, this.#plan.keys - 1)}`;
    const verb = kind !== "counter" && chance.is(0.3) ? ("remove" as const) : ("add" as const);
    // A list tells one addition from another by what is added.
    const item =
      kind === "counter" ? "" : kind === "union" && verb === "add" ? `${name}.${this.#made}` : chance.pick(items);
    const change: Change = { who: name, verb, item, by: chance.whole(1, 9), attempts: [], outcome: "unknown" };
    this.#made += 1;
    this.#running += 1;
    void this.#write(place, { kind, key, change })
      .catch((error: unknown) => {
        if (error instanceof StoreError) return this.#world.schedule.log(`${name} ${kind} ${key}: ${error.message}`);
        this.#world.oracle.broken("every failure is a typed error", `${name} ${kind} ${key}: ${String(error)}`);
      })
      .finally(() => {
        this.#running -= 1;
      });
  }

  async #write(
    place: Place,
    what: { readonly kind: ApplicationValue; readonly key: string; change: Change },
  ): Promise<void> {
    const { kind, key, change } = what;
    const done = await this.#call(place, async (store) => {
      if (kind === "counter") await this.#count(store, place, { key, change });
      else if (kind === "union") await this.#list(store, key, change);
      else await this.#shop(store, { kind, key, change });
      return true;
    });
    if (done === true) change.outcome = "acknowledged";
    this.#world.schedule.log(
      `${place.name} ${kind} ${key}: ${change.verb} ${change.item || change.by} ${change.outcome}`,
    );
  }

  async #count(
    store: Store,
    { chance, older }: Place,
    { key, change }: { key: string; change: Change },
  ): Promise<void> {
    const counts = store.bucket<Counter>(bucketOf("counter"), { conflict: noted(counter(), change) });
    this.#note("counter", key, change);
    const stale = chance.is(0.1) ? older.get(key) : undefined;
    const { value } = await counts.update(key, (count) => (stale ?? count).add(change.by));
    if (chance.is(0.3)) older.set(key, value);
  }

  async #shop(
    store: Store,
    { kind, key, change }: { kind: "cart" | "set"; key: string; change: Change },
  ): Promise<void> {
    const { verb, item } = change;
    this.#note(kind, key, change);
    if (kind === "cart") {
      const carts = store.bucket<Cart>(bucketOf(kind), { conflict: noted(cart(), change) });
      await carts.update(key, (present) => (verb === "add" ? present.add(item) : present.remove(item)));
    } else {
      const sets = store.bucket<AddWinsSet<string>>(bucketOf(kind), { conflict: noted(addWinsSet<string>(), change) });
      await sets.update(key, (present) => (verb === "add" ? present.add(item) : present.delete(item)));
    }
  }

  async #list(store: Store, key: string, change: Change): Promise<void> {
    const lists = store.bucket<readonly string[]>(bucketOf("union"), { conflict: union });
    if (change.verb === "add") {
      this.#note("union", key, change);
      await lists.update(key, (list = []) => [...list, change.item].toSorted());
      return;
    }
    await lists.update(key, (list = []) => {
      const [first, ...others] = list;
      if (first !== undefined) this.#note("union", key, Object.assign(change, { item: first }));
      return others;
    });
  }

  #note(kind: ApplicationValue, key: string, change: Change): void {
    const at = `${bucketOf(kind)}/${key}`;
    const ledger = this.#ledgers.get(at) ?? [];
    this.#ledgers.set(at, ledger);
    if (!ledger.includes(change)) ledger.push(change);
  }

  #runs({ name, edge }: Place): boolean {
    return edge === undefined
      ? this.#world.hosts.some((each) => each.name === name && each.ready)
      : edge.node !== undefined;
  }

  /** Its host has not left. */
  #isThere({ name, edge }: Place): boolean {
    return edge !== undefined || this.#world.hosts.some((each) => each.name === name);
  }

  /** "died" when the process ends before it answers, or does not run. */
  #call<T>({ name, edge }: Place, work: (store: Store) => Promise<T>): Promise<T | "died"> {
    if (edge !== undefined) {
      return edge.call((node) => work(this.#store(node, edge.process!, () => node)));
    }
    const host = this.#world.hosts.find((each) => each.name === name);
    if (host?.ready !== true) return Promise.resolve("died");
    return host.call((node) => work(this.#store(node, host.process!, () => this.#hostNode(host))));
  }

  /** A healed cluster may miss an answer still, as where wires are slow and all replicas are asked: whoever asks tries again. */
  async #try<T>(place: Place, work: (store: Store) => Promise<T>): Promise<T | "died" | undefined> {
    try {
      return await this.#call(place, work);
    } catch (error: unknown) {
      if (!(error instanceof StoreError)) throw error;
      this.#world.schedule.log(`${place.name} tries again: ${error.message}`);
      return undefined;
    }
  }

  /** One of each process, as an application has it. */
  #store(of: object, { clock }: Process, node: () => StoreNode): Store {
    let store = this.#stores.get(of);
    if (store === undefined) {
      store = new Store("sim", { node: node(), clock, random: this.#world.chance.fork(`store ${this.#made}`) });
      this.#stores.set(of, store);
    }
    return store;
  }

  #hostNode(host: SimHost): StoreNode {
    const { clock } = host.process!;
    return new HostStoreNode({
      id: host.id,
      node: host.node!,
      clock,
      random: this.#world.chance.fork(`host store ${this.#made}`),
      onConflict: () => () => {},
      stop: async () => {},
    });
  }

  /** Nothing keeps them from hosts any more. */
  calm(): void {
    this.#isCalm = true;
    for (const { edge, heal } of this.#places) {
      heal?.();
      edge?.process?.resume();
      edge?.start();
    }
  }

  /** Call when hosts have healed: all is delivered, everybody reads the same, and that is judged. Afterwards no edge runs. */
  async deliver(): Promise<void> {
    const isDelivered = ({ edge }: Place): boolean => {
      const facts = edge?.node?.facts();
      return edge === undefined || (facts?.loaded === true && facts.connected && facts.pending === 0);
    };
    const isDone = (): boolean => this.#running === 0 && this.#made >= this.#plan.changes;
    await until(this.#world, deliveryMsMax, "applications end", isDone);
    await until(this.#world, deliveryMsMax, "applications deliver", () => this.#places.every(isDelivered));
    for (const place of this.#places) if (place.edge !== undefined) await this.#takeUpParked(place);
    for (const [key, changes] of this.#ledgers) await this.#judge(key, changes);
    for (const place of this.#places) {
      place.edge?.kill("is switched off");
      if (place.edge === undefined) await this.#call(place, (store) => store.close());
    }
  }

  /**
   * The store merges those that merge by themselves, once their bucket is made. Of lists the application takes up what was
   * parked, and of others what the store leaves: where no writer of theirs is known, as a key was written by several at first.
   */
  async #takeUpParked(place: Place): Promise<void> {
    const leftMs = this.#world.schedule.nowMs + deliveryMsMax / 2;
    await until(this.#world, deliveryMsMax, `nothing is parked at ${place.name}`, async () => {
      const left = await this.#try(place, async (store) => {
        const parked = await store.parked();
        for (const write of parked) {
          const rule = ruleOf(write.bucket);
          const bucket = store.bucket(write.bucket, { conflict: rule });
          if (rule.codec === undefined) {
            const list = json<readonly string[]>().decode(write.body!);
            await bucket.update(write.name, (present) =>
              [...new Set([...((present ?? []) as readonly string[]), ...list])].toSorted(),
            );
          } else if (this.#world.schedule.nowMs < leftMs) continue;
          else await bucket.update(write.name, () => rule.codec!.decode(write.body!));
          await store.discard(write);
        }
        return parked.length;
      });
      return left === 0;
    });
  }

  async #judge(at: string, changes: readonly Change[]): Promise<void> {
    const { oracle } = this.#world;
    const [bucket = "", key = ""] = at.split("/");
    const kind = applicationValues.find((each) => bucketOf(each) === bucket)!;
    const rule = ruleOf(bucket);
    const told = new Map<string, string>();
    let value: unknown;
    for (const place of this.#places.filter((each) => this.#isThere(each))) {
      await until(this.#world, deliveryMsMax, `${place.name} reads ${at}`, async () => {
        const read = await this.#try(place, (store) => store.bucket(bucket, { conflict: rule }).get(key, { r: "all" }));
        if (read === "died" || read === undefined || read.degraded || read.source === "local") return false;
        for (const problem of read.problems) oracle.broken("what was stored is understood", problem.message);
        ({ value } = read);
        told.set(JSON.stringify(value) ?? "nothing", place.name);
        return true;
      });
    }
    oracle.checks += changes.length;
    await this.#resolve(at, rule);
    if (told.size > 1) {
      const text = [...told].map(([content, name]) => `${name} reads ${content}`).join("; ");
      fail(this.#world, "everybody reads the same", `${at}: ${text}`);
    }
    const problem = this.#problemOf(kind, value ?? rule.empty ?? [], changes);
    if (problem !== undefined) oracle.broken("a value is what was made of it", `${at}: ${problem}`);
  }

  /** Who updates a value leaves one sibling. */
  async #resolve(at: string, conflict: ConflictRule<unknown>): Promise<void> {
    const [bucket = "", key = ""] = at.split("/");
    const place = this.#places.find((each) => this.#isThere(each) && each.edge === undefined)!;
    await until(this.#world, deliveryMsMax, `${place.name} updates ${at}`, async () => {
      const left = await this.#try(place, async (store) => {
        const values = store.bucket(bucket, { conflict });
        await values.update(key, (value) => value ?? []);
        return (await values.get(key, { r: "all" })).values.length;
      });
      if (typeof left === "number" && left > 1) fail(this.#world, "an update leaves one value", `${at}: ${left}`);
      return typeof left === "number";
    });
  }

  #problemOf(kind: ApplicationValue, value: unknown, changes: readonly Change[]): string | undefined {
    if (kind === "counter") return problemOfCounter(value as Counter, changes);
    if (kind !== "union") return problemOfItems(value as Cart | AddWinsSet<string>, changes);
    const list = value as readonly string[];
    this.returned.push(...returnedItems(list, changes));
    return problemOfUnion(list, changes);
  }
}
