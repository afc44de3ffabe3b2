/**
 * What this tab's application waits for, whichever tab runs the node. A new owner is asked again for all of it, in the order
 * of the calls: reads are repeated, watches are begun again, and a write that may have happened is the same one under its
 * `request` (or ends as `outcome-unknown`, where a host cannot know repeats); an export of which something was told fails. Answers of an
 * earlier owner count no more.
 */
import type { Watched } from "../../api.ts";
import { makeKey } from "../../bytes/key.ts";
import { StoreError } from "../../errors.ts";
import type { CancelSignal, Clock } from "../../ports.ts";
import { checkChannelMessage } from "../../rpc/channel-messages.ts";
import { abortedError } from "../../store/cancel.ts";
import type { Channel, StoreChange } from "../../store-node.ts";
import type { TabChannel } from "./channel.ts";
import { type Answer, type Ask, type Call, receivedError, type TabId } from "./messages.ts";
import { ExportPieces } from "./export-pieces.ts";
import { WatchStream } from "./watch-stream.ts";

/** A tab that runs the node, and since which epoch of the storage. */
export interface OwnerOfTerm {
  readonly tab: TabId;
  readonly term: number;
}

interface CallOptions {
  readonly signal?: CancelSignal | undefined;
  /** When to give up though no owner has answered, ms. An owner keeps the call's own limit, which is shorter. */
  readonly deadlineMs?: number | undefined;
}

interface PendingCall {
  readonly call: Call;
  readonly sinceMs: number;
  /** An owner may have begun it. */
  isSent: boolean;
  /** See `CallOptions`. */
  readonly deadlineMs: number;
  readonly giveUp: (error: StoreError) => void;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: StoreError) => void;
}

interface PendingWatch {
  readonly stream: WatchStream;
  readonly sinceMs: number;
}

interface PendingExport {
  readonly pieces: ExportPieces;
  readonly sinceMs: number;
}

/** Part in the channel of a key. */
interface Part {
  readonly bucket: string;
  readonly name: string;
  readonly hear: (body: Uint8Array) => void;
}

interface CallerDeps {
  readonly channel: TabChannel;
  readonly clock: Clock;
  /** Something is waited for from now on. */
  readonly waits: () => void;
}

/** A deadline is met up to so much late. */
const lookMs = 1_000;
const writes: readonly Call["method"][] = ["put", "delete", "discard"];

export class Caller {
  readonly #deps: CallerDeps;
  readonly #calls = new Map<number, PendingCall>();
  readonly #watches = new Map<number, PendingWatch>();
  readonly #exports = new Map<number, PendingExport>();
  readonly #parts = new Map<number, Part>();
  #owner: OwnerOfTerm | undefined;
  #nextId = 1;
  #looksForLate = false;
  /** Why nothing can be asked any more. */
  #refusal: StoreError | undefined;

  constructor(deps: CallerDeps) {
    this.#deps = deps;
  }

  get owner(): OwnerOfTerm | undefined {
    return this.#owner;
  }

