/**
 * This tab's part in who runs the node: it waits for the owner's lock, runs the node while it has it, and waits again.
 * A frozen tab takes no part: it would get the lock, and hold it without running.
 */
import type { Clock } from "../../ports.ts";
import { Cancellation, sleep } from "../../store/cancel.ts";
import type { Ask, everyone, TabId } from "./messages.ts";
import { type OwnedStorage, Tenure, type TenureDeps } from "./tenure.ts";

export interface CandidateDeps<Opened extends OwnedStorage> extends TenureDeps<Opened> {
  readonly clock: Clock;
  /** This tab could not open the node. True: it may try again. */
  readonly failed: (error: unknown) => boolean;
  /** See `Tenure`. */
  readonly ended: (refusal: Error) => void;
  /** Its time of running the node is over. */
  readonly over: () => void;
}

/** Between tries; others may be luckier meanwhile. */
const retryMs = 1_000;

export class Candidate<Opened extends OwnedStorage> {
  readonly #deps: CandidateDeps<Opened>;
  /** Ends the wait for the lock. */
  #turn = new Cancellation();
  #tenure: Tenure<Opened> | undefined;
  #isClosed = false;

  constructor(deps: CandidateDeps<Opened>) {
    this.#deps = deps;
  }

  /** It has the lock, though the node may not run yet. */
  get hasLock(): boolean {
    return this.#tenure !== undefined;
  }

  hear(from: TabId, term: number, ask: Ask): void {
    this.#tenure?.hear(from, term, ask);
  }

  announce(to: TabId | typeof everyone): void {
    this.#tenure?.announce(to);
  }

  /** Waits for its turn. */
  start(): void {
    this.#begin(false);
  }

  /** Takes its turn now, from whoever has it. */
  steal(): void {
    if (!this.hasLock) this.#begin(true);
  }

  /** Takes no part until it is started again, and does nothing more of what it has begun. */
  stop(): void {
    this.#turn.abort();
    this.#tenure?.end();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#turn.abort();
    await this.#tenure?.close();
  }

  #begin(steal: boolean): void {
    if (this.#isClosed) return;
    this.#turn.abort();
    this.#turn = new Cancellation();
    this.#takePart(this.#turn, steal).catch((error: unknown) => this.#deps.failed(error));
  }

  async #takePart(turn: Cancellation, steal: boolean): Promise<void> {
    for (let steals = steal; !turn.aborted; steals = false) {
      const lock = await this.#deps.locks.own({ steal: steals, signal: turn });
      if (lock === undefined) return;
      if (turn.aborted) return lock.release();
      const tenure = new Tenure(this.#deps, lock);
      this.#tenure = tenure;
      const goesOn = await this.#serve(tenure);
      if (this.#tenure === tenure) this.#tenure = undefined;
      this.#deps.over();
      if (!goesOn || !(await sleep(this.#deps.clock, goesOn === "later" ? retryMs : 0, turn))) return;
    }
  }

  async #serve(tenure: Tenure<Opened>): Promise<"at once" | "later" | false> {
    try {
      await tenure.open();
    } catch (error: unknown) {
      // Taken away in the middle, the rest must fail.
      if (tenure.isOver) return "at once";
      tenure.end();
      return this.#deps.failed(error) && "later";
    }
    await tenure.over;
    return "at once";
  }
}
