/** Tabs of one store without a browser: their locks, channels and disk, and what may happen to a tab. */
import { type EdgePorts, EdgeNode } from "../../../../core/edge/edge-node.ts";
import type { StoreError } from "../../../../core/errors.ts";
import type { NodeId } from "../../../../core/identity.ts";
import { type CancelSignal, type Clock, type Stop, StorageError, TransportError } from "../../../../core/ports.ts";
import type { HearTab, TabChannel } from "../../../../core/browser/tabs/channel.ts";
import type { HeldLock, TabLocks } from "../../../../core/browser/tabs/locks.ts";
import { everyone, seal, type TabId, type TabMessage, unseal } from "../../../../core/browser/tabs/messages.ts";
import { TabNode } from "../../../../core/browser/tabs/tab-node.ts";
import type { OwnedStorage } from "../../../../core/browser/tabs/tenure.ts";
import type {
  Durability,
  KeyRange,
  Namespace,
  PageRequest,
  Storage,
  StorageOperation,
} from "../../../../core/ports.ts";
import { MemoryStorage } from "../../../../core/storage/memory-storage.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { realRandom } from "../../../support/memory-cluster.ts";
import { testIdentity } from "../../../support/test-identity.ts";

const self = "edge" as NodeId;

/** The browser's part of a tab. What is stopped neither hears nor is told of anything until it goes on. */
class Tab {
  readonly id: TabId;
  isGone = false;
  /** Its storage answers nothing; of a frozen tab that alone. */
  isFrozen = false;
  isStopped = false;
  #waiting: (() => void)[] = [];

  constructor(id: TabId) {
    this.id = id;
  }

  /** Runs it soon, or when the tab goes on. */
  soon(run: () => void): void {
    if (this.isGone) return;
    if (this.isStopped) this.#waiting.push(run);
    else queueMicrotask(run);
  }

  /** Runs it when the tab goes on. */
  later(run: () => void): void {
    this.#waiting.push(run);
  }