  /** Since when the longest of what is waited for has waited, `clock.now()`; undefined: nothing is waited for. */
  get waitingSinceMs(): number | undefined {
    const oldest = [this.#calls, this.#watches, this.#exports].flatMap((waiting) => [...waiting.values()].slice(0, 1));
    return oldest.length === 0 ? undefined : Math.min(...oldest.map(({ sinceMs }) => sinceMs));
  }

  /** What the node answers. @throws StoreError as the node; `not-ready`, `outcome-unknown`: no tab has answered in time */
  call(call: Call, { signal, deadlineMs = Infinity }: CallOptions = {}): Promise<unknown> {
    if (signal?.aborted) return Promise.reject(abortedError(`the ${call.method}`));
    if (this.#refusal !== undefined) return Promise.reject(this.#refusal);
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      const done = (): void => {
        this.#calls.delete(id);
        signal?.removeEventListener("abort", abort);
      };
      const pending: PendingCall = {
        call,
        sinceMs: this.#deps.clock.now(),
        isSent: false,
        deadlineMs,
        giveUp: (error) => {
          this.#ask({ kind: "cancel", id });
          pending.reject(error);
        },
        resolve: (value) => (done(), resolve(value)),
        reject: (error) => (done(), reject(error)),
      };
      const abort = (): void => pending.giveUp(abortedError(`the ${call.method} (which may still happen)`));
      signal?.addEventListener("abort", abort, { once: true });
      this.#calls.set(id, pending);
      this.#deps.waits();
      if (!this.#looksForLate) this.#lookLater();
      this.#send(id, pending);
    });
  }

  /** The current state first, then each change, none missed; ends when `signal` aborts. */
  async *watch(bucket: string, what: Watched, signal: CancelSignal): AsyncGenerator<StoreChange> {
    if (signal.aborted) return;
    if (this.#refusal !== undefined) throw this.#refusal;
    const id = this.#nextId++;
    const stream = new WatchStream(bucket, what, (credit) => this.#ask({ kind: "more", id, credit }));
    const stop = (): void => stream.stop();
    signal.addEventListener("abort", stop, { once: true });
    this.#watches.set(id, { stream, sinceMs: this.#deps.clock.now() });
    this.#deps.waits();
    this.#begin(id, stream);
    try {
      yield* stream;
    } finally {
      signal.removeEventListener("abort", stop);
      this.#watches.delete(id);
      this.#ask({ kind: "cancel", id });
    }
  }

  /** Piece by piece, as it is taken. @throws StoreError as the node; `not-ready`: its owner was lost, the pieces are no whole export */
  async *export(): AsyncGenerator<Uint8Array> {
    if (this.#refusal !== undefined) throw this.#refusal;
    const id = this.#nextId++;
    const pieces = new ExportPieces((credit) => this.#ask({ kind: "more", id, credit }));
    this.#exports.set(id, { pieces, sinceMs: this.#deps.clock.now() });
    this.#deps.waits();
    this.#beginExport(id, pieces);
    try {
      yield* pieces;
    } finally {
      this.#exports.delete(id);
      this.#ask({ kind: "cancel", id });
    }
  }

  join(bucket: string, name: string, hear: (body: Uint8Array) => void): Channel {
    makeKey(bucket, name); // only to check the name
    if (this.#refusal !== undefined) throw this.#refusal;
    const id = this.#nextId++;
    const part = { bucket, name, hear };
    this.#parts.set(id, part);
    this.#ask({ kind: "join", id, bucket, name });
    return {
      send: (body) => {
        checkChannelMessage(body);
        if (this.#parts.has(id)) this.#ask({ kind: "say", id, body });
      },
      leave: () => {
        if (this.#parts.delete(id)) this.#ask({ kind: "cancel", id });
      },
    };
  }

  /** Asks an owner for all that is waited for; undefined: there is none. */
  follow(owner: OwnerOfTerm | undefined): void {
    this.#owner = owner;
    // An owner tells only tabs that it knows, and this one may have nothing to ask.
    if (owner !== undefined) this.#deps.channel.post(owner.tab, 0, { kind: "seek" });
    for (const [id, pending] of this.#calls) this.#send(id, pending);
    for (const [id, { stream }] of this.#watches) this.#begin(id, stream);
    for (const [id, { pieces }] of this.#exports) this.#beginExport(id, pieces);
    for (const [id, { bucket, name }] of this.#parts) this.#ask({ kind: "join", id, bucket, name });
  }

  /** From the owner of the moment. */
  hear(tell: Answer): void {
    switch (tell.kind) {
      case "result":
        return this.#calls.get(tell.id)?.resolve(tell.value);
      case "failure": {
        const error = receivedError(tell.error);
        this.#streamOf(tell.id)?.end(error);
        return this.#calls.get(tell.id)?.reject(error);
      }
      case "change":
        return this.#watches.get(tell.id)?.stream.hear(tell.change);
      case "heard":
        return this.#parts.get(tell.id)?.hear(tell.body);
      case "piece":
        return this.#exports.get(tell.id)?.pieces.hear(tell.bytes);
      case "ended":
        return this.#streamOf(tell.id)?.end();
    }
  }

  /** Rejects what is waited for; nobody will say whether a write that was sent has happened. */
  fail(error: StoreError): void {
    for (const pending of this.#calls.values()) pending.reject(unansweredError(pending, error));
    for (const { stream } of this.#watches.values()) stream.end(error);
    for (const { pieces } of this.#exports.values()) pieces.end(error);
  }

  /** Nothing is asked from now on: calls are rejected; watches end, or fail if they should not have. */
  refuse(error: StoreError, areWatchesToEnd: boolean): void {
    this.#refusal ??= error;
    if (areWatchesToEnd) for (const { stream } of this.#watches.values()) stream.stop();
    this.fail(error);
  }

  probe(): void {
    this.#ask({ kind: "probe" });
  }

  #send(id: number, pending: PendingCall): void {
    if (this.#owner === undefined) return;
    const call = pending.isSent ? again(pending.call) : pending.call;
    pending.isSent = true;
    try {
      this.#ask({ kind: "call", id, call });
    } catch (cause: unknown) {
      pending.reject(new StoreError("bad-request", `other tabs cannot be told of it: ${String(cause)}`, { cause }));
    }
  }

  #begin(id: number, stream: WatchStream): void {
    if (this.#owner !== undefined) this.#ask({ kind: "watch", id, bucket: stream.bucket, ...stream.begin() });
  }

  #beginExport(id: number, pieces: ExportPieces): void {
    if (this.#owner === undefined) return;
    const credit = pieces.begin();
    if (credit !== undefined) this.#ask({ kind: "export", id, credit });
  }

  #streamOf(id: number): { end(error?: StoreError): void } | undefined {
    return this.#watches.get(id)?.stream ?? this.#exports.get(id)?.pieces;
  }

  /** One timer for all calls that wait: one for each would cost as much as asking. */
  #lookLater(): void {
    const { clock } = this.#deps;
    this.#looksForLate = true;
    clock.after(lookMs, () => {
      for (const pending of this.#calls.values())
        if (clock.now() - pending.sinceMs >= pending.deadlineMs) pending.giveUp(lateError(pending));
      this.#looksForLate = this.#calls.size > 0;
      if (this.#looksForLate) this.#lookLater();
    });
  }

  #ask(ask: Ask): void {
    if (this.#owner !== undefined) this.#deps.channel.post(this.#owner.tab, this.#owner.term, ask);
  }
}

/** For nodes that know repeats of some writes only. */
function again(call: Call): Call {
  if (call.method === "put") return { ...call, options: { ...call.options, again: true } };
  if (call.method === "delete") return { ...call, options: { ...call.options, again: true } };
  return call;
}

function lateError(pending: PendingCall): StoreError {
  const { method } = pending.call;
  const late = new StoreError("not-ready", `no tab has answered the ${method} in ${pending.deadlineMs} ms`);
  return unansweredError(pending, late);
}

/** A write that was sent may have happened. */
function unansweredError({ call: { method }, isSent }: PendingCall, error: StoreError): StoreError {
  if (error.code !== "not-ready" || !isSent || !writes.includes(method)) return error;
  return new StoreError("outcome-unknown", error.message, { cause: error });
}
