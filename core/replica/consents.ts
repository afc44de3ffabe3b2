/**
 * To which forgetting this node consented: the mark of each reap, of keys or of none, on the disk before anybody hears of it.
 * Being synced it also makes durable what the consent says of the disk: a hint that was deleted before cannot be back
 * after a power cut. And a mark that this node learns of without a consent tells that something of its partition was
 * forgotten without it: the data are an old copy (PROTOCOL 9, *Return*).
 *
 * A host that joins was not asked before, and an owner that has not heard of it may still forget. But what it will hold it
 * has from members that had consented by then, or have it no older than what is forgotten: so the one that takes it in tells
 * it, before it holds anything, what it has consented to (`tell`, `hear`). One that was removed, and does not know it, was
 * not asked either, and can tell nothing of that: what was copied from it is set aside.
 *
 * All this goes for marks of rings of which it was asked to be a part: of those in which the ring is that
 * this directory came into. Another ring, founded apart, had nobody to ask here; what it forgot was never here either.
 */
import { decodeUtf8, encodeUtf8 } from "lib0/string";
import { field, hex, message, repeated, varint } from "../bytes/codec.ts";
import type { PartitionIndex } from "../identity.ts";
import {
  type ForgettingMark,
  type ForgettingMarks,
  foundingBytes,
  foundingsMax,
  foundingsOf,
  includesRing,
  sharesFounding,
  ringName,
  type RingName,
  ringOfFoundings,
  standsFor,
  unnamedRing,
} from "../membership/forgetting-marks.ts";
import type { Roster } from "../membership/roster.ts";
import type { StorageOperation } from "../ports.ts";
import type { RecordStore } from "../storage/record-store.ts";

/** A mark may still be on its way when this node has consented to the next one, or to more that nobody could carry out. */
const consentsKept = 8;
/** Partitions of which a joiner is told: 1.3 MB at most. */
const toldMax = 16_384;

/** What marks are told apart by. */
export type MarkedRoster = Pick<Roster, "forgettingMarks" | "secrets">;

const ConsentRow = message("ConsentRow", { mark: field(1, varint), earlier: repeated(2, varint, consentsKept) });
const Told = message("ToldConsents", {
  consents: repeated(
    1,
    message("ToldConsent", { partition: field(1, varint), marks: repeated(2, varint, consentsKept) }),
    toldMax,
  ),
});
const HomeRow = message("HomeRow", { foundings: repeated(1, hex(foundingBytes), foundingsMax) });

const homeRow = encodeUtf8("home-ring");
const prefix = "reap-consent/";
/** The byte after "/". */
const prefixEnd = "reap-consent0";

export class Consents {
  readonly #records: RecordStore;
  /** As this node's own roster had them at its start: what it held then it held under these. */
  readonly #known: Map<PartitionIndex, readonly ForgettingMark[]>;
  /** The last ones, carried out or not, latest first. Marks are drawn, so that no two attempts have the same. */
  readonly #consented = new Map<PartitionIndex, readonly number[]>();
  /** The ring that this directory came into. One that is told its secrets only later is of none until `settle`. */
  #home: RingName;
  #isSettled = false;

  constructor(records: RecordStore, { forgettingMarks, secrets }: MarkedRoster) {
    this.#records = records;
    this.#known = new Map(forgettingMarks);
    this.#home = ringName(secrets);
  }

  async open(): Promise<void> {
    const [home] = await this.#records.getMany("meta", [homeRow]);
    this.#isSettled = home !== undefined && home !== "corrupt";
    if (home instanceof Uint8Array) this.#home = ringOfFoundings(HomeRow.decode(home).foundings);
    let gte: Uint8Array | null = encodeUtf8(prefix);
    while (gte !== null) {
      const page = await this.#records.page("meta", { gte, lt: encodeUtf8(prefixEnd), limit: 1_000 });
      for (const row of page.rows) {
        if ("corrupt" in row) continue; // its key, too, may be none
        const partition = Number(decodeUtf8(row.key).slice(prefix.length)) as PartitionIndex;
        const { mark, earlier } = ConsentRow.decode(row.value);
        this.#consented.set(partition, [mark, ...earlier]);
      }
      gte = page.next;
    }
  }

