/**
 * Waiting until hosts have all that was asked before: what is in the outbox, and what is on its way into it.
 */
import { StoreError } from "../errors.ts";
import type { Stop } from "../ports.ts";
import type { WaitOptions } from "../store-node.ts";
import type { Tasks } from "../tasks.ts";
import type { Outbox, OutboxWrite } from "./outbox.ts";
import { untilMet } from "./waiting.ts";

export class Flushing {
  readonly #outbox: Outbox;
  readonly #tasks: Tasks;
  /** Never reject. */
  readonly #entering = new Set<Promise<OutboxWrite | undefined>>();

  constructor(deps: { readonly outbox: Outbox; readonly tasks: Tasks }) {
    this.#outbox = deps.outbox;
    this.#tasks = deps.tasks;
  }

  /** A write that is being accepted. */
  enters<Accepted extends { readonly write: OutboxWrite }>(accepting: Promise<Accepted>): Promise<Accepted> {
    const entering: Promise<OutboxWrite | undefined> = accepting.then(
      ({ write }) => (this.#entering.delete(entering), write),
      () => void this.#entering.delete(entering),
    );
    this.#entering.add(entering);
    return accepting;
  }

  /** @throws StoreError `aborted`; `quorum-not-met`: not in time */
  async flush(options: WaitOptions): Promise<void> {
    const writes = [...this.#outbox.all()];
    const entering = new Set(this.#entering);
    let look = (): void => {};
    for (const each of entering) {
      void each.then((write) => {
        entering.delete(each);
        if (write !== undefined) writes.push(write);
        look();
      });
    }
    // What has ended stays so, and each change is looked at: of thousands only the next one is.
    let ended = 0;
    const isMet = (): boolean => {
      while (ended < writes.length && !writes[ended]!.isPending) ended += 1;
      return ended === writes.length && entering.size === 0;
    };
    const listen = (heard: () => void): Stop => {
      look = heard;
      return this.#outbox.onChange(heard);
    };
    if ((await untilMet(this.#tasks, { isMet, listen }, options)) === "met") return;
    const left = writes.filter(({ isPending }) => isPending).length + entering.size;
    const text = `${left} of ${writes.length + entering.size} writes still wait for hosts`;
    throw new StoreError("quorum-not-met", text, { needed: 1, got: 0 });
  }
}
