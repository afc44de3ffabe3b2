/**
 * Where a host in a page keeps its data: in a database of its own, whose name stands in the store's database, beside the
 * page's identity. So data that turns out to be an old copy is set aside by a change of that name, whole, at once, and
 * without room; and who the page is stays.
 * Invariant: a database is named in the store's database before there is anything in it.
 */
import { encodeUtf8 } from "lib0/string";
import { bool, DecodeError, field, type Infer, message, repeated, text } from "../bytes/codec.ts";
import { toHex } from "../bytes/hex.ts";
import { StoreError } from "../errors.ts";
import type { Random, Storage } from "../ports.ts";
import type { RecordStore } from "../storage/record-store.ts";

const HostDataRow = message("HostData", {
  current: field(1, text(512)),
  /** Kept for whoever wants to look at them, the oldest first. */
  setAside: repeated(2, text(512), 1_000),
  /** It was a member once: where its data is gone it founds no second cluster of that name. */
  wasMember: field(3, bool),
});
type Names = Infer<typeof HostDataRow>;
/** In `meta`. */
const hostDataRow = encodeUtf8("host-data");

export interface HostDataDeps {
  /** Of the store: the page's identity is in it. */
  readonly records: RecordStore;
  readonly random: Random;
  /** Opens the database of that name, or creates it. */
  readonly open: (name: string) => Promise<Storage>;
}

export class HostData {
  readonly #deps: HostDataDeps;
  readonly #name: string;
  #names: Names;
  #storage: Storage | undefined;

  private constructor(deps: HostDataDeps, name: string, names: Names) {
    this.#deps = deps;
    this.#name = name;
    this.#names = names;
  }

  /** `name`: of the store. @throws StorageError; StoreError `corrupt` */
  static async open(deps: HostDataDeps, name: string): Promise<HostData> {
    const row = await deps.records.get("meta", hostDataRow);
    const data = new HostData(deps, name, { current: "", setAside: [], wasMember: false });
    if (row === undefined) await data.#begin({ wasMember: false, setAside: [] });
    else {
      data.#names = decoded(row);
      data.#storage = await deps.open(data.#names.current);
    }
    return data;
  }

  get storage(): Storage {
    return this.#storage!;
  }

  get setAsideNames(): readonly string[] {
    return this.#names.setAside;
  }

  get wasMember(): boolean {
    return this.#names.wasMember;
  }

  async noteMember(): Promise<void> {
    if (!this.#names.wasMember) await this.#save({ ...this.#names, wasMember: true });
  }

  /** As the port of a node of the same name wants it. */
  async setAside(): Promise<{ readonly storage: Storage; readonly as: string }> {
    const { current, setAside, wasMember } = this.#names;
    await this.storage.close();
    await this.#begin({ wasMember, setAside: [...setAside, current] });
    return { storage: this.storage, as: current };
  }

  /** As the port of a node of the same name wants it. */
  async openAside(): Promise<{ readonly storage: Storage; readonly as: string }> {
    const as = this.#newName();
    await this.#save({ ...this.#names, setAside: [...this.#names.setAside, as] });
    return { storage: await this.#deps.open(as), as };
  }

  async close(): Promise<void> {
    await this.#storage?.close();
  }

  async #begin(names: Omit<Names, "current">): Promise<void> {
    await this.#save({ ...names, current: this.#newName() });
    this.#storage = await this.#deps.open(this.#names.current);
  }

  async #save(names: Names): Promise<void> {
    await this.#deps.records.commit([{ kind: "put", ns: "meta", key: hostDataRow, value: HostDataRow.encode(names) }]);
    this.#names = names;
  }

  #newName(): string {
    return `${this.#name}/host-${toHex(this.#deps.random.bytes(8))}`;
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