  /**
   * Call before others are heard, and when a joiner was told the secrets, before it can be asked for anything: from now on this
   * directory remembers into which ring it came, whichever rings that one meets. Durable when it resolves.
   */
  async settle({ secrets }: Pick<Roster, "secrets">): Promise<void> {
    if (this.#home === unnamedRing) this.#home = ringName(secrets);
    if (this.#isSettled || this.#home === unnamedRing) return;
    const value = HomeRow.encode({ foundings: foundingsOf(this.#home) });
    const heard = [...this.#consented].map(([partition, marks]) => puttingConsents(partition, marks));
    await this.#records.commit([{ kind: "put", ns: "meta", key: homeRow, value }, ...heard]);
    this.#isSettled = true;
  }

  /**
   * Durable when it resolves. Remembered at once: the next one, given while this one is on its way to the disk, is written with
   * it. A consent that nobody was told of, for the disk failed, does no harm.
   */
  async consent(partition: PartitionIndex, mark: number): Promise<void> {
    const earlier = (this.#consented.get(partition) ?? []).filter((each) => each !== mark).slice(0, consentsKept - 1);
    const marks = [mark, ...earlier];
    this.#consented.set(partition, marks);
    await this.#records.commit([puttingConsents(partition, marks)]);
  }

  /**
   * For a host that joins: the consents whose marks have not been heard of. Call once its record is known here: from then
   * on this node consents to nothing that the joiner is not asked about, too (`reap-answers.ts`).
   */
  tell({ forgettingMarks }: Pick<Roster, "forgettingMarks">): Uint8Array {
    const consents = [...this.#consented].map(([partition, marks]) => {
      const heard = this.#heard(partition, forgettingMarks);
      return { partition, marks: marks.filter((mark) => mark > heard) };
    });
    return Told.encode({ consents: consents.filter(({ marks }) => marks.length > 0).slice(0, toldMax) });
  }

  /**
   * What the member told that takes this node in; durable with `settle`. It counts only in a directory that came into no
   * ring yet, and so holds nothing.
   * @throws DecodeError
   */
  hear(told: Uint8Array): void {
    if (this.#home !== unnamedRing || this.#consented.size > 0) return;
    for (const { partition, marks } of Told.decode(told).consents) {
      if (marks.length > 0) this.#consented.set(partition as PartitionIndex, marks);
    }
  }

  /** It may be that something of the partition is being forgotten: under a mark that has yet to be heard of here. */
  mayForget(partition: PartitionIndex, marks: ForgettingMarks): boolean {
    return (this.#consented.get(partition)?.[0] ?? 0) > this.#heard(partition, marks);
  }

  /** The latest mark of those of which this node was asked. */
  #heard(partition: PartitionIndex, marks: ForgettingMarks): number {
    const own = (marks.get(partition) ?? []).filter(({ ring }) => ring === unnamedRing || this.#isAskedBy(ring));
    return Math.max(0, ...own.map(({ mark }) => mark));
  }

  /** Partitions whose mark was raised without this node; each is told once. */
  takeUncovered({ forgettingMarks, secrets }: MarkedRoster): PartitionIndex[] {
    const uncovered: PartitionIndex[] = [];
    // Marks that name no ring are of this one unless another one was met.
    const isAlone = includesRing(this.#home, ringName(secrets));
    for (const [partition, marks] of forgettingMarks) {
      const known = this.#known.get(partition) ?? [];
      if (known === marks) continue;
      const consented = this.#consented.get(partition) ?? [];
      const isUncovered = marks.some(
        (each) =>
          !known.some((before) => standsFor(before, each) || isSameUnnamed(before, each)) &&
          !consented.includes(each.mark) &&
          (each.ring === unnamedRing ? isAlone : this.#isAskedBy(each.ring)),
      );
      if (isUncovered) uncovered.push(partition);
      this.#known.set(partition, marks);
    }
    return uncovered;
  }

  #isAskedBy(ring: RingName): boolean {
    return sharesFounding(ring, this.#home);
  }
}

function puttingConsents(partition: PartitionIndex, [mark, ...earlier]: readonly number[]): StorageOperation {
  const key = encodeUtf8(`${prefix}${partition}`);
  return { kind: "put", ns: "meta", key, value: ConsentRow.encode({ mark: mark!, earlier }) };
}

/** What was heard when marks named no ring: the mark itself, or one before it. */
function isSameUnnamed(before: ForgettingMark, { mark }: ForgettingMark): boolean {
  return before.ring === unnamedRing && before.mark >= mark;
}
