/**
 * update(key, fn): read, merge, change, write, again where the cluster was not able to (PROTOCOL 11).
 * Invariant: however often it is tried, the change becomes one event: a write without an answer is repeated under its own
 * id (PROTOCOL 3), and only one that certainly did nothing is made anew from a new read.
 */
import type { PutOptions } from "../api.ts";
import { toHex } from "../bytes/hex.ts";
import { StoreError } from "../errors.ts";
import type { CancelSignal, Stop } from "../ports.ts";
import type { StoreGetOptions, StoreWrite } from "../store-node.ts";
import { abortedError, Cancellation, sleep } from "./cancel.ts";
import { backoffMs, type FollowDeps } from "./follow.ts";
import type { MergingValue } from "../values/merging.ts";
import { type BucketRead, decodeRead, encodeValue, type Format } from "./read.ts";

/** Makes a new value of the present one; called again for each new read, so it must do nothing else. */
export type Change<T> = (value: Present<T>, read: BucketRead<T>) => T | Promise<T>;

/** Values that merge by themselves begin empty; of others there may be none. */
type Present<T> = T extends MergingValue<unknown> ? T : T | undefined;

/** `r`, `w`: as in `get` and `put`. `timeoutMs`: of all tries together. */
export interface UpdateOptions {
  readonly r?: StoreGetOptions["r"];
  readonly w?: PutOptions["w"];
  readonly signal?: CancelSignal;
  readonly timeoutMs?: number;
}

/** One update of one key. */
export interface UpdateDeps<T> extends FollowDeps {
  readonly bucket: string;
  readonly name: string;
  readonly format: Format<T>;
  /** Of the bucket. */
  readonly put: PutOptions;
  readonly get: StoreGetOptions;
  readonly closing: CancelSignal;
  readonly turns: Turns;
}

const updateTimeoutMs = 15_000;
const tryTimeoutMs = 5_000;
/** The cluster could not, for now. Of a write it is not known whether it happened. */
const passingCodes: ReadonlySet<string> = new Set(["quorum-not-met", "not-ready", "overloaded", "outcome-unknown"]);

/** What was written, and where it is. */
export interface Updated<T> {
  readonly value: T;
  readonly write: StoreWrite;
}

/** @throws StoreError see `Bucket.update` */
export async function update<T>(deps: UpdateDeps<T>, change: Change<T>, options: UpdateOptions): Promise<Updated<T>> {
  const key = `${deps.bucket}/${deps.name}`;
  const tries = new Tries({ ...deps, what: `the update of ${key}` }, options);
  const turn = deps.turns.enter(key);
  try {
    await tries.wait(turn.ready);
    for (;;) {
      const getOptions = options.r === undefined ? deps.get : { ...deps.get, r: options.r };
      const read = await tries.untilDone((limits) => readWhole(deps, { ...getOptions, ...limits }));
      const present = read.value ?? deps.format.rule.empty;
      const changed = await tries.wait(change(present as Present<T>, read));
      const { value, body } = await tries.wait(encodeValue(changed, key, deps.format, present));
      const write = await writeOnce(deps, tries, { body, read, w: options.w });
      if (write !== undefined) return { value, write };
    }
  } finally {
    turn.leave();
    tries.end();
  }
}

/** What an update may replace: all of it was understood, and is one value. */
async function readWhole<T>(deps: UpdateDeps<T>, options: StoreGetOptions): Promise<BucketRead<T>> {
  const { bucket, name, node, format } = deps;
  const key = `${bucket}/${name}`;
  const read = await decodeRead(await node.get(bucket, name, options), key, format);
  const [problem] = read.problems;
  if (problem !== undefined) throw problem;
  if (read.values.length > 1 && read.value === undefined) {
    const advice = "resolve them by get and put, or give the bucket a merge rule";
    throw new StoreError("precondition-failed", `${key} has ${read.values.length} siblings: ${advice}`, { key });
  }
  return read;
}

