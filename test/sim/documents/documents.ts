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
import { contentTypeOf, idOfContentType, newWrite, type Write } from "../write.ts";

const bucket = "sim";
const documents = 2;
const writingMsMax = 60_000;

interface NextUpdate {
  readonly folds: readonly string[];
  /** Names of all updates that go with it, as `Write.folds`. */
  readonly contained: ReadonlySet<string>;
  /** Of what was read, which an update claims nothing of. */
  readonly context: string | null;
  bodyOf(id: number): Uint8Array;
}

export type DocumentRead =
  | { readonly siblings: readonly Sibling[]; readonly context: string | null; readonly pending?: boolean }
  | "died";

export class Documents {
  readonly #world: World;
  readonly #chance: Chance;
  /** Durable at edges. */
  readonly #accepted = new Set<Write>();
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
  async next(chance: Chance, read: () => Promise<DocumentRead>): Promise<NextUpdate> {
    const known = chance.is(0.6) ? await read() : "died";
    // An update that waits for hosts takes the next one into itself, and is one event with it.
    const { foldsUnsent = false } = this.#world.scenario;
    const live = known === "died" || (known.pending && !foldsUnsent) ? [] : known.siblings;
    const folded = live.filter(() => chance.is(0.7));
    const folds = folded.map(({ dot }) => dot);
    return {
      folds,
      contained: new Set([...folds, ...(foldsUnsent ? this.#containedIn(folded) : [])]),
      context: known !== "died" && chance.is(0.7) ? known.context : null,
      bodyOf: (id) => Y.mergeUpdates([...folded.map(({ body }) => body), markOf(id)]),
    };
  }

  #containedIn(folded: readonly Sibling[]): string[] {
    return folded.flatMap(({ contentType }) => [
      contentType,
      ...this.#world.oracle.writes[idOfContentType(contentType)!]!.folds,
    ]);
  }

  /** An edge has told that it is durable there; in the end it is in its document, though nobody may have acknowledged it. */
  accepted(write: Write): void {
    this.#accepted.add(write);
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

  /** Call when hosts have healed: every mark that was acknowledged, or accepted, is in the document of the owners. */
  judge(): void {
    const { oracle } = this.#world;
    const documents = new Map<string, Y.Doc>();
    for (const write of oracle.writes) {
      const isPromised = write.ack !== undefined || this.#accepted.has(write);
      const isOwed = isPromised && write.body.length > 0 && write.key.startsWith(keyOf("doc"));
      if (!isOwed || oracle.history(write.key).truncated || this.#isLost(write)) continue;
      let doc = documents.get(write.key);
      if (doc === undefined) documents.set(write.key, (doc = this.#ownersDocument(write.key)));
      this.#world.updates += 1;
      if (doc.getMap("marks").has(String(write.id))) continue;
      const rule = write.ack === undefined ? "accepted" : "acknowledged";
      oracle.broken(`an ${rule} update is in its document`, `write ${write.id} of ${write.key}`);
    }
  }

  #ownersDocument(key: string): Y.Doc {
    const doc = new Y.Doc();
    const bodies =
      ownersState(this.#world, key)
        ?.values.filter(isUpdate)
        .map(({ body }) => body) ?? [];
    if (bodies.length > 0) Y.applyUpdate(doc, Y.mergeUpdates(bodies));
    return doc;
  }

  /** Itself, or as a part of another one, which it went with. */
  #isLost({ id, lost }: Write): boolean {
    return lost || this.#world.oracle.writes.some((other) => other.lost && other.folds.has(contentTypeOf(id)));
  }

  async #write(): Promise<void> {
    const { oracle, schedule, hosts } = this.#world;
    const host = this.#chance.pick(hosts);
    const name = this.nameOf(this.#chance);
    try {
      const update = await this.next(this.#chance, () => host.call((node) => node.get(bucket, name)));
      const id = oracle.writes.length;
      const [key, folds] = [keyOf(name), update.contained];
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