  goOn(): void {
    this.isFrozen = false;
    this.isStopped = false;
    for (const run of this.#waiting.splice(0)) this.soon(run);
  }

  /** Of its storage. */
  async answered<Answer>(work: () => Promise<Answer>): Promise<Answer> {
    const answer = await work();
    if (this.isGone) return new Promise(() => {});
    if (!this.isFrozen && !this.isStopped) return answer;
    return new Promise((resolve) => this.#waiting.push(() => resolve(answer)));
  }
}

interface Waiting {
  readonly tab: Tab;
  readonly grant: () => void;
}

interface Holder {
  readonly tab: Tab;
  readonly tellStolen: () => void;
}

export class TabScene {
  readonly clock = new ManualClock(1_800_000_000_000);
  readonly disk = new MemoryStorage();
  readonly nodes = new Map<TabId, TabNode<FencedStorage>>();
  /** Nodes that were opened, by the tab that did. */
  readonly opened: TabId[] = [];
  epoch = 0;
  /** Of nodes that are opened from now on; without a cluster to meet they are offline. */
  transport: EdgePorts["transport"] = nowhere;
  seeds: readonly string[] = [];
  /** Why no node can be opened. */
  refusal: StoreError | undefined;
  /** Sees, and may change or swallow, what one tab says to another. */
  onMessage: (from: TabId, to: TabId, message: TabMessage) => TabMessage | undefined = (_from, _to, message) => message;
  readonly #tabs = new Map<TabId, Tab>();
  readonly #heard = new Map<TabId, HearTab>();

  static async of(...tabs: readonly TabId[]): Promise<TabScene> {
    const made = new TabScene();
    await made.open(...tabs);
    return made;
  }
  #holder: Holder | undefined;
  #queue: Waiting[] = [];
  readonly #goneListeners = new Map<TabId, (() => void)[]>();

  /** Who has the owner's lock. */
  get owner(): TabId | undefined {
    return this.#holder?.tab.id;
  }

  node(id: TabId): TabNode<FencedStorage> {
    return this.nodes.get(id)!;
  }

  async open(...ids: readonly TabId[]): Promise<void> {
    for (const id of ids) await this.settle(this.begin(id));
  }

  /** Resolves when the tab's node is open. */
  begin(id: TabId): Promise<void> {
    const tab = new Tab(id);
    this.#tabs.set(id, tab);
    const node = new TabNode<FencedStorage>({
      channel: this.#channel(tab),
      locks: this.#locks(tab),
      clock: this.#clockOf(tab),
      random: realRandom,
      openStorage: () => tab.answered(async () => new FencedStorage(this, tab)),
      openNode: (storage) => this.#openEdge(tab, storage),
    });
    this.nodes.set(id, node);
    return node.open();
  }

  /** Waits for what needs no time, or only a little. */
  async settle<Answer>(work: Promise<Answer>, stepMs = 50): Promise<Answer> {
    const state = { isDone: false };
    const done = (): void => void (state.isDone = true);
    work.then(done, done);
    for (let i = 0; i < 2_000 && !state.isDone; i++) await this.clock.advance(stepMs);
    if (!state.isDone) throw new Error("it waits for something that never comes");
    return work;
  }

  /** A tab of another release has the lock, until it is released. */
  occupy(id: TabId): () => void {
    const lock = this.#hold(new Tab(id));
    return () => lock.release();
  }

  crash(id: TabId): void {
    const tab = this.#tabs.get(id)!;
    tab.isGone = true;
    this.#heard.delete(id);
    for (const listener of this.#goneListeners.get(id) ?? []) listener();
    this.#queue = this.#queue.filter((waiting) => waiting.tab !== tab);
    if (this.#holder?.tab === tab) this.#free();
  }

  /** Nothing of it runs. */
  stop(id: TabId): void {
    this.#tabs.get(id)!.isStopped = true;
  }

  /** Messages are heard and answered, storage is not; no `freeze` event comes. */
  stall(id: TabId): void {
    this.#tabs.get(id)!.isFrozen = true;
  }

  goOn(id: TabId): void {
    this.#tabs.get(id)!.goOn();
  }

  /** As from another tab, of whatever code. */
  say(to: TabId, data: unknown): void {
    const envelope = unseal(data);
    if (envelope !== undefined) this.#heard.get(to)?.(envelope);
  }

  async #openEdge(tab: Tab, storage: FencedStorage): Promise<EdgeNode> {
    if (this.refusal !== undefined) {
      await storage.close();
      throw this.refusal;
    }
    this.opened.push(tab.id);
    const ports: EdgePorts = {
      clock: this.#clockOf(tab),
      random: realRandom,
      storage,
      transport: this.transport,
      identity: testIdentity(self),
      telemetry: { event: () => {} },
    };
    const edge = new EdgeWithStorage(ports, storage, this.seeds);
    await edge.start();
    return edge;
  }

  #clockOf(tab: Tab): Clock {
    const { clock } = this;
    return {
      now: () => clock.now(),
      wallTime: () => clock.wallTime(),
      after: (ms, run) => clock.after(ms, () => (tab.isFrozen ? tab.later(run) : tab.soon(run))),
    };
  }

  #channel(tab: Tab): TabChannel {
    return {
      self: tab.id,
      post: (to, term, message) => {
        const targets = to === everyone ? [...this.#tabs.keys()] : [to];
        for (const target of targets) this.#deliver(tab, target, term, message);
      },
      onMessage: (hear) => {
        this.#heard.set(tab.id, hear);
        return () => void this.#heard.delete(tab.id);
      },
      forget: () => {},
      close: () => void this.#heard.delete(tab.id),
    };
  }

  #deliver(from: Tab, to: TabId, term: number, message: TabMessage): void {
    if (from.isGone) return;
    const kept = from.id === to ? message : this.onMessage(from.id, to, message);
    if (kept === undefined) return;
    const data =
      from.id === to ? { from: from.id, term, message } : structuredClone(seal({ from: from.id, term, message: kept }));
    this.#tabs.get(to)?.soon(() => {
      const envelope = from.id === to ? (data as { from: TabId; term: number; message: TabMessage }) : unseal(data);
      if (envelope !== undefined) this.#heard.get(to)?.(envelope);
    });
  }

  #locks(tab: Tab): TabLocks {
    return {
      own: ({ steal, signal }) =>
        new Promise((resolve) => {
          let isAsked = true;
          const grant = (): void => {
            isAsked = false;
            tab.soon(() => resolve(this.#hold(tab)));
          };
          if (steal) return this.#steal(tab, resolve);
          const waiting = { tab, grant };
          const abort = (): void => {
            if (!isAsked) return;
            this.#queue = this.#queue.filter((other) => other !== waiting);
            resolve(undefined);
          };
          if (signal.aborted) return resolve(undefined);
          signal.addEventListener("abort", abort, { once: true });
          this.#queue.push(waiting);
          if (this.#holder === undefined) this.#free();
        }),
      announce: async () => ({ stolen: new Promise(() => {}), release: () => {} }),
      gone: (other, signal: CancelSignal) =>
        new Promise((resolve) => {
          this.#goneListeners.set(other, [...(this.#goneListeners.get(other) ?? []), resolve]);
          signal.addEventListener("abort", resolve, { once: true });
        }),
    };
  }

  #steal(tab: Tab, resolve: (lock: HeldLock) => void): void {
    const robbed = this.#holder;
    this.#holder = undefined;
    resolve(this.#hold(tab));
    robbed?.tellStolen();
  }

  #hold(tab: Tab): HeldLock {
    let tellStolen = (): void => {};
    const stolen = new Promise<void>((told) => {
      tellStolen = () => tab.soon(told);
    });
    const holder: Holder = { tab, tellStolen };
    this.#holder = holder;
    return {
      stolen,
      release: () => {
        if (this.#holder === holder) this.#free();
      },
    };
  }

  /** The next in turn gets it, even one that does not run. */
  #free(): void {
    this.#holder = undefined;
    const next = this.#queue.shift();
    if (next === undefined) return;
    this.#holder = { tab: next.tab, tellStolen: () => {} };
    next.grant();
  }
}

