/**
 * The requests of one peer on their way through the own handler.
 *
 * Invariant: every accepted request is answered exactly once, and one that could not begin by its deadline never begins.
 */
import type { NodeId } from "../identity.ts";
import type { Clock, RequestHandler } from "../ports.ts";
import { Fifo } from "../rpc/fifo.ts";
import type { Message } from "../rpc/frames.ts";
import type { TransportLimits } from "./limits.ts";
import { describe, type OnProblem } from "./problem.ts";

/** Where a request came from and its answer goes. */
export interface Answerable {
  readonly closed: boolean;
  /** The peer does not read its answers: begin no more of its requests. */
  readonly congested: boolean;
  answer(message: Message): void;
  /** The inbox is over its limits, or no longer is. */
  setPaused(paused: boolean): void;
}

interface Accepted {
  readonly source: Answerable;
  readonly id: number;
  readonly body: Uint8Array;
  readonly deadlineMs: number;
}

/** It is handled at once or not at all. */
const toldMs = 1_000;

export class Inbox {
  readonly #peer: NodeId;
  readonly #clock: Clock;
  readonly #limits: TransportLimits;
  readonly #handler: () => RequestHandler | undefined;
  readonly #onProblem: OnProblem;
  readonly #waiting = new Fifo<Accepted>();
  readonly #paused = new Set<Answerable>();
  #running = 0;
  #held = 0;
  #heldBytes = 0;

  constructor(
    peer: NodeId,
    needs: {
      clock: Clock;
      limits: TransportLimits;
      handler: () => RequestHandler | undefined;
      onProblem: OnProblem;
    },
  ) {
    this.#peer = peer;
    this.#clock = needs.clock;
    this.#limits = needs.limits;
    this.#handler = needs.handler;
    this.#onProblem = needs.onProblem;
  }

  get idle(): boolean {
    return this.#held === 0;
  }

  accept(source: Answerable, request: Message & { kind: "request" }): void {
    this.#held += 1;
    this.#heldBytes += request.body.length;
    this.#waiting.push({
      source,
      id: request.id,
      body: request.body,
      deadlineMs: request.deadlineMs,
    });
    this.begin();
    // A peer that keeps to the agreed window never gets here.
    if (this.#over && !this.#paused.has(source)) {
      this.#paused.add(source);
      source.setPaused(true);
      this.#onProblem({
        kind: "overrun",
        peer: this.#peer,
        message: `${this.#held} requests, ${this.#heldBytes} bytes`,
      });
    }
  }

  /** A request that wants no answer: dropped while there is as much to do as may be. */
  told(body: Uint8Array): void {
    const handler = this.#handler();
    if (handler === undefined || this.#running >= this.#limits.handlersMax) return;
    this.#running += 1;
    const done = (error?: unknown): void => {
      this.#running -= 1;
      if (error !== undefined) this.#onProblem({ kind: "handler-failed", peer: this.#peer, message: describe(error) });
      this.begin();
    };
    handler(this.#peer, body, this.#clock.now() + toldMs).then(() => done(), done);
  }

  /** Begins what may begin; called again when a source is no longer congested. */
  begin(): void {
    while (this.#running < this.#limits.handlersMax) {
      const next = this.#waiting.peek();
      if (next === undefined || (next.source.congested && !next.source.closed)) return;
      this.#waiting.shift();
      this.#beginOne(next);
    }
  }

  #beginOne(request: Accepted): void {
    const handler = this.#handler();
    if (request.source.closed) return this.#release(request);
    if (handler === undefined) return this.#refuse(request, "this node serves no requests now");
    if (this.#clock.now() > request.deadlineMs) return this.#refuse(request, "not begun by its deadline");
    this.#running += 1;
    void this.#run(handler, request);
  }

  #refuse(request: Accepted, reason: string): void {
    request.source.answer({ kind: "refused", id: request.id, reason });
    this.#release(request);
  }

  async #run(handler: RequestHandler, request: Accepted): Promise<void> {
    const { source, id, body, deadlineMs } = request;
    try {
      const response = await handler(this.#peer, body, deadlineMs);
      if (response.length > this.#limits.messageBytesMax)
        throw new Error(`an answer of ${response.length} bytes is too large`);
      source.answer({ kind: "response", id, body: response });
    } catch (error) {
      source.answer({ kind: "failed", id, reason: describe(error) });
      this.#onProblem({ kind: "handler-failed", peer: this.#peer, message: describe(error) });
    }
    this.#running -= 1;
    this.#release(request);
    this.begin();
  }

  #release({ body }: Accepted): void {
    this.#held -= 1;
    this.#heldBytes -= body.length;
    if (this.#paused.size === 0 || this.#over) return;
    for (const source of this.#paused) {
      this.#paused.delete(source);
      source.setPaused(false);
    }
  }

  get #over(): boolean {
    if (this.#held > this.#limits.requestsInFlightMax) return true;
    return this.#held > 1 && this.#heldBytes > this.#limits.requestBytesInFlightMax;
  }
}
