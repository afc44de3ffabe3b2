/**
 * One framed stream with one peer: requests of both directions, their answers, and what is needed to notice that the
 * other end is gone.
 *
 * Invariants: every request settles exactly once; it rejects as `not-sent` only if its last byte was never given to the
 * stream, or the peer said that it was not begun; every queue is bounded (see `TransportLimits`).
 */
import type { Connection, Stream } from "@libp2p/interface";
import type { NodeId } from "../identity.ts";
import { TransportError, type Clock, type Stop } from "../ports.ts";
import { Fifo } from "../rpc/fifo.ts";
import { FrameQueue, type Outgoing } from "../rpc/frame-queue.ts";
import { FrameError, FrameReader, type Message } from "../rpc/frames.ts";
import type { Deadlines } from "./deadlines.ts";
import { endOfTurn } from "./end-of-turn.ts";
import type { Answerable, Inbox } from "./inbox.ts";
import type { TransportLimits } from "./limits.ts";
import { describe, type OnProblem } from "./problem.ts";
import { Silence } from "./silence.ts";

/** One write: large enough to make encryption and system calls cheap, small enough for a slow link to get on with. */
const writeBytes = 64 * 1024;
/** A paused stream still receives what the peer's window allowed (yamux: 16 MiB at most); libp2p resets it above this. */
const pausedBytesMax = 32 * 1024 * 1024;
/** What a request costs beside its body, about. */
const askedOverheadBytes = 256;

export interface LinkNeeds {
  readonly stream: Stream;
  readonly connection: Connection;
  readonly peer: NodeId;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly limits: TransportLimits;
  readonly inbox: Inbox;
  readonly onProblem: OnProblem;
  /** A frame or a piece of one arrived. */
  readonly onHeard: () => void;
  readonly onRoundTrip: (ms: number) => void;
  readonly onClosed: (link: Link) => void;
}

/** A request of ours. It has no id before `outgoing`; one that timed out after that holds its id until the peer answers. */
interface Asked {
  readonly body: Uint8Array;
  /** Memory that it costs. */
  readonly bytes: number;
  readonly deadlineMs: number;
  readonly resolve: (body: Uint8Array) => void;
  readonly reject: (error: TransportError) => void;
  stopDeadline: Stop;
  sentMs: number;
  outgoing: Outgoing | undefined;
  settled: boolean;
}

export class Link implements Answerable {
  readonly connection: Connection;
  readonly openedMs: number;
  readonly #needs: LinkNeeds;
  readonly #stream: Stream;
  readonly #reader: FrameReader;
  readonly #queue: FrameQueue;
  readonly #silence: Silence;
  readonly #backlog = new Fifo<Asked>();
  #backlogBytes = 0;
  #backlogDead = 0;
  /** By id, in the order of sending: the first waits longest. */
  readonly #asked = new Map<number, Asked>();
  #askedBytes = 0;
  /** Requests of the peer that have no answer yet. */
  #owed = 0;
  #nextId = 0;
  #flushing = false;
  /** `send` said stop; nothing more until `drain`. */
  #blocked = false;
  #paused = false;
  #resuming = false;
  #closed = false;
  #saidBye = false;
  #heardBye = false;
  #pongQueued = false;

