/**
 * Writes of values that merge by themselves need nobody's decision when nobody knows what became of them: they are merged into
 * what is there now, and if they are in it already, nothing changes. (An edge parks a write that it sent without an answer
 * where hosts cannot tell a repeat from something new: a clock that is long, a repeat that is late; PROTOCOL 7.)
 * Where the key has no value any more they stay parked: then it may have been deleted because of what they said. And where it
 * has one that no writer of the parked value had a part in, it may have been begun anew since: a cart that was checked out.
 * They wait until the application has made the bucket, for how values are written there is for it to say.
 */
import { StoreError } from "../errors.ts";
import type { CancelSignal, Clock, Random } from "../ports.ts";
import type { ParkedWrite, StoreNode } from "../store-node.ts";
import type { ConflictRule } from "../values/conflict-rules.ts";
import type { Seen } from "../values/dots.ts";
import type { MergingValue } from "../values/merging.ts";
import { sleep } from "./cancel.ts";
import { backoffMs } from "./follow.ts";
import type { Change } from "./update.ts";

interface Deps {
  readonly node: Pick<StoreNode, "parked" | "discard">;
  readonly clock: Clock;
  readonly random: Random;
  readonly closing: CancelSignal;
  /** As the application made it last; undefined: it has not. */
  readonly bucket: (name: string) => MadeBucket | undefined;
}

/** A bucket, as far as parked writes go there. */
export interface MadeBucket {
  readonly rule: ConflictRule<unknown>;
  readonly update: (name: string, change: Change<unknown>) => Promise<unknown>;
}

interface Due {
  readonly write: ParkedWrite;
  readonly bucket: MadeBucket;
}

type Value = MergingValue<{ readonly seen: Seen }>;

/** What is there is not what the parked value was a change of. */
class NotOfThis extends Error {}
/** What is there is not known for certain. */
class Unsure extends Error {}

export class ParkedMerges {
  readonly #deps: Deps;
  /** Dots of those that stay parked. */
  readonly #left = new Set<string>();
  #isLooking = false;
  /** Again, since the node was last asked for what is parked. */
  #isAsked = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Call when there may be new ones. */
  look(): void {
    this.#isAsked = true;
    if (this.#isLooking) return;
    this.#isLooking = true;
    void this.#run().finally(() => {
      this.#isLooking = false;
    });
  }

  async #run(): Promise<void> {
    const { node, clock, random, closing } = this.#deps;
    for (let attempt = 0; !closing.aborted; attempt++) {
      this.#isAsked = false;
      const due = (await node.parked().catch(() => [])).flatMap((write) => this.#due(write));
      if (due.length === 0 && !this.#isAsked) return;
      for (const each of due) if (await this.#merged(each)) attempt = 0;
      await sleep(clock, backoffMs(attempt, random), closing);
    }
  }

  #due(write: ParkedWrite): Due[] {
    const bucket = this.#deps.bucket(write.bucket);
    const isDue = write.error.code === "outcome-unknown" && !this.#left.has(write.dot) && write.body !== undefined;
    return bucket !== undefined && isMerging(bucket.rule, write.contentType) && isDue ? [{ write, bucket }] : [];
  }

  /** False: the cluster is not able to, or not now. */
  async #merged({ write, bucket }: Due): Promise<boolean> {
    try {
      // What a change returns is joined with what was read.
      await bucket.update(write.name, (present, { source, degraded, deleted, values }) => {
        if (source !== "quorum" || degraded) throw new Unsure();
        const parked = bucket.rule.codec!.decode(write.body!);
        if (values.length === 0 || deleted || !haveCommonWriter(present as Value, parked as Value))
          throw new NotOfThis();
        return parked;
      });
      await this.#deps.node.discard(write);
      return true;
    } catch (error: unknown) {
      const codes = ["quorum-not-met", "not-ready", "overloaded"];
      const isPassing = error instanceof Unsure || (error instanceof StoreError && codes.includes(error.code));
      if (!isPassing) this.#left.add(write.dot);
      return false;
    }
  }
}

/** Not found among all such rules: an application would load them all, whichever it uses. */
function isMerging(rule: ConflictRule<unknown>, contentType: string): boolean {
  return "empty" in rule && rule.codec?.contentType === contentType;
}

function haveCommonWriter(a: Value, b: Value): boolean {
  return [...a.state.seen.writers.keys()].some((writer) => b.state.seen.writers.has(writer));
}
