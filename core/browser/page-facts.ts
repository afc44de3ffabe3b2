/**
 * What a node in a page tells of the page: how its data is kept, and what the application's user should know.
 */
import type { Stop } from "../ports.ts";
import { Listeners } from "../store/listeners.ts";
import type { BrowserFacts, StoreFacts } from "../store-node.ts";

export class PageFacts {
  readonly #listeners = new Listeners<BrowserFacts>();
  readonly #notices = new Map<string, string>();
  #now: BrowserFacts;

  constructor(storage: BrowserFacts["storage"]) {
    this.#now = { storage, notices: [] };
  }

  /** The same object until something of it changes. */
  get now(): BrowserFacts {
    return this.#now;
  }

  /** What a node tells, and this. */
  with(facts: StoreFacts): StoreFacts {
    return { ...facts, browser: this.#now };
  }

  /** Ends both: `stop` is of listening to the node. */
  onChangeToo(stop: Stop, hear: () => void): Stop {
    const stopHearing = this.#listeners.add(hear);
    return () => {
      stop();
      stopHearing();
    };
  }

  persistent(): void {
    this.#change({ storage: "persistent" });
  }

  /** One notice at most about each matter; undefined takes it back. */
  notice(matter: string, text: string | undefined): void {
    if (this.#notices.get(matter) === text) return;
    if (text === undefined) this.#notices.delete(matter);
    else this.#notices.set(matter, text);
    this.#change({ notices: [...this.#notices.values()] });
  }

  #change(change: Partial<BrowserFacts>): void {
    this.#now = { ...this.#now, ...change };
    this.#listeners.tell(this.#now);
  }
}
