/**
 * One framed stream with one peer: requests of both directions, their answers, and the end of it.
 *
 * Invariants: all frames of a turn share few writes, and none is written while the stream says stop; what does not keep
 * to the format, or is silent, loses its connection; every queue is bounded (see `TransportLimits`).
 */
import type { Connection, Stream } from "@libp2p/interface";
import type { NodeId } from "../identity.ts";
import { TransportError, type Clock } from "../ports.ts";
import { FrameQueue, type Outgoing } from "../rpc/frame-queue.ts";
import { FrameError, FrameReader, type Message } from "../rpc/frames.ts";
import { Asking } from "./asking.ts";
import type { Deadlines } from "../deadlines.ts";
import { endOfTurn } from "./end-of-turn.ts";
import type { Answerable, Inbox } from "./inbox.ts";
import type { TransportLimits } from "./limits.ts";
import { describe, type OnProblem } from "./problem.ts";
import { isWebRtc } from "./route.ts";
import { Silence } from "./silence.ts";

/** One write: large enough to make encryption and system calls cheap, small enough for a slow link to get on with. */
const writeBytes = 64 * 1024;
/** A paused stream still receives what the peer's window allowed (yamux: 16 MiB at most); libp2p resets it above this. */
const pausedBytesMax = 32 * 1024 * 1024;

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

const toldQueueBytesMax = 262_144;

export class Link implements Answerable {
  readonly connection: Connection;
  readonly openedMs: number;
  readonly #needs: LinkNeeds;
  readonly #stream: Stream;
  readonly #reader: FrameReader;
  readonly #queue: FrameQueue;
  readonly #silence: Silence;
  readonly #asking: Asking;
  /** Requests of the peer that have no answer yet. */
  #owed = 0;
  #flushing = false;
  #telling = false;
  /** `send` said stop; nothing more until `drain`. */
  #blocked = false;
  #paused = false;
  #resuming = false;
  #closed = false;
  #wanted = false;
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
    this.#asking = new Asking({ ...needs, queue: this.#queue, write: (message) => this.#write(message) });
    const { limits, connection } = needs;
    this.#silence = new Silence(isWebRtc(connection) ? { ...limits, ...limits.webRtc } : limits);
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

  /** It ended although neither both sides had agreed on it nor this side wanted it. */
  get broke(): boolean {
    return this.#closed && !this.#wanted && !(this.#saidBye && this.#heardBye);
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

  /** One of the sides, or both, will start nothing more here. */
  get departing(): boolean {
    return this.#saidBye || this.#heardBye;
  }

  get waitingSinceMs(): number | undefined {
    return this.#asking.waitingSinceMs;
  }

  // -- Asking -------------------------------------------------------------------------------------------------------

  request(body: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    if (this.#closed) return Promise.reject(new TransportError("not-sent", `not connected to ${this.#needs.peer}`));
    return this.#asking.ask(body, timeoutMs);
  }

  /**
   * Lost where others wait already: what is told late is worth nothing. So it does not wait for the end of the turn either,
   * but goes with what else is told by this callback.
   */
  tell(body: Uint8Array): void {
    if (this.#closed || this.#queue.bytes > toldQueueBytesMax) return;
    this.#queue.push({ kind: "told", id: 0, body });
    if (!this.#telling && !this.#blocked) {
      this.#telling = true;
      queueMicrotask(() => this.#flush());
    }
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
      case "told":
        return this.#needs.inbox.told(message.body);
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
        this.#asking.answered(message);
        return this.#closeIfDone();
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
    this.#telling = false;
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
    if (!this.#saidBye || !this.#heardBye || !this.#asking.idle || !this.settled) return;
    this.#end("replaced by another stream");
  }

  /** The connection may have died unnoticed: find out soon. */
  probe(): void {
    this.#silence.probe();
  }

  /** Call every `pingMs`. */
  tick(): void {
    if (this.#closed) return;
    const verdict = this.#silence.tick({
      answerDue: this.#asking.answerDue,
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
    this.#wanted = true;
    this.#end(reason);
  }

  #end(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    // Half-closes, flushing; a stream that is dead already rejects, which is what we want of it.
    this.#stream.close().catch(() => undefined);
    this.#asking.end(reason);
    this.#needs.inbox.begin();
    this.#needs.onClosed(this);
  }
}