/** Undefined: nothing was written, and a new read is needed. */
async function writeOnce<T>(
  deps: UpdateDeps<T>,
  tries: Tries,
  {
    body,
    read,
    w,
  }: {
    readonly body: Uint8Array;
    readonly read: BucketRead<T>;
    readonly w: PutOptions["w"] | undefined;
  },
): Promise<StoreWrite | undefined> {
  const { bucket, name, node } = deps;
  const options = {
    ...deps.put,
    ...(w === undefined ? {} : { w }),
    ...(read.context === undefined ? {} : { context: read.context }),
    folds: deps.format.rule.foldsOf?.(read.raw.siblings) ?? [],
    writeId: toHex(deps.random.bytes(8)),
  };
  const failuresBefore = tries.failures;
  try {
    return await tries.untilDone((limits) => node.put(bucket, name, body, { ...options, ...limits }));
  } catch (error: unknown) {
    // The cluster has other secrets than when it was read (rings met). An earlier try may have been written all the same.
    const isStale = error instanceof StoreError && error.code === "bad-context";
    if (isStale && tries.failures === failuresBefore) return undefined;
    throw error;
  }
}

/** Updates of one key wait for each other: else two of one application would make siblings. */
export class Turns {
  readonly #last = new Map<string, Promise<void>>();

  enter(key: string): { readonly ready: Promise<void>; readonly leave: () => void } {
    const before = this.#last.get(key) ?? Promise.resolve();
    let leave = (): void => {};
    const left = new Promise<void>((resolve) => {
      leave = resolve;
    });
    const ended = before.then(() => left);
    this.#last.set(key, ended);
    void ended.then(() => this.#last.get(key) === ended && this.#last.delete(key));
    return { ready: before, leave };
  }
}

/** The tries of one update: how long they may go on, and what ends them. */
class Tries {
  readonly #deps: Omit<FollowDeps, "node"> & { readonly what: string; readonly closing: CancelSignal };
  readonly #signal: CancelSignal | undefined;
  readonly #limit: Cancellation;
  readonly #deadlineMs: number;
  readonly #stopTimer: Stop;
  #failures = 0;
  #failure: StoreError | undefined;

  constructor(
    deps: Omit<FollowDeps, "node"> & { readonly what: string; readonly closing: CancelSignal },
    { signal, timeoutMs = updateTimeoutMs }: UpdateOptions,
  ) {
    this.#deps = deps;
    this.#signal = signal;
    this.#limit = new Cancellation(signal, deps.closing);
    this.#deadlineMs = deps.clock.now() + timeoutMs;
    this.#stopTimer = deps.clock.after(timeoutMs, () => this.#limit.abort());
  }

  /** Tries that the cluster was not able to answer. */
  get failures(): number {
    return this.#failures;
  }

  end(): void {
    this.#stopTimer();
    this.#limit.release();
  }

  /** @throws StoreError when the update is over before the work is */
  async wait<R>(work: R | Promise<R>): Promise<R> {
    let stop: Stop = () => {};
    const over = new Promise<never>((_resolve, reject) => {
      const end = (): void => reject(this.#over());
      if (this.#limit.aborted) end();
      this.#limit.addEventListener("abort", end);
      stop = () => this.#limit.removeEventListener("abort", end);
    });
    try {
      return await Promise.race([over, work]);
    } finally {
      stop();
    }
  }

  async untilDone<R>(work: (limits: { signal: CancelSignal; timeoutMs: number }) => Promise<R>): Promise<R> {
    const { clock, random } = this.#deps;
    for (;;) {
      if (this.#limit.aborted) throw this.#over();
      const leftMs = Math.max(1, Math.ceil(this.#deadlineMs - clock.now()));
      try {
        return await work({ signal: this.#limit, timeoutMs: Math.min(tryTimeoutMs, leftMs) });
      } catch (error: unknown) {
        if (this.#limit.aborted) throw this.#over();
        if (!(error instanceof StoreError) || !passingCodes.has(error.code)) throw error;
        this.#failure = error;
        await sleep(clock, backoffMs(this.#failures++, random), this.#limit);
      }
    }
  }

  #over(): StoreError {
    const { what, closing } = this.#deps;
    if (this.#signal?.aborted) return abortedError(what);
    if (closing.aborted) return new StoreError("closed", `${what} ended with the store`);
    return this.#failure ?? new StoreError("quorum-not-met", `${what} took longer than its timeoutMs`);
  }
}
