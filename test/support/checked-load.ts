/**
 * Writers that never stop, and whose every acknowledged write is accounted for afterwards (see `ledger.ts`).
 */
import { eventually } from "./eventually.ts";
import type { KeyStore } from "./key-store.ts";
import type { Ledger } from "./ledger.ts";

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

/** Writes through `store` until `signal` aborts; failed requests are expected, corrupt answers are not. */
export async function writeUntil(signal: AbortSignal, store: KeyStore, load: CheckedLoad): Promise<void> {
  const { ledger, keys, writers } = load;
  let corrupt: Error | undefined;
  const writer = async (): Promise<void> => {
    const known = new Map<string, { readonly context: string; readonly seen: readonly number[] }>();
    while (!signal.aborted && corrupt === undefined) {
      const key = `${ledger.bucket}/key${Math.floor(Math.random() * keys)}`;
      const chance = Math.random();
      try {
        let base = known.get(key);
        if (chance < blindShare) base = undefined;
        else if (base === undefined || chance < readShare) {
          const { bodies, context } = await store.get(key);
          try {
            base = context === undefined ? undefined : { context, seen: ledger.numbersOf(key, bodies) };
          } catch (error: unknown) {
            corrupt = error as Error;
            return;
          }
        }
        const { number, body } = ledger.begin(key, base?.seen ?? []);
        known.delete(key);
        const context = await store.put(key, body, base?.context);
        ledger.acknowledge(number);
        if (context !== undefined) known.set(key, { context, seen: [number] });
      } catch {
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
  };
  await Promise.all(Array.from({ length: writers }, writer));
  if (corrupt !== undefined) throw corrupt;
}

/** Reads every key and judges it. A read that fails is repeated: only an answer can be wrong. */
export async function complaintsOf(ledger: Ledger, store: KeyStore): Promise<string[]> {
  const complaints: string[] = [];
  const open = [...ledger.keys];
  const reader = async (): Promise<void> => {
    for (let key = open.pop(); key !== undefined; key = open.pop()) {
      const wanted = key;
      let bodies: readonly Uint8Array[] = [];
      await eventually(async () => {
        const answer = await store.get(wanted).catch(() => undefined);
        bodies = answer?.bodies ?? [];
        return answer !== undefined;
      }, `an answer for ${wanted}`);
      try {
        complaints.push(...ledger.complaints(wanted, ledger.numbersOf(wanted, bodies)));
      } catch (error: unknown) {
        complaints.push((error as Error).message);
      }
    }
  };
  await Promise.all(Array.from({ length: 16 }, reader));
  return complaints;
}
