/**
 * Export and import of a host: the states that it holds, and states of an export, merged into their owners' copies as any
 * other. What was overwritten or deleted since stays so, for its successor covers it. Where something of a partition has been
 * forgotten since the export, which its forgetting mark tells (PROTOCOL 9, *Return*), no key of that partition is taken; nor while that may be happening: of what is on
 * its way this node knows, and consents to no reap.
 */
import { DecodeError } from "../bytes/codec.ts";
import { StoreError } from "../errors.ts";
import type { Key } from "../identity.ts";
import {
  type ForgettingMarks,
  foundingsOf,
  isForgottenSince,
  ringName,
  type RingName,
  ringOfFoundings,
  unnamedRing,
} from "../membership/forgetting-marks.ts";
import { decodeForgettingMarks, encodeForgettingMarks } from "../membership/forgetting-marks-encoding.ts";
import { keyOfRow, locate } from "../placement/locate.ts";
import type { Storage } from "../ports.ts";
import type { Consents } from "../replica/consents.ts";
import { CachedState } from "../replica/state-cache.ts";
import { decodeVersioned } from "../causality/encoding.ts";
import {
  checkHead,
  type ExportHead,
  type ExportItem,
  exportStream,
  type ImportItem,
  readExport,
} from "../storage/export-stream.ts";
import type { ImportResult, StoreNode } from "../store-node.ts";
import { reasonOf } from "../tasks.ts";
import type { HintDeps } from "./deliver-hints.ts";
import { handToOwners, type Imported, importOld } from "./import-old.ts";

interface PortableDeps extends HintDeps {
  readonly consents: Consents;
  /** The context of all that a state has of the key. */
  readonly seal: (held: CachedState, key: Key) => string;
}

/** The host's part of what a `StoreNode` does, and what people do with data that was set aside. */
export interface Portable extends Pick<StoreNode, "export" | "import"> {
  /** What is in a storage that was set aside, merged into what is here. What was deleted and forgotten since comes back. */
  importOld(storage: Storage): Promise<Imported>;
}

export function portableOf(deps: PortableDeps): Portable {
  return {
    export: () => exportHost(deps),
    import: (source) => importIntoHost(deps, source),
    importOld: (storage) => importOld(deps, storage),
  };
}

const page = { limit: 256, maxBytes: 1_048_576 };

function exportHost(deps: PortableDeps): AsyncGenerator<Uint8Array, void, undefined> {
  const { cluster, clock } = deps;
  const { forgettingMarks, secrets, cluster: parameters } = cluster.roster;
  // The marks of the beginning: what is forgotten while states are read counts as forgotten since.
  const head = {
    cluster: parameters.name,
    node: cluster.self,
    kind: "host",
    atMs: Math.max(0, Math.floor(clock.wallTime())),
    partitions: parameters.partitions,
    marks: encodeForgettingMarks(forgettingMarks),
    foundings: foundingsOf(ringName(secrets)),
  } as const;
  return exportStream(head, itemsOf(deps));
}

async function* itemsOf({ admission, replica, seal }: PortableDeps): AsyncGenerator<ExportItem> {
  for (let gte: Uint8Array | null = new Uint8Array(0); gte !== null;) {
    await admission.turn();
    const { rows, next, damaged, strays } = await replica.page({ gte, ...page });
    if (damaged) yield { kind: "damaged" };
    yield* strays.map(() => ({ kind: "damaged" as const }));
    for (const row of rows) {
      if ("corrupt" in row) yield { kind: "damaged" };
      else {
        const key = keyOfRow(row.key);
        const held = new CachedState(decodeVersioned(row.value), row.value);
        yield { kind: "state", key, state: row.value, contexts: [seal(held, key)] };
      }
    }
    gte = next;
  }
}

/** @throws StoreError `bad-request`, `closed` */
async function importIntoHost(deps: PortableDeps, source: AsyncIterable<Uint8Array>): Promise<ImportResult> {
  const run = new ImportRun(deps);
  for await (const item of readExport(source)) await run.take(item);
  return run.result;
}

class ImportRun {
  readonly #deps: PortableDeps;
  #marks: ForgettingMarks = new Map();
  /** The export is of it. */
  #ring: RingName = unnamedRing;
  #keys = 0;
  #outdated = 0;
  #failed = 0;
  #reason: string | undefined;

  constructor(deps: PortableDeps) {
    this.#deps = deps;
  }

  get result(): ImportResult {
    const counts = { keys: this.#keys, writes: 0, outdated: this.#outdated, failed: this.#failed };
    return this.#reason === undefined ? counts : { ...counts, reason: this.#reason };
  }

  async take(item: ImportItem): Promise<void> {
    if (item.kind === "head") this.#begin(item.head);
    else if (item.kind === "state") await this.#merge(item);
    else if (item.kind === "write") this.#fail(1, "unsent writes of an edge are that edge's to import");
    else this.#fail(item.damaged, "records that were damaged when they were exported");
  }

  #begin(head: ExportHead): void {
    const { name, partitions } = this.#deps.cluster.roster.cluster;
    checkHead(head, name);
    // An edge hears of no marks: its copies count as from before the first.
    if (head.kind === "edge") return;
    if (head.partitions !== partitions)
      throw new StoreError("bad-request", `this export is of a ring of other partitions`);
    try {
      this.#marks = decodeForgettingMarks(head.marks, partitions);
      this.#ring = ringOfFoundings(head.foundings);
    } catch (cause: unknown) {
      if (!(cause instanceof DecodeError)) throw cause;
      throw new StoreError("bad-request", `the head of this export cannot be read: ${cause.message}`, { cause });
    }
  }

  async #merge({ key, encoded }: ImportItem & { readonly kind: "state" }): Promise<void> {
    const { admission, cluster, consents, replica, tasks } = this.#deps;
    if (tasks.stopped) throw new StoreError("closed", `stopped after ${this.#keys} keys; what is imported stays`);
    await admission.turn();
    const { partition } = locate(key, cluster.ring.partitions);
    // From here on no new reap of the partition is consented to, until what is on its way has arrived.
    replica.stillness.hintGone(partition);
    const { forgettingMarks, secrets } = cluster.roster;
    const marks = forgettingMarks.get(partition) ?? [];
    const copy = { known: this.#marks.get(partition) ?? [], of: this.#ring };
    if (isForgottenSince(marks, copy, ringName(secrets))) {
      this.#outdated += 1;
      return;
    }
    if (consents.mayForget(partition, forgettingMarks)) {
      this.#fail(1, `what was deleted of the partition of ${key} is being forgotten: import again`);
      return;
    }
    try {
      await handToOwners(this.#deps, key, encoded);
      this.#keys += 1;
    } catch (error: unknown) {
      this.#fail(1, reasonOf(error));
    } finally {
      replica.stillness.hintGone(partition);
    }
  }

  #fail(count: number, reason: string): void {
    this.#failed += count;
    if (count > 0) this.#reason ??= reason;
  }
}
