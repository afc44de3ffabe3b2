/**
 * A node that is a `Map`: enough causality for an API to show siblings, contexts and deletes, and nothing more.
 * `failNext` makes the next request fail.
 */
import type {
  AwayFill,
  DeleteOptions,
  Explanation,
  GetOptions,
  ListAnswer,
  ListOptions,
  LocalAnswer,
  NodeApi,
  NodeStatus,
  PeerExplanation,
  PlanView,
  PutOptions,
  ReadAnswer,
  RepairOptions,
  RepairProgress,
  RingRequest,
  RingView,
  Sibling,
  Watched,
  WatchEvent,
  WriteAnswer,
} from "../../core/api.ts";
import { StoreError } from "../../core/errors.ts";
import type { NodeId } from "../../core/identity.ts";
import type { RingChange } from "../../core/membership/roster.ts";
import type { CancelSignal } from "../../core/ports.ts";

interface State {
  readonly seen: number;
  readonly live: readonly (Sibling & { readonly counter: number; readonly tombstone: boolean })[];
}

export const fakeId = "12D3KooWFakeNode" as NodeId;
export const fakeBrowserId = "12D3KooWFakeBrowser" as NodeId;

export class FakeNode implements NodeApi {
  readonly states = new Map<string, State>();
  readonly calls: { verb: string; options: unknown }[] = [];
  readonly #wake = new Set<() => void>();
  watchers = 0;
  ready = true;
  /** Partitions that are said to move. */
  moving = 0;
  /** Hosts that are said not to answer, and to have to fill. */
  away: readonly AwayFill[] = [];
  tombstones: NodeStatus["tombstones"] = { waiting: 0, why: [] };
  transfers: NodeStatus["transfers"] = {};
  changes: readonly RingChange[] = [];
  agreedAgoMs: readonly (number | null)[] = [null, null, null, null];
  statusCalls = 0;
  failNext: StoreError | Error | undefined;
  /** While set, reads wait for it or for their signal. */
  hold: Promise<void> | undefined;

  async get(bucket: string, name: string, options: GetOptions = {}): Promise<ReadAnswer> {
    this.#called("get", options);
    if (this.hold) await Promise.race([this.hold, aborted(options.signal)]);
    return this.#read(bucket, name);
  }

