/**
 * Writes of values that merge by themselves need nobody's decision when nobody knows what became of them: they are merged into
 * what is there now, and if they are in it already, nothing changes. (An edge parks a write that it sent without an answer
 * where hosts cannot tell a repeat from something new: a clock that is long, a repeat that is late; PROTOCOL 7.)
 * Where the key has no value any more they stay parked: then it may have been deleted because of what they said.
 */
import { StoreError } from "../errors.ts";
import type { CancelSignal, Clock, Random } from "../ports.ts";
import type { ParkedWrite, StoreNode } from "../store-node.ts";
import { addWinsSet } from "../values/add-wins-set.ts";
import { cart } from "../values/cart.ts";
import type { ConflictRule } from "../values/conflict-rules.ts";
import { counter } from "../values/counter.ts";
import { registers } from "../values/registers.ts";
import { sleep } from "./cancel.ts";
import { backoffMs } from "./follow.ts";
import type { Change } from "./update.ts";

interface Deps {
  readonly node: Pick<StoreNode, "parked" | "discard">;
  readonly clock: Clock;
  readonly random: Random;
  readonly closing: CancelSignal;
  /** An update of one key by this rule. */
  readonly update: (
    bucket: string,
    name: string,
    rule: ConflictRule<unknown>,
    change: Change<unknown>,
  ) => Promise<unknown>;
}

const rules = [counter(), addWinsSet(), registers(), cart()] as readonly ConflictRule<unknown>[];

class NoValue extends Error {}

export class ParkedMerges {
  readonly #deps: Deps;
  /** Dots of those that stay parked. */
  readonly #left = new Set<string>();
  #isLooking = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Call when there may be new ones. */
  look(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    void this.#run().finally(() => {
      this.#isLooking = false;
    });
  }

  async #run(): Promise<void> {
    const { node, clock, random, closing } = this.#deps;
    for (let attempt = 0; !closing.aborted; attempt++) {
      const due = (await node.parked().catch(() => [])).flatMap((write) => this.#due(write));
      if (due.length === 0) return;
      for (const { write, rule } of due) if (await this.#merged(write, rule)) attempt = 0;
      await sleep(clock, backoffMs(attempt, random), closing);
    }
  }

  #due(write: ParkedWrite): { readonly write: ParkedWrite; readonly rule: ConflictRule<unknown> }[] {
    const rule = rules.find(({ codec }) => codec?.contentType === write.contentType);
    const isDue = write.error.code === "outcome-unknown" && !this.#left.has(write.dot) && write.body !== undefined;
    return rule !== undefined && isDue ? [{ write, rule }] : [];
  }

  /** False: the cluster is not able to, or not now. */
  async #merged(write: ParkedWrite, rule: ConflictRule<unknown>): Promise<boolean> {
    const { node, update } = this.#deps;
    try {
      // What a change returns is joined with what was read.
      await update(write.bucket, write.name, rule, (_present, { values }) => {
        if (values.length === 0) throw new NoValue();
        return rule.codec!.decode(write.body!);
      });
      await node.discard(write);
      return true;
    } catch (error: unknown) {
      const isAble =
        !(error instanceof StoreError) || !["quorum-not-met", "not-ready", "overloaded"].includes(error.code);
      if (isAble) this.#left.add(write.dot);
      return false;
    }
  }
}
