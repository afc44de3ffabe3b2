/**
 * Where a host in a page keeps its data: in a database of its own, whose name stands in the store's database, beside the
 * page's identity. So data that turns out to be an old copy is set aside by a change of that name, whole, at once, and
 * without room; and who the page is stays. What is set aside is for whoever misses something: nobody takes it in again by
 * itself, so after a while it only takes room, and is deleted.
 * Invariant: a database is named in the store's database before there is anything in it, and until it is gone.
 */
import { encodeUtf8 } from "lib0/string";
import { bool, DecodeError, field, type Infer, message, repeated, text, varint } from "../bytes/codec.ts";
import { toHex } from "../bytes/hex.ts";
import { StoreError } from "../errors.ts";
import type { Clock, Random, Storage } from "../ports.ts";
import type { RecordStore } from "../storage/record-store.ts";

const asideMax = 1_000;
/** A month: who misses something has noticed, or has it from others. */
const asideKeptMs = 30 * 24 * 3_600_000;

const HostDataRow = message("HostData", {
  current: field(1, text(512)),
  /** Kept for whoever wants to look at them, the oldest first. */
  setAside: repeated(2, text(512), asideMax),
  /** When each of them was set aside, ms since 1970; in rows of older versions none: then they were when that is noticed. */
  asideMs: repeated(4, varint, asideMax),
  /** It was a member once: where its data is gone it founds no second cluster of that name. */
  wasMember: field(3, bool),
});
type Names = Infer<typeof HostDataRow>;
const nothing: Names = { current: "", setAside: [], asideMs: [], wasMember: false };
/** In `meta`. */
const hostDataRow = encodeUtf8("host-data");

export interface HostDataDeps {
  /** Of the store: the page's identity is in it. */
  readonly records: RecordStore;
  readonly clock: Pick<Clock, "wallTime">;
  readonly random: Random;
  /** Opens the database of that name, or creates it. */
  readonly open: (name: string) => Promise<Storage>;
  /** Resolves when it is gone: while somebody else has it open, not before he closes it. */
  readonly drop: (name: string) => Promise<void>;
  /** Names of databases that there are; undefined where the browser does not tell. */
  readonly present: () => Promise<readonly string[] | undefined>;
  /** Hears what is set aside, at the opening and after each change. */
  readonly tellAside: (aside: readonly Aside[]) => void;
}

/** Data that is kept, but not used. */
export interface Aside {
  readonly name: string;
  /** When it may be deleted, ms since 1970. */
  readonly untilMs: number;
}

export class HostData {
  readonly #deps: HostDataDeps;
  readonly #name: string;
  #names: Names;
  #storage: Storage | undefined;
  #changing: Promise<void> = Promise.resolve();
  #isToBeDated = false;
  /** Set aside, and nothing is open in its place yet: a disk may fail in between. */
  #unopened: string | undefined;

  private constructor(deps: HostDataDeps, name: string, names: Names) {
    this.#deps = deps;
    this.#name = name;
    this.#names = names;
  }

  /** `name`: of the store's database. @throws StorageError; StoreError `corrupt` */
  static async open(deps: HostDataDeps, name: string): Promise<HostData> {
    const row = await deps.records.get("meta", hostDataRow);
    const names = row === undefined ? nothing : decoded(row);
    const asideMs = names.setAside.map((_name, i) => names.asideMs[i] ?? deps.clock.wallTime());
    const data = new HostData(deps, name, { ...names, asideMs });
    data.#isToBeDated = names.asideMs.length < asideMs.length;
    if (row === undefined) await data.#beginAnew();
    else data.#storage = await deps.open(names.current);
    deps.tellAside(data.aside);
    return data;
  }

  /** Of the names of its databases, and of no other store's: before there were `data-` those of one cluster shared one. */
  get #prefix(): string {
    return `${this.#name}/data-`;
  }

  get storage(): Storage {
    return this.#storage!;
  }

  get setAsideNames(): readonly string[] {
    return this.#names.setAside;
  }

  /** The oldest first. */
  get aside(): readonly Aside[] {
    const { setAside, asideMs } = this.#names;
    return setAside.map((name, i) => ({ name, untilMs: asideMs[i]! + asideKeptMs }));
  }

  get wasMember(): boolean {
    return this.#names.wasMember;
  }

  async noteMember(): Promise<void> {
    if (!this.#names.wasMember) await this.#change((names) => ({ ...names, wasMember: true }));
  }

  /** As the port of a node of the same name wants it. */
  async setAside(): Promise<{ readonly storage: Storage; readonly as: string }> {
    if (this.#unopened === undefined) {
      const { current } = this.#names;
      await this.storage.close();
      await this.#change((names) => ({ ...this.#withAside(names, current), current: this.#newName() }));
      this.#unopened = current;
    }
    this.#storage = await this.#deps.open(this.#names.current);
    const as = this.#unopened;
    this.#unopened = undefined;
    return { storage: this.storage, as };
  }

  /** As the port of a node of the same name wants it. */
  async openAside(): Promise<{ readonly storage: Storage; readonly as: string }> {
    const as = this.#newName();
    await this.#change((names) => this.#withAside(names, as));
    return { storage: await this.#deps.open(as), as };
  }

  /** What has been aside for long enough is deleted, and what somebody has deleted is listed no more. @throws StorageError, StoreError; DOMException */
  async tidyAside(): Promise<void> {
    const { clock, drop, present } = this.#deps;
    const { aside } = this; // what is set aside meanwhile may have no database yet
    if (this.#isToBeDated) await this.#change((names) => names);
    const there = await present();
    for (const { name, untilMs } of aside) {
      if (untilMs <= clock.wallTime()) await drop(name);
      else if (there?.includes(name) ?? true) continue;
      await this.#change((names) => {
        const at = names.setAside.indexOf(name);
        return { ...names, setAside: names.setAside.toSpliced(at, 1), asideMs: names.asideMs.toSpliced(at, 1) };
      });
    }
  }

  async close(): Promise<void> {
    await this.#storage?.close();
  }

  /** Data that is there all the same is of a host that is nobody any more: its identity is gone. */
  async #beginAnew(): Promise<void> {
    const there = (await this.#deps.present()) ?? [];
    const orphans = there.filter((name) => name.startsWith(this.#prefix));
    await this.#begin((names) => orphans.reduce((known, name) => this.#withAside(known, name), names));
  }

  async #begin(change: (names: Names) => Names): Promise<void> {
    await this.#change((names) => ({ ...change(names), current: this.#newName() }));
    this.#storage = await this.#deps.open(this.#names.current);
  }

  /** One after the other: each is a change of the one before. */
  #change(change: (names: Names) => Names): Promise<void> {
    const changed = this.#changing.then(async () => {
      const names = change(this.#names);
      const value = HostDataRow.encode(names);
      await this.#deps.records.commit([{ kind: "put", ns: "meta", key: hostDataRow, value }]);
      this.#names = names;
      this.#deps.tellAside(this.aside);
    });
    this.#changing = changed.catch(() => undefined);
    return changed;
  }

  #withAside(names: Names, name: string): Names {
    const asideMs = [...names.asideMs, this.#deps.clock.wallTime()];
    return { ...names, setAside: [...names.setAside, name], asideMs };
  }

  #newName(): string {
    return this.#prefix + toHex(this.#deps.random.bytes(8));
  }
}

function decoded(row: Uint8Array): Names {
  try {
    return HostDataRow.decode(row);
  } catch (cause: unknown) {
    if (!(cause instanceof DecodeError)) throw cause;
    throw new StoreError("corrupt", "where this host keeps its data cannot be read", { cause });
  }
}
