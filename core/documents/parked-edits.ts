/**
 * Edits that this node sends no more, for they were sent without an answer too long ago (`outcome-unknown`, PROTOCOL 7); later
 * ones may build on them. An update of Yjs may be written twice. So where the document is still the one that they are of they are
 * written anew, and if they had arrived all the same, nothing changes. Where it is gone, or was begun anew, it may have been deleted
 * with them in it: they stay parked.
 * Invariant: one is forgotten only when the node has an update that contains it.
 */
import * as Y from "yjs";
import { StoreError } from "../errors.ts";
import type { CancelSignal, Clock, Random } from "../ports.ts";
import type { ParkedWrite, StoreNode } from "../store-node.ts";
import { sleep } from "../store/cancel.ts";
import { backoffMs } from "../store/follow.ts";
import { documentType } from "../values/yjs-update.ts";
import { idsIn } from "./ahead.ts";
import type { DocumentName } from "./document-link.ts";

interface Deps {
  readonly node: Pick<StoreNode, "facts" | "get" | "parked" | "discard">;
  readonly clock: Clock;
  readonly random: Random;
  readonly closing: CancelSignal;
  /** Into the document, and to what is to be written. False: Yjs cannot. */
  readonly add: (edit: ParkedWrite & { readonly body: Uint8Array }) => boolean;
  /** True: the node has all that was added. */
  readonly write: () => Promise<boolean>;
}

export class ParkedEdits {
  readonly #deps: Deps;
  readonly #where: DocumentName;
  /** Dots of those that were added, and of those that stay parked. */
  readonly #added = new Set<string>();
  readonly #left = new Set<string>();
  #isLooking = false;
  /** Again, since the node was last asked for what is parked. */
  #isAsked = false;

  constructor(deps: Deps, where: DocumentName) {
    this.#deps = deps;
    this.#where = where;
  }

  /** Call when there may be some. */
  look(): void {
    this.#isAsked = true;
    if (this.#isLooking || this.#deps.node.facts().parked === 0) return;
    this.#isLooking = true;
    void this.#run().finally(() => {
      this.#isLooking = false;
    });
  }

  async #run(): Promise<void> {
    const { node, clock, random, closing, write } = this.#deps;
    for (let attempt = 0; !closing.aborted; attempt++) {
      this.#isAsked = false;
      const parked = await node.parked().catch(() => []);
      const due = parked.filter((each) => this.#isDue(each));
      if (due.length === 0 && !this.#isAsked) return;
      if (due.length > 0 && (await this.#addAll(due))) {
        // Why is the document's problem.
        if (!(await write())) return;
        for (const each of due) if (this.#added.has(each.dot)) await node.discard(each).catch(() => undefined);
      }
      await sleep(clock, backoffMs(attempt, random), closing);
    }
  }

  #isDue({ bucket, name, dot, contentType, body, error }: ParkedWrite): boolean {
    const isOfThis = bucket === this.#where.bucket && name === this.#where.name && contentType === documentType;
    return isOfThis && body !== undefined && error.code === "outcome-unknown" && !this.#left.has(dot);
  }

  /** False: what hosts have is not known now. */
  async #addAll(due: readonly ParkedWrite[]): Promise<boolean> {
    const { bucket, name } = this.#where;
    try {
      const { source, degraded, deleted, siblings } = await this.#deps.node.get(bucket, name);
      if (source !== "quorum" || degraded) return false;
      const live = clientsIn(siblings.filter(({ kind }) => kind === "yjs"));
      for (const edit of due) {
        const isOfThis = !deleted && [...clientsIn([edit])].some((client) => live.has(client));
        if (this.#added.has(edit.dot)) continue;
        const isAdded = isOfThis && this.#deps.add(edit as ParkedWrite & { readonly body: Uint8Array });
        (isAdded ? this.#added : this.#left).add(edit.dot);
      }
      return true;
    } catch (error: unknown) {
      if (!(error instanceof StoreError)) throw error;
      return false;
    }
  }
}

/** Of Yjs: who made what is in the updates, or what that builds on. */
function clientsIn(updates: readonly { readonly body?: Uint8Array }[]): Set<number> {
  const clients = updates.flatMap(({ body }) => {
    const { structs, ds } = Y.decodeUpdate(body!);
    return [...structs.map(({ id }) => id.client), ...idsIn(body!).map(({ client }) => client), ...ds.clients.keys()];
  });
  return new Set(clients);
}
