/**
 * The requests of this node to one peer over one link: the window that the peer grants, the backlog before it, and
 * what becomes of each.
 *
 * Invariants: every request settles exactly once; it rejects as `not-sent` only if its last byte was never given to the
 * stream, or the peer said that it was not begun.
 */
import type { NodeId } from "../identity.ts";
import { TransportError, type Clock, type Stop } from "../ports.ts";
import { Fifo } from "../rpc/fifo.ts";
import type { FrameQueue, Outgoing } from "../rpc/frame-queue.ts";
import { FrameError, type Message } from "../rpc/frames.ts";
import type { Deadlines } from "../deadlines.ts";
import type { TransportLimits } from "./limits.ts";

/** What a request costs beside its body, about. */
const overheadBytes = 256;

export interface AskingNeeds {
  readonly peer: NodeId;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly limits: TransportLimits;
  /** Where `write` puts what it is given. */
  readonly queue: FrameQueue;
  readonly write: (message: Message) => Outgoing;
  readonly onRoundTrip: (ms: number) => void;
}

/** It has no id before `outgoing`; one that timed out after that holds its id until the peer answers. */
interface Asked {
  readonly body: Uint8Array;
  readonly deadlineMs: number;
  readonly resolve: (body: Uint8Array) => void;
  readonly reject: (error: TransportError) => void;
  stopDeadline: Stop;
  sentMs: number;
  outgoing: Outgoing | undefined;
  settled: boolean;
}

export class Asking {
  readonly #needs: AskingNeeds;
  readonly #backlog = new Fifo<Asked>();
  #backlogBytes = 0;
  /** Settled ones that are still in the backlog. */
  #backlogDead = 0;
  /** By id, in the order of sending: the first waits longest. */
  readonly #asked = new Map<number, Asked>();
  #askedBytes = 0;
  #lastId = 0;

  constructor(needs: AskingNeeds) {
    this.#needs = needs;
  }

  get idle(): boolean {
    return this.#asked.size === 0 && this.#backlog.size === 0;
  }

  get answerDue(): boolean {
    return this.#asked.size > 0;
  }

  /** Requests that timed out count: of a dead peer, no answer comes to any. */
  get waitingSinceMs(): number | undefined {
    for (const { sentMs } of this.#asked.values()) return sentMs;
    return undefined;
  }

  /** The body must not change before the promise settles. */
  ask(body: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const { clock, deadlines } = this.#needs;
    const refusal = this.#refusalOf(body);
    if (refusal !== undefined) return Promise.reject(new TransportError("not-sent", refusal));
    return new Promise((resolve, reject) => {
      const deadlineMs = clock.now() + timeoutMs;
      const asked: Asked = {
        body,
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
      this.#backlogBytes += costOf(asked);
      this.#admit();
    });
  }

  #refusalOf(body: Uint8Array): string | undefined {
    const { limits, queue, peer } = this.#needs;
    if (body.length > limits.messageBytesMax) {
      return `a request of ${body.length} bytes is too large; at most ${limits.messageBytesMax} are allowed`;
    }
    const waitingBytes = queue.bytes + this.#backlogBytes;
    if (waitingBytes + body.length <= limits.outboundBytesMax) return undefined;
    return `overloaded: ${waitingBytes} bytes wait to be sent to ${peer}`;
  }

  /** Moves requests from the backlog to the wire while the peer's window has room. */
  #admit(): void {
    const { limits, clock, write } = this.#needs;
    for (let next = this.#backlog.peek(); next !== undefined; next = this.#backlog.peek()) {
      if (next.settled) {
        this.#backlogDead -= 1;
      } else {
        const { body, deadlineMs } = next;
        if (this.#asked.size >= limits.requestsInFlightMax) break;
        if (this.#asked.size > 0 && this.#askedBytes + body.length > limits.requestBytesInFlightMax) break;
        const id = this.#freeId();
        this.#asked.set(id, next);
        this.#askedBytes += body.length;
        this.#backlogBytes -= costOf(next);
        next.sentMs = clock.now();
        next.outgoing = write({ kind: "request", id, deadlineMs, body });
      }
      this.#backlog.shift();
    }
  }

  #freeId(): number {
    do this.#lastId = (this.#lastId + 1) >>> 0;
    while (this.#asked.has(this.#lastId));
    return this.#lastId;
  }

  #expire(asked: Asked, timeoutMs: number): void {
    asked.settled = true;
    const { outgoing } = asked;
    const text = `no answer from ${this.#needs.peer} in ${timeoutMs} ms`;
    const unsent = outgoing === undefined || this.#needs.queue.drop(outgoing);
    if (outgoing === undefined) this.#forget(asked);
    else if (unsent) this.#freeSlot(outgoing.message.id, asked);
    // What was sent keeps its slot until the peer answers: the peer counts it too.
    const error = unsent
      ? new TransportError("not-sent", `${text}: the request still waited to be sent`)
      : new TransportError("lost", text);
    asked.reject(error);
  }

  /** Takes an expired request out of the backlog, many at a time so that it stays cheap. */
  #forget(asked: Asked): void {
    this.#backlogBytes -= costOf(asked);
    this.#backlogDead += 1;
    if (this.#backlogDead * 2 <= this.#backlog.size) return;
    this.#backlog.filter(({ settled }) => !settled);
    this.#backlogDead = 0;
  }

  #freeSlot(id: number, asked: Asked): void {
    this.#asked.delete(id);
    this.#askedBytes -= asked.body.length;
    this.#admit();
  }

  /** @throws FrameError for an answer to nothing: the peer does not count with us. */
  answered(message: Message & { kind: "response" | "failed" | "refused" }): void {
    const asked = this.#asked.get(message.id);
    if (asked === undefined) {
      throw new FrameError("malformed", `an answer to a request that was never sent, id ${message.id}`);
    }
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

  /** The link is gone. */
  end(reason: string): void {
    const { peer } = this.#needs;
    const waiting = [...this.#asked.values()];
    for (let next = this.#backlog.shift(); next !== undefined; next = this.#backlog.shift()) waiting.push(next);
    this.#asked.clear();
    for (const asked of waiting) {
      if (asked.settled) continue;
      asked.settled = true;
      asked.stopDeadline();
      const sent = asked.outgoing?.state === "sent";
      const text = sent ? "before the answer" : "before the request was sent";
      asked.reject(new TransportError(sent ? "lost" : "not-sent", `connection to ${peer} lost ${text}: ${reason}`));
    }
  }
}

function costOf({ body }: Asked): number {
  return body.length + overheadBytes;
}

const noStop: Stop = () => undefined;
