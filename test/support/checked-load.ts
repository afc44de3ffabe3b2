/**
 * Writers that never stop, and whose every acknowledged write is accounted for afterwards (see `ledger.ts`).
 */
import { eventually } from "./eventually.ts";
import type { KeyStore } from "./key-store.ts";
import { CorruptValue, type Ledger } from "./ledger.ts";

export interface CheckedLoad {
  readonly ledger: Ledger;
  readonly writers: number;
  readonly keys: number;
}

/** A failed request may be refused in no time; without a pause a writer would only count refusals. */
const pauseMs = 20;
/** How a writer comes by its context: from its last write, from a read, or not at all. */
const blindShare = 0.02;
const readShare = 0.5;
const readers = 16;

/** What a writer knows of a key: the context of its next write, and the values that it has seen. */
interface Known {
  readonly context: string | undefined;
  readonly seen: readonly number[];
}

/** What became of its requests, reads among them. */
export interface CheckedLoadResult {
  answered: number;
  failed: number;
}

/** Writes through `store` until `signal` aborts; failed requests are counted, corrupt answers end it. */
export async function writeUntil(signal: AbortSignal, store: KeyStore, load: CheckedLoad): Promise<CheckedLoadResult> {
  const { ledger, keys, writers } = load;
  const result: CheckedLoadResult = { answered: 0, failed: 0 };
  const counted = <T>(request: Promise<T>): Promise<T> =>
    request.then(
      (answer) => {
        result.answered += 1;
        return answer;
      },
      (error: unknown) => {
        result.failed += 1;
        throw error;
      },
    );
  const counting: KeyStore = {
    ...store,
    get: (key) => counted(store.get(key)),
    put: (key, body, context) => counted(store.put(key, body, context)),
  };
  const writer = async (): Promise<void> => {
    const written = new Map<string, Known>();
    while (!signal.aborted) {
      const key = `${ledger.bucket}/key${Math.floor(Math.random() * keys)}`;
      try {
        const known = await knownOf(key, { store: counting, ledger, written });
        const { number, body } = ledger.begin(key, known.seen);
        written.delete(key);
        const context = await counting.put(key, body, known.context);
        ledger.acknowledge(number);
        if (context !== undefined) written.set(key, { context, seen: [number] });
      } catch (error: unknown) {
        if (error instanceof CorruptValue) throw error;
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
  };
  await Promise.all(Array.from({ length: writers }, writer));
  return result;
}

async function knownOf(
  key: string,
  from: { readonly store: KeyStore; readonly ledger: Ledger; readonly written: ReadonlyMap<string, Known> },
): Promise<Known> {
  const chance = Math.random();
  if (chance < blindShare) return { context: undefined, seen: [] };
  const own = from.written.get(key);
  if (own !== undefined && chance > readShare) return own;
  const { bodies, context } = await from.store.get(key);
  return { context, seen: from.ledger.numbersOf(key, bodies) };
}

/** Reads every key and judges it. A read that fails is repeated: only an answer can be wrong. */
export async function complaintsOf(ledger: Ledger, store: KeyStore): Promise<string[]> {
  const complaints: string[] = [];
  const open = [...ledger.keys];
  const reader = async (): Promise<void> => {
    for (let key = open.pop(); key !== undefined; key = open.pop()) {
      const bodies = await bodiesOf(key, store);
      try {
        complaints.push(...ledger.complaints(key, ledger.numbersOf(key, bodies)));
      } catch (error: unknown) {
        if (!(error instanceof CorruptValue)) throw error;
        complaints.push(error.message);
      }
    }
  };
  await Promise.all(Array.from({ length: readers }, reader));
  return complaints;
}

async function bodiesOf(key: string, store: KeyStore): Promise<readonly Uint8Array[]> {
  let bodies: readonly Uint8Array[] = [];
  await eventually(async () => {
    const answer = await store.get(key).catch(() => undefined);
    bodies = answer?.bodies ?? [];
    return answer !== undefined;
  }, `an answer for ${key}`);
  return bodies;
}