  constructor(needs: LinkNeeds) {
    this.#needs = needs;
    this.connection = needs.connection;
    this.openedMs = needs.clock.now();
    this.#stream = needs.stream;
    this.#reader = new FrameReader(needs.limits, (message) => this.#handle(message));
    this.#queue = new FrameQueue(needs.limits);
    this.#silence = new Silence(needs.limits);
    this.#stream.maxReadBufferLength = pausedBytesMax;
    this.#stream.addEventListener("message", ({ data }) => this.#receive(data instanceof Uint8Array ? [data] : data));
    this.#stream.addEventListener("drain", () => this.#drained());
    this.#stream.addEventListener("remoteCloseWrite", () => this.#end("the peer closed the stream"));
    this.#stream.addEventListener("close", ({ error }) =>
      this.#end(error === undefined ? "the stream was closed" : describe(error)),
    );
  }

  get closed(): boolean {
    return this.#closed;
  }

  get congested(): boolean {
    return this.#queue.bytes > this.#needs.limits.outboundBytesMax;
  }

  /** Nothing left to write, and no answer owed. */
  get settled(): boolean {
    return this.#closed || (this.#owed === 0 && this.#queue.empty && !this.#blocked);
  }

  /** Our side will start nothing more here. */
  get retired(): boolean {
    return this.#saidBye;
  }

  /** Requests that timed out count: of a dead peer, no answer comes to any. */
  get waitingSinceMs(): number | undefined {
    for (const { sentMs } of this.#asked.values()) return sentMs;
    return undefined;
  }

  // -- Asking -------------------------------------------------------------------------------------------------------

  request(body: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const { limits, clock, deadlines, peer } = this.#needs;
    const refusal = this.#refusalOf(body, limits);
    if (refusal !== undefined)
      return Promise.reject(new TransportError("not-sent", `request to ${peer} not sent: ${refusal}`));
    return new Promise((resolve, reject) => {
      const deadlineMs = clock.now() + timeoutMs;
      const asked: Asked = {
        body,
        bytes: body.length + askedOverheadBytes,
        deadlineMs,
        resolve,
        reject,
        stopDeadline: noStop,
        sentMs: 0,
        outgoing: undefined,
        settled: false,
      };
      asked.stopDeadline = deadlines.add(deadlineMs, () => this.#expire(asked, timeoutMs));
      this.#backlog.push(asked);
      this.#backlogBytes += asked.bytes;
      this.#admit();
    });
  }

  #refusalOf(body: Uint8Array, limits: TransportLimits): string | undefined {
    if (this.#closed) return "the link is closed";
    if (body.length > limits.messageBytesMax)
      return `${body.length} bytes, at most ${limits.messageBytesMax} are allowed`;
    const waiting = this.#queue.bytes + this.#backlogBytes;
    return waiting + body.length > limits.outboundBytesMax ? `overloaded, ${waiting} bytes wait already` : undefined;
  }

  /** Moves requests from the backlog to the wire while the peer's window has room. */
  #admit(): void {
    const { limits, clock } = this.#needs;
    for (let next = this.#backlog.peek(); next !== undefined; next = this.#backlog.peek()) {
      if (next.settled) {
        this.#backlogDead -= 1;
      } else {
        if (this.#asked.size >= limits.requestsInFlightMax) break;
        if (this.#asked.size > 0 && this.#askedBytes + next.body.length > limits.requestBytesInFlightMax) break;
        const id = this.#freeId();
        this.#asked.set(id, next);
        this.#askedBytes += next.body.length;
        this.#backlogBytes -= next.bytes;
        next.sentMs = clock.now();
        next.outgoing = this.#write({
          kind: "request",
          id,
          deadlineMs: next.deadlineMs,
          body: next.body,
        });
      }
      this.#backlog.shift();
    }
  }

  #freeId(): number {
    do this.#nextId = (this.#nextId + 1) >>> 0;
    while (this.#asked.has(this.#nextId));
    return this.#nextId;
  }

  #expire(asked: Asked, timeoutMs: number): void {
    if (asked.settled) return;
    asked.settled = true;
    const { outgoing } = asked;
    const text = `no answer from ${this.#needs.peer} in ${timeoutMs} ms`;
    if (outgoing === undefined) {
      this.#forget(asked);
      asked.reject(new TransportError("not-sent", `${text}: the request still waited to be sent`));
    } else if (this.#queue.drop(outgoing)) {
      this.#freeSlot(outgoing.message.id, asked);
      asked.reject(new TransportError("not-sent", `${text}: the request still waited to be sent`));
    } else {
      // It keeps its slot until the peer answers: the peer counts it too.
      asked.reject(new TransportError("lost", text));
    }
  }

  /** Takes an expired request out of the backlog, in batches so that it stays cheap. */
  #forget(asked: Asked): void {
    this.#backlogBytes -= asked.bytes;
    this.#backlogDead += 1;
    if (this.#backlogDead * 2 <= this.#backlog.size) return;
    this.#backlog.filter(({ settled }) => !settled);
    this.#backlogDead = 0;
  }

  #freeSlot(id: number, asked: Asked): void {
    this.#asked.delete(id);
    this.#askedBytes -= asked.body.length;
    this.#admit();
    this.#closeIfDone();
  }

  #answered(message: Message & { kind: "response" | "failed" | "refused" }): void {
    const asked = this.#asked.get(message.id);
    // A dropped request was never sent either: whoever answers that is not counting with us.
    if (asked === undefined)
      throw new FrameError("malformed", `an answer to a request that was never sent, id ${message.id}`);
    if (!asked.settled) {
      asked.settled = true;
      asked.stopDeadline();
      if (message.kind === "response") {
        this.#needs.onRoundTrip(this.#needs.clock.now() - asked.sentMs);
        asked.resolve(message.body);
      } else {
        const kind = message.kind === "refused" ? "not-sent" : "lost";
        asked.reject(new TransportError(kind, `${this.#needs.peer} ${message.kind} the request: ${message.reason}`));
      }
    }
    this.#freeSlot(message.id, asked);
  }

  // -- Answering ----------------------------------------------------------------------------------------------------

  answer(message: Message): void {
    this.#owed -= 1;
    if (!this.#closed) this.#write(message);
  }

  setPaused(paused: boolean): void {
    this.#paused = paused;
    // Never from within: libp2p's `resume` dispatches what it kept, and would forget a `pause` called by that.
    queueMicrotask(() => this.#applyPause());
  }

  #applyPause(): void {
    if (this.#closed || this.#resuming) return;
    try {
      if (this.#paused) return this.#stream.pause();
      this.#resuming = true;
      this.#stream.resume();
      this.#resuming = false;
      if (this.#paused) this.#stream.pause();
    } catch (error) {
      this.abort(describe(error));
    }
  }

  #receive(chunks: Iterable<Uint8Array>): void {
    if (this.#closed) return;
    const { clock, onHeard, peer, onProblem } = this.#needs;
    this.#silence.heard();
    onHeard();
    try {
      for (const chunk of chunks) this.#reader.read(chunk, clock.now());
    } catch (error) {
      if (error instanceof FrameError) onProblem({ kind: "bad-frames", peer, message: error.message });
      this.abort(describe(error));
    }
  }

  #handle(message: Message): void {
    switch (message.kind) {
      case "request":
        this.#owed += 1;
        return this.#needs.inbox.accept(this, message);
      case "ping":
        // One pong says it all: a peer that floods us with pings fills no queue.
        if (!this.#pongQueued) this.#write({ kind: "pong", id: message.id });
        this.#pongQueued = true;
        return;
      case "pong":
        return this.#silence.pong();
      case "bye":
        this.#heardBye = true;
        return this.#closeIfDone();
      case "response":
      case "failed":
      case "refused":
        return this.#answered(message);
    }
  }

  // -- Writing ------------------------------------------------------------------------------------------------------

  #write(message: Message): Outgoing {
    const outgoing = this.#queue.push(message);
    if (!this.#flushing && !this.#blocked) {
      this.#flushing = true;
      endOfTurn(() => this.#flush());
    }
    return outgoing;
  }

  /** Everything of this turn in few writes: a write costs more than the bytes in it. */
  #flush(): void {
    this.#flushing = false;
    if (this.#closed) return;
    try {
      while (!this.#blocked) {
        const write = this.#queue.take(writeBytes, this.#needs.clock.now());
        if (write === undefined) break;
        this.#pongQueued = false;
        this.#blocked = !this.#stream.send(write);
      }
    } catch (error) {
      return this.abort(describe(error));
    }
    if (!this.congested) this.#needs.inbox.begin();
    this.#closeIfDone();
  }

  #drained(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#silence.drained();
    this.#flush();
  }

  // -- Ending -------------------------------------------------------------------------------------------------------

  /** Another stream is better: start nothing more here, and close once both sides said so and all is answered. */
  retire(): void {
    if (this.#saidBye || this.#closed) return;
    this.#saidBye = true;
    this.#write({ kind: "bye", id: 0 });
  }

  #closeIfDone(): void {
    if (!this.#saidBye || !this.#heardBye || this.#asked.size > 0 || this.#backlog.size > 0 || !this.settled) return;
    this.#end("replaced by another stream");
  }

  /** Call every `pingMs`. */
  tick(): void {
    if (this.#closed) return;
    const verdict = this.#silence.tick({
      answerDue: this.#asked.size > 0,
      blocked: this.#blocked,
      paused: this.#paused,
    });
    if (verdict === "ping") this.#write({ kind: "ping", id: 0 });
    if (verdict !== "silent" && verdict !== "not-reading") return;
    const message = verdict === "silent" ? "the peer is silent, although an answer is due" : "the peer takes no bytes";
    this.#needs.onProblem({ kind: "silent", peer: this.#needs.peer, message });
    this.abort(message);
  }

  /** Cuts the connection, not only the stream: whoever broke the rules or went silent shall not go on by another stream. */
  abort(reason: string): void {
    if (this.#closed) return;
    this.#end(reason);
    this.connection.abort(new Error(reason));
  }

  /** Ends the link in order: what was given to the stream still goes out. */
  close(reason: string): void {
    this.#end(reason);
  }

  #end(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    // Half-closes, flushing; a stream that is dead already rejects, which is what we want of it.
    this.#stream.close().catch(() => undefined);
    for (const asked of this.#asked.values()) this.#rejectEnded(asked, reason);
    for (let asked = this.#backlog.shift(); asked !== undefined; asked = this.#backlog.shift())
      this.#rejectEnded(asked, reason);
    this.#asked.clear();
    this.#needs.inbox.begin();
    this.#needs.onClosed(this);
  }

  #rejectEnded(asked: Asked, reason: string): void {
    if (asked.settled) return;
    asked.settled = true;
    asked.stopDeadline();
    const sent = asked.outgoing?.state === "sent";
    const text = sent ? "connection lost before the answer" : "connection lost before the request was sent";
    asked.reject(new TransportError(sent ? "lost" : "not-sent", `${text}, ${this.#needs.peer}: ${reason}`));
  }
}

const noStop: Stop = () => undefined;
