/**
 * Yjs documents in the simulator: every update marks a document with the number of its write, and folds some others, so that
 * what became of an update is seen in what the document says.
 */
import * as Y from "yjs";
import type { Sibling } from "../../../core/api.ts";
import { isUpdate } from "../../../core/causality/version-set.ts";
import type { Chance } from "../chance.ts";
import { keyOf } from "../clients.ts";
import { until } from "../cluster.ts";
import { ownersState } from "../owners.ts";
import type { World } from "../world.ts";
import { contentTypeOf, newWrite } from "../write.ts";

const bucket = "sim";
const documents = 2;
const writingMsMax = 60_000;

interface NextUpdate {
  readonly folds: readonly string[];
  /** Of what was read, which an update claims nothing of. */
  readonly context: string | null;
  bodyOf(id: number): Uint8Array;
}

type Read =
  | { readonly siblings: readonly Sibling[]; readonly context: string | null; readonly pending?: boolean }
  | "died";

export class Documents {
  readonly #world: World;
  readonly #chance: Chance;
  #over = false;
  #running = 0;

  constructor(world: World) {
    this.#world = world;
    this.#chance = world.chance.fork("documents");
  }

  nameOf(chance: Chance): string {
    return `doc${chance.whole(0, documents - 1)}`;
  }

  /** What a writer writes who has read this, or nothing. */
  async next(chance: Chance, read: () => Promise<Read>): Promise<NextUpdate> {
    const known = chance.is(0.6) ? await read() : "died";
    // An update that waits for hosts would take the next one into itself, and be one event with it: its own test.
    const live = known === "died" || known.pending ? [] : known.siblings;
    const folded = live.filter(() => chance.is(0.7));
    return {
      folds: folded.map(({ dot }) => dot),
      context: known !== "died" && chance.is(0.7) ? known.context : null,
      bodyOf: (id) => Y.mergeUpdates([...folded.map(({ body }) => body), markOf(id)]),
    };
  }

  /** Applications at hosts write until `calm`. */
  start(): void {
    this.#world.schedule.after(this.#chance.logarithmic(10, 1_000), "document", () => {
      if (this.#over) return;
      this.#running += 1;
      void this.#write().finally(() => {
        this.#running -= 1;
      });
      this.start();
    });
  }

  /** Resolves when nobody writes any more. */
  calm(): Promise<void> {
    this.#over = true;
    return until(this.#world, writingMsMax, "writers of documents end", () => this.#running === 0);
  }

  /** Call when hosts have healed: every acknowledged mark is in the document of the owners. */
  judge(): void {
    const { oracle } = this.#world;
    for (const write of oracle.writes) {
      const isOwed = write.ack !== undefined && write.body.length > 0 && write.key.startsWith(keyOf("doc"));
      if (!isOwed || write.lost || oracle.truncated) continue;
      const state = ownersState(this.#world, write.key);
      const doc = new Y.Doc();
      const bodies = state?.values.filter(isUpdate).map(({ body }) => body) ?? [];
      if (bodies.length > 0) Y.applyUpdate(doc, Y.mergeUpdates(bodies));
      this.#world.updates += 1;
      if (doc.getMap("marks").has(String(write.id))) continue;
      oracle.broken("an acknowledged update is in its document", `write ${write.id} of ${write.key}`);
    }
  }

  async #write(): Promise<void> {
    const { oracle, schedule, hosts } = this.#world;
    const host = this.#chance.pick(hosts);
    const name = this.nameOf(this.#chance);
    try {
      const update = await this.next(this.#chance, () => host.call((node) => node.get(bucket, name)));
      const id = oracle.writes.length;
      const [key, folds] = [keyOf(name), new Set(update.folds)];
      const body = update.bodyOf(id);
      const write = newWrite({ id, key, verb: "put", body, context: [], folds, startedMs: schedule.nowMs });
      oracle.writes.push(write);
      const options = {
        kind: "yjs" as const,
        folds: update.folds,
        contentType: contentTypeOf(id),
        ...(update.context === null ? {} : { context: update.context }),
      };
      const answer = await host.call((node) => node.put(bucket, name, write.body, options));
      if (answer === "died") return;
      write.ack = { atMs: schedule.nowMs, needed: answer.receipt.needed, durable: answer.receipt.durable };
      oracle.acknowledged(write, `${host.name} update ${name}`, answer.receipt.needed);
    } catch (error: unknown) {
      schedule.log(`${host.name} update ${name}: ${String(error)}`);
    }
  }
}

/** Of a client of its own, so that it stands alone. */
function markOf(id: number): Uint8Array {
  const doc = new Y.Doc();
  doc.clientID = id + 1;
  doc.getMap("marks").set(String(id), true);
  return Y.encodeStateAsUpdate(doc);
}
