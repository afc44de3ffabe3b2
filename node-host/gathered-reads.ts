/**
 * Reads of single rows, gathered: those that are asked for before the event loop goes on share trips to LevelDB. Each trip
 * takes in the event loop, however few its rows, the lock under which LevelDB turns its tables over (measured on a busy
 * machine, with a host that forgets a thousand keys a second and reads three rows of each: a third of its processor time).
 * Invariants: a read sees what was written before it was asked for; a row that cannot be read fails no other reader.
 */
type Row = Uint8Array | undefined;

interface Reader {
  readonly key: Uint8Array;
  readonly resolve: (row: Row) => void;
  readonly reject: (reason: unknown) => void;
}

/** A trip is one thread's work, row after row. */
const rowsPerTrip = 16;

export class GatheredReads {
  readonly #read: (keys: Uint8Array[]) => Promise<Row[]>;
  #waiting: Reader[] = [];

  /** `read`: one trip; rejects when one of the rows cannot be read. */
  constructor(read: (keys: Uint8Array[]) => Promise<Row[]>) {
    this.#read = read;
  }

  get(key: Uint8Array): Promise<Row> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ key, resolve, reject });
      if (this.#waiting.length === 1) queueMicrotask(() => this.#go());
      else if (this.#waiting.length === rowsPerTrip) this.#go();
    });
  }

  #go(): void {
    const readers = this.#waiting;
    this.#waiting = [];
    if (readers.length > 0) void this.#trip(readers);
  }

  async #trip(readers: readonly Reader[]): Promise<void> {
    try {
      const rows = await this.#read(readers.map(({ key }) => key));
      for (const [i, { resolve }] of readers.entries()) resolve(rows[i]);
    } catch (error: unknown) {
      // One of them, perhaps: each for itself.
      if (readers.length > 1) for (const reader of readers) void this.#trip([reader]);
      else readers[0]!.reject(error);
    }
  }
}
