/**
 * The marks under which this data directory ran, to notice that it is an old copy (PROTOCOL 9, *Restored old copy*).
 * Invariant: a mark is on the disk before anybody hears of it; so a mark of this host that peers know and its directory
 * does not was drawn by a later run of the directory that this one was copied from, or by another process with its key.
 */
import { encodeUtf8 } from "lib0/string";
import { asciiText } from "../bytes/ascii.ts";
import { field, message, varint } from "../bytes/codec.ts";
import { toHex } from "../bytes/hex.ts";
import type { MemberStatement } from "../membership/member.ts";
import type { Random, StorageOperation } from "../ports.ts";
import type { RecordStore } from "../storage/record-store.ts";

/** Life and incarnation. */
type Version = Pick<MemberStatement, "life" | "incarnation">;

export interface MarksDeps {
  readonly records: RecordStore;
  readonly random: Random;
}

/** Published with each record, so that who missed a few runs need not ask. */
const publishedMax = 8;
const prefix = encodeUtf8("mark ");
const afterPrefix = encodeUtf8("mark!");
const birthRow = encodeUtf8("birth");
const isMark = /^[0-9a-f]{32}$/;
const MarkRow = message("Mark", { index: field(1, varint) });
const BirthRow = message("Birth", { life: field(1, varint), incarnation: field(2, varint) });

export class Marks {
  readonly #records: RecordStore;
  readonly #random: Random;
  /** In the order in which they were drawn or heard. */
  readonly #known: string[];
  #birth: Version;
  #isNew = false;

  /** Of a directory that never ran; see `load`. */
  constructor(deps: MarksDeps, known: readonly string[] = [], birth: Version = { life: 0, incarnation: 0 }) {
    this.#records = deps.records;
    this.#random = deps.random;
    this.#known = [...known];
    this.#birth = birth;
  }

  /** Those of a directory. A damaged row may still name its mark; or one that nobody drew, or none: then the directory lacks it. */
  static async load(deps: MarksDeps): Promise<Marks> {
    const found: { mark: string; index: number }[] = [];
    for (let gte: Uint8Array | null = prefix; gte !== null;) {
      const page = await deps.records.page("meta", { gte, lt: afterPrefix, limit: 10_000 });
      for (const row of page.rows) {
        const index = "corrupt" in row ? 0 : MarkRow.decode(row.value).index;
        const mark = asciiText(row.key, prefix.length, row.key.length);
        if (isMark.test(mark)) found.push({ mark, index });
      }
      gte = page.next;
    }
    const birth = await deps.records.get("meta", birthRow);
    const known = found.toSorted((a, b) => a.index - b.index).map(({ mark }) => mark);
    return birth === undefined ? new Marks(deps, known) : new Marks(deps, known, BirthRow.decode(birth));
  }

  /** The directory began in this run, so it is no copy of anything. */
  get isNew(): boolean {
    return this.#isNew;
  }

  /** What is known of this host from before that version was known to somebody else. */
  async bear({ life, incarnation }: Version): Promise<void> {
    this.#isNew = true;
    this.#birth = { life, incarnation };
    const value = BirthRow.encode(this.#birth);
    await this.#records.commit([{ kind: "put", ns: "meta", key: birthRow, value }]);
  }

  /** A new one, durable when it resolves. */
  async draw(): Promise<string> {
    const mark = toHex(this.#random.bytes(16));
    await this.note([mark]);
    return mark;
  }

  /** From now on these are known; durable when it resolves. */
  async note(marks: readonly string[]): Promise<void> {
    const operations = marks.map((mark, i): StorageOperation => {
      const value = MarkRow.encode({ index: this.#known.length + i });
      return { kind: "put", ns: "meta", key: encodeUtf8(`mark ${mark}`), value };
    });
    await this.#records.commit(operations);
    this.#known.push(...marks);
  }

  /** Whether a record of this host was written by a run that this directory can know nothing of. */
  isStrange({ life, incarnation, mark }: MemberStatement): boolean {
    const isBefore = life < this.#birth.life || (life === this.#birth.life && incarnation < this.#birth.incarnation);
    return !isBefore && !this.#known.includes(mark);
  }

  /** To publish beside the present one: the latest few. */
  get latest(): readonly string[] {
    return this.#known.slice(-publishedMax).toReversed();
  }
}
