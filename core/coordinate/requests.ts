/**
 * Where requests enter: limits are checked here, once, before anything is minted (PROTOCOL 1); after that, merging
 * refuses nothing. Each request is told to telemetry with its outcome.
 */
import type {
  DeleteOptions,
  GetOptions,
  ListAnswer,
  ListOptions,
  LocalAnswer,
  PutOptions,
  ReadAnswer,
  Sibling,
  WriteAnswer,
} from "../api.ts";
import type { Infer } from "../bytes/codec.ts";
import { parseWriteId } from "../causality/actor.ts";
import { StoreError } from "../errors.ts";
import type { Key, NodeId } from "../identity.ts";
import {
  checkBody,
  checkContentType,
  checkRenewal,
  checkTtl,
  contentTypeDefault,
  foldsOf,
  timeoutOf,
} from "../limits.ts";
import type { LocatedKey } from "../placement/locate.ts";
import type { CancelSignal } from "../ports.ts";
import { parseQuorum } from "../quorum/resolve.ts";
import type { methods } from "../rpc/rpc.ts";
import { readAnswerOf } from "./answers.ts";
import type { CoordinateDeps } from "./deps.ts";
import { copyForEdge, readForEdge } from "./edge-reads.ts";
import { coordinateEdgeWrite } from "./edge-writes.ts";
import { list } from "./list.ts";
import { readState } from "./read.ts";
import { replicating } from "./replicate.ts";
import type { Receiver } from "./told-states.ts";
import { coordinateWrite, type WriteIntent } from "./write.ts";

type WriteOptions = PutOptions & DeleteOptions;
type EdgeReadResponse = Infer<typeof methods.edgeRead.response>;
type EdgeFetchRequest = Infer<typeof methods.edgeFetch.request>;
type EdgeFetchResponse = Infer<typeof methods.edgeFetch.response>;
type EdgeWriteRequest = Infer<typeof methods.edgeWrite.request>;
type EdgeWriteResponse = Infer<typeof methods.edgeWrite.response>;

export class Requests {
  readonly #deps: CoordinateDeps;
  #running = 0;
  #closed: StoreError | undefined;

  constructor(deps: CoordinateDeps) {
    this.#deps = deps;
  }

  /** None runs, and nothing that one has sent may still become a hint here. */
  get isIdle(): boolean {
    return this.#running === 0 && !this.#deps.tasks.isRunning(replicating);
  }

  /** New requests are refused for this reason. */
  close(reason: StoreError): void {
    this.#closed = reason;
  }