  async getLocal(bucket: string, name: string): Promise<LocalAnswer> {
    this.#called("getLocal", {});
    return { ...this.#read(bucket, name), holding: this.states.has(`${bucket}/${name}`) ? "complete" : "none" };
  }

  async put(bucket: string, name: string, body: Uint8Array, options: PutOptions = {}): Promise<WriteAnswer> {
    this.#called("put", options);
    const { contentType = "application/octet-stream", kind = "opaque" } = options;
    if (options.ifAbsent && this.#read(bucket, name).siblings.length > 0) {
      throw new StoreError("precondition-failed", `${bucket}/${name} has a value`);
    }
    return this.#write(`${bucket}/${name}`, options, { body, contentType, kind, tombstone: false });
  }

  async delete(bucket: string, name: string, options: DeleteOptions = {}): Promise<WriteAnswer> {
    this.#called("delete", options);
    const body = new Uint8Array();
    return this.#write(`${bucket}/${name}`, options, { body, contentType: "", kind: "opaque", tombstone: true });
  }

  async list(bucket: string, { prefix = "", limit = 100, after = "", ...rest }: ListOptions = {}): Promise<ListAnswer> {
    this.#called("list", { prefix, limit, after, ...rest });
    const names = [...this.states.keys()]
      .filter((key) => key.startsWith(`${bucket}/${prefix}`))
      .map((key) => key.slice(bucket.length + 1))
      .toSorted()
      .filter((name) => name > after && this.#read(bucket, name).siblings.length > 0);
    return { keys: names.slice(0, limit), next: names.length > limit ? (names[limit - 1] ?? null) : null };
  }

  async *watch(bucket: string, what: Watched, signal: CancelSignal): AsyncIterable<WatchEvent> {
    this.#called("watch", what);
    this.watchers += 1;
    const told = new Map<string, State | undefined>();
    try {
      while (!signal.aborted) {
        let news = false;
        const names =
          "name" in what
            ? [what.name]
            : [...this.states.keys()]
                .map((key) => key.slice(bucket.length + 1))
                .filter((n) => n.startsWith(what.prefix));
        for (const name of names) {
          const state = this.states.get(`${bucket}/${name}`);
          if (told.has(name) && told.get(name) === state) continue;
          told.set(name, state);
          news = true;
          yield { bucket, name, ...this.#read(bucket, name) };
        }
        if (!news) await this.#changed(signal); // while it was told, more may have happened
      }
    } finally {
      this.watchers -= 1;
    }
  }

  async *repair({ partition }: RepairOptions): AsyncGenerator<RepairProgress> {
    this.#called("repair", { partition });
    const counts = { keysPushed: 1, keysPulled: 2, bytes: 3_000, damagedFound: 1, damagedHealed: 1 };
    const rest = { checked: 2, damagedFiles: [], unequal: 0, problems: [], ms: 10 };
    yield { done: 0, total: 2, ...counts, ...rest, msLeft: null };
    yield { done: 1, total: 2, ...counts, ...rest, msLeft: 10 };
    yield { done: 2, total: 2, ...counts, ...rest, msLeft: 0 };
  }

  async status(): Promise<NodeStatus> {
    this.statusCalls += 1;
    return {
      id: fakeId,
      cluster: "fake",
      ready: this.ready,
      notices: this.ready ? [] : ["waiting for the seed /ip4/127.0.0.1/tcp/1"],
      tombstones: this.tombstones,
      n: 3,
      r: "quorum",
      w: "quorum",
      members: [
        {
          id: fakeId,
          status: "up",
          kind: "host",
          alive: true,
          zone: "a",
          deviceGroup: "",
          capacity: 100,
          tokens: 4,
          life: 0,
          incarnation: 1,
          addresses: ["/ip4/127.0.0.1/tcp/4001"],
          http: "http://127.0.0.1:7070",
        },
        {
          id: fakeBrowserId,
          status: "up",
          kind: "browser-host",
          lease: { ms: 600_000, leftMs: 240_000 },
          alive: false,
          zone: "",
          deviceGroup: "",
          capacity: 20,
          tokens: 0,
          life: 1,
          incarnation: 1,
          addresses: [],
          http: "",
        },
      ],
      ring: "f1f2",
      hints: 0,
      oldestHintMs: 0,
      hintsFor: [],
      antiEntropy: {
        rounds: 0,
        failed: 0,
        keysPushed: 0,
        keysPulled: 0,
        bytes: 0,
        partitionsAgreed: 0,
        fullAgreementAgoMs: null,
      },
      partitions: {
        owned: 4,
        filling: 0,
        handingOff: 0,
        everywhere: { filling: this.moving, handingOff: 0, away: this.away },
      },
      transfers: this.transfers,
      keys: this.states.size,
      storage: { state: "ok", bytes: 0, corruptRecords: 0, setAside: [] },
      uptimeMs: 1_000,
    };
  }

  ring(): RingView {
    const tokens = [fakeId, fakeId, fakeId, null];
    const { agreedAgoMs } = this;
    const efficiency = { primary: 1, replica: 1 };
    return { fingerprint: "f1f2", partitions: 4, n: 3, tokens, agreedAgoMs, efficiency, changes: this.changes };
  }

  async explain(bucket: string, name: string): Promise<Explanation> {
    const { siblings } = this.#read(bucket, name);
    const dots = siblings.map(({ dot }) => dot);
    const owner = {
      id: fakeId,
      role: "owner",
      alive: true,
      zone: "a",
      holding: "complete",
      dots,
      upToDate: true,
    } as const;
    return {
      key: `${bucket}/${name}`,
      position: "0".repeat(32),
      partition: 0,
      agreedAgoMs: null,
      siblings: dots.map((dot) => ({ dot, deleted: false, at: [fakeId] })),
      preferenceList: [owner],
    };
  }

  explainPeer(id: string): PeerExplanation {
    if (id !== fakeId) throw new StoreError("not-found", `no peer ${id} is known here`);
    return { id: fakeId, member: true, connected: true, addresses: [], verdict: "this node itself" };
  }

  async plan(request: RingRequest): Promise<PlanView> {
    this.#called("plan", request);
    return planOf(request);
  }

  async changeRing(request: RingRequest, options: { readonly ring?: string } = {}): Promise<PlanView> {
    this.#called("change", { ...request, ...options });
    return planOf(request);
  }

  #called(verb: string, options: unknown): void {
    this.calls.push({ verb, options });
    const error = this.failNext;
    this.failNext = undefined;
    if (error) throw error;
  }

  #read(bucket: string, name: string): ReadAnswer {
    const state = this.states.get(`${bucket}/${name}`);
    const live = state?.live ?? [];
    const siblings = live
      .filter(({ tombstone }) => !tombstone)
      .map(({ body, contentType, kind, timeMs, dot }) => ({ body, contentType, kind, timeMs, dot }));
    const deleted = siblings.length > 0 && siblings.length < live.length;
    return { siblings, deleted, degraded: false, context: state ? contextOf(state) : null };
  }

  #write(
    key: string,
    { context, returnSiblings }: PutOptions,
    value: Pick<State["live"][number], "body" | "contentType" | "kind" | "tombstone">,
  ): WriteAnswer {
    const before = this.states.get(key) ?? { seen: 0, live: [] };
    const covered = new Set(context === undefined ? [] : dotsOf(context));
    const counter = before.seen + 1;
    const event = { ...value, counter, timeMs: 1_000 * counter, dot: `00000000000000a1:${counter}` };
    const state = { seen: counter, live: [...before.live.filter((one) => !covered.has(one.counter)), event] };
    this.states.set(key, state);
    for (const wake of this.#wake) wake();
    const [bucket, name] = splitOnce(key);
    const receipt = { durable: [fakeId], hinted: [], needed: 1, got: 1, localOnly: false };
    const alone = state.live.length === 1 || returnSiblings === true;
    return {
      dot: event.dot,
      context: alone ? contextOf(state) : null,
      receipt,
      ...(returnSiblings && { siblings: this.#read(bucket, name).siblings }),
    };
  }

  #changed(signal: CancelSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#wake.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      this.#wake.add(wake);
      signal.addEventListener("abort", wake);
      if (signal.aborted) wake();
    });
  }
}

function splitOnce(key: string): [string, string] {
  const slash = key.indexOf("/");
  return [key.slice(0, slash), key.slice(slash + 1)];
}

function contextOf({ live }: State): string {
  return `ctx-${live.map(({ counter }) => counter).join("-")}`;
}

function dotsOf(context: string): number[] {
  if (!context.startsWith("ctx-")) throw new StoreError("bad-context", "this context was not made here");
  return context.split("-").slice(1).map(Number);
}

function aborted(signal: CancelSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    signal?.addEventListener("abort", () => reject(new StoreError("closed", "the client has gone")), { once: true });
  });
}

function planOf(request: RingRequest): PlanView {
  const same = { before: 1, after: 1 };
  return {
    change: request.kind,
    host: request.kind === "rebalance" ? null : (request.host as NodeId),
    ring: "f1f2",
    tokens: 3,
    withheld: 1,
    partitionsChanged: 4,
    partitionsCopied: 2,
    keys: 100,
    bytes: 102_400,
    balance: { tokens: same, replicas: same },
    hosts: [{ id: fakeId, tokens: { before: 4, after: 1 }, replicas: { before: 4, after: 4 } }],
  };
}