type EndListener = (refusal: Error, isTaken: boolean) => void;

const closed = new StorageError("closed", "the storage was closed, or taken");

/** One tab's opening of the disk: refused from the moment when another opens it. */
export class FencedStorage implements Storage, OwnedStorage {
  readonly epoch: number;
  readonly #scene: TabScene;
  readonly #tab: Tab;
  readonly #listeners = new Set<EndListener>();
  #isClosed = false;
  #isTaken = false;

  constructor(scene: TabScene, tab: Tab) {
    this.#scene = scene;
    this.#tab = tab;
    this.epoch = scene.epoch += 1;
  }

  touch(): Promise<void> {
    return this.#run(async () => {});
  }

  onEnd(listener: EndListener): Stop {
    if (this.#isClosed) listener(closed, this.#isTaken);
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  get(ns: Namespace, key: Uint8Array) {
    return this.#run((disk) => disk.get(ns, key));
  }

  getMany(ns: Namespace, keys: readonly Uint8Array[]) {
    return this.#run((disk) => disk.getMany(ns, keys));
  }

  batch(operations: readonly StorageOperation[], durability: Durability) {
    return this.#run((disk) => disk.batch(operations, durability));
  }

  page(ns: Namespace, request: PageRequest) {
    return this.#run((disk) => disk.page(ns, request));
  }

  clear(ns: Namespace, range: KeyRange) {
    return this.#run((disk) => disk.clear(ns, range));
  }

  usage() {
    return this.#run((disk) => disk.usage());
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const listener of this.#listeners) listener(closed, this.#isTaken);
  }

  #run<Answer>(work: (disk: Storage) => Promise<Answer>): Promise<Answer> {
    return this.#tab.answered(async () => {
      if (this.epoch < this.#scene.epoch) {
        this.#isTaken = true;
        await this.close();
      }
      if (this.#isClosed) throw closed;
      return work(this.#scene.disk);
    });
  }
}

/** Closes its storage, as a page's does. */
class EdgeWithStorage extends EdgeNode {
  readonly #storage: FencedStorage;

  constructor(ports: EdgePorts, storage: FencedStorage, seeds: readonly string[]) {
    super(ports, { cluster: "test", seeds });
    this.#storage = storage;
  }

  override async close(): Promise<void> {
    await super.close();
    await this.#storage.close();
  }
}

const nowhere: EdgePorts["transport"] = {
  self,
  request: () => Promise.reject(new TransportError("not-sent", "there is no network")),
  tell: () => {},
  serve: () => () => {},
  meet: () => Promise.reject(new TransportError("not-sent", "there is no network")),
  keep: () => {},
  peers: () => [],
  onPeerChange: () => () => {},
};