  get(key: Key, options: GetOptions = {}): Promise<ReadAnswer> {
    const { config, clock } = this.#deps;
    const timeoutMs = this.#timeout(options.timeoutMs);
    return this.#admit("get", { signal: options.signal, timeoutMs }, async () => {
      const located = this.#locate(key);
      const { held, degraded, answered } = await readState(this.#deps, located, {
        r: options.r ?? config.r,
        timeoutMs,
      });
      return readAnswerOf(held, { key, contexts: this.#deps.contexts, degraded, answered, nowMs: clock.wallTime() });
    });
  }

  /** As `get`, for the copy of an edge that has the state of the digest `have`. */
  edgeRead(key: Key, options: GetOptions, asker: Pick<Receiver, "edge" | "have">): Promise<EdgeReadResponse> {
    const timeoutMs = this.#timeout(options.timeoutMs);
    return this.#admit("get", { timeoutMs }, () =>
      readForEdge(this.#deps, this.#locate(key), { r: options.r ?? this.#deps.config.r, timeoutMs, ...asker }),
    );
  }

  /** This host's own copy, for an edge that coordinates its get itself. */
  edgeFetch(key: Key, request: EdgeFetchRequest): Promise<EdgeFetchResponse> {
    return this.#admit("fetch", { timeoutMs: this.#timeout(undefined) }, () =>
      copyForEdge(this.#deps, this.#locate(key), request),
    );
  }

  /** A write that was minted by `edge`. */
  edgeWrite(key: Key, edge: NodeId, request: EdgeWriteRequest): Promise<EdgeWriteResponse> {
    const { tombstone, body } = request.value;
    const timeoutMs = this.#timeout(request.timeoutMs);
    const limits = { timeoutMs, ...(tombstone ? {} : { valueBytes: body.length }) };
    const intent = {
      request,
      edge,
      timeoutMs,
      w: request.w === undefined ? this.#deps.config.w : parseQuorum(request.w, "w"),
      ...(request.pw === undefined ? {} : { pw: parseQuorum(request.pw, "pw") }),
      forwarded: request.forwarded !== undefined,
    };
    // A forwarded one has been told where it entered.
    if (!intent.forwarded) this.#warnOfSize(key, body);
    return this.#admit(tombstone ? "delete" : "put", limits, () =>
      coordinateEdgeWrite(this.#deps, this.#locate(key), intent),
    );
  }

  getLocal(key: Key): Promise<LocalAnswer> {
    return this.#admit("get", { timeoutMs: this.#timeout(undefined) }, async () => {
      const { role, held } = await this.#deps.replica.read(this.#locate(key));
      const { contexts, clock } = this.#deps;
      const degraded = role !== "complete";
      return { ...readAnswerOf(held, { key, contexts, degraded, nowMs: clock.wallTime() }), holding: role };
    });
  }

  list(bucket: string, options: ListOptions = {}): Promise<ListAnswer> {
    const timeoutMs = this.#timeout(options.timeoutMs);
    return this.#admit("list", { signal: options.signal, timeoutMs }, () =>
      list(this.#deps, bucket, { ...options, timeoutMs }),
    );
  }

  /** A put, or a delete where `body` is undefined. */
  write(key: Key, body: Uint8Array | undefined, options: WriteOptions, forwarded = false): Promise<WriteAnswer> {
    const verb = body === undefined ? "delete" : "put";
    const intent = this.#intentOf(key, body, options, forwarded);
    const { timeoutMs } = intent;
    const limits = { signal: options.signal, timeoutMs, ...(body === undefined ? {} : { valueBytes: body.length }) };
    return this.#admit(verb, limits, () => coordinateWrite(this.#deps, this.#locate(key), intent));
  }

  #intentOf(key: Key, body: Uint8Array | undefined, options: WriteOptions, forwarded: boolean): WriteIntent {
    const { config } = this.#deps;
    const { context, pw, writeId, ifAbsent, ifContext, ttlMs, renews, again, folds = [], returnSiblings } = options;
    const contentType = options.contentType ?? contentTypeDefault;
    const kind = options.kind ?? "opaque";
    if (body !== undefined) checkBody(config, key, body);
    if (body !== undefined) this.#warnOfSize(key, body);
    checkContentType(config, contentType);
    foldsOf(kind, folds);
    checkTtl(ttlMs);
    checkRenewal(options);
    return {
      ...(body === undefined ? {} : { body }),
      contentType,
      kind,
      folds,
      w: options.w ?? config.w,
      timeoutMs: this.#timeout(options.timeoutMs),
      forwarded,
      ...(context === undefined ? {} : { context }),
      ...(pw === undefined ? {} : { pw }),
      ...(writeId === undefined ? {} : { writeId: parseWriteId(writeId) }),
      ...(ifAbsent === undefined ? {} : { ifAbsent }),
      ...(ifContext === undefined ? {} : { ifContext }),
      ...(ttlMs === undefined ? {} : { ttlMs }),
      ...(renews === undefined ? {} : { renews }),
      ...(again === undefined ? {} : { again }),
      ...(returnSiblings === undefined ? {} : { returnSiblings }),
    };
  }

  #warnOfSize(key: Key, { length }: Uint8Array): void {
    const { config, telemetry } = this.#deps;
    if (length > config.valueBytesWarn) telemetry.event({ kind: "value-large", key, bytes: length });
  }

  #timeout(timeoutMs: number | undefined): number {
    return timeoutOf(this.#deps.config, timeoutMs);
  }

  #locate(key: Key): LocatedKey {
    return this.#deps.cluster.locate(key);
  }

  /**
   * Bounded in number: above the bound clients are told so at once, instead of waiting in a queue that grows. The caller may
   * stop waiting, or has waited long enough (a hung disk, say); what is under way goes on, and holds its place until it ends.
   */
  #admit<T extends ReadAnswer | WriteAnswer | ListAnswer | EdgeReadResponse | EdgeFetchResponse | EdgeWriteResponse>(
    verb: "get" | "put" | "delete" | "list" | "fetch",
    limits: { readonly signal?: CancelSignal | undefined; readonly timeoutMs: number; readonly valueBytes?: number },
    work: () => Promise<T>,
  ): Promise<T> {
    const { clock, cluster, deadlines, config, telemetry } = this.#deps;
    const { signal, timeoutMs, valueBytes } = limits;
    const startedMs = clock.now();
    if (this.#closed !== undefined) throw this.#closed;
    if (!cluster.isMember(cluster.self)) throw notMember(cluster);
    if (signal?.aborted) throw new StoreError("closed", "cancelled by the caller before it began: nothing was done");
    if (this.#running >= config.requestsMax) {
      throw new StoreError("overloaded", `this host has ${this.#running} requests under way already; try again later`);
    }
    this.#running += 1;
    return new Promise((resolve, reject) => {
      let isWaiting = true;
      const end = (outcome: string, found?: readonly Sibling[]): void => {
        isWaiting = false;
        stopDeadline();
        signal?.removeEventListener("abort", cancel);
        const bytes = valueBytes ?? found?.reduce((sum, { body }) => sum + body.length, 0);
        telemetry.event({
          kind: "request",
          verb,
          ms: clock.now() - startedMs,
          outcome,
          siblings: found?.length,
          bytes,
        });
      };
      const fail = (error: unknown): void => {
        if (!isWaiting) return;
        end(error instanceof StoreError ? error.code : "internal");
        reject(error);
      };
      const cancel = (): void => fail(new StoreError("closed", "cancelled by the caller; a write may still happen"));
      const stopDeadline = deadlines.add(startedMs + timeoutMs + ownAnswerMarginMs, () => {
        const text = `no answer within ${timeoutMs} ms: this host itself is too slow; a write may still happen`;
        fail(new StoreError("quorum-not-met", text, { needed: 1, got: 0 }));
      });
      signal?.addEventListener("abort", cancel, { once: true });
      work().then(
        (answer) => {
          this.#running -= 1;
          if (!isWaiting) return;
          const isDegraded = "degraded" in answer && answer.degraded;
          // Its membership ended meanwhile: what it has heard from too few may be long untrue (seed 9009657).
          if (isDegraded && !cluster.isMember(cluster.self)) return fail(notMember(cluster));
          end(isDegraded ? "degraded" : "ok", "siblings" in answer ? answer.siblings : undefined);
          resolve(answer);
        },
        (error: unknown) => {
          this.#running -= 1;
          fail(error);
        },
      );
    });
  }
}

/** It took writes on its own word, and the cluster goes on without it: what it still says may be long untrue. */
export function notMember({ self, ownRecord, roster }: CoordinateDeps["cluster"]): StoreError {
  const text = `${self} is no member of the cluster "${roster.cluster.name}" any more (${ownRecord.status})`;
  return new StoreError("not-member", `${text}; what it holds is kept: start it again with --seed to bring it back`);
}

/** Coordination ends in time by itself, and says more; this is for when it cannot. */
const ownAnswerMarginMs = 250;
