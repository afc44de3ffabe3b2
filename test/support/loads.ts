/** The same load again and again, while something else happens. */
import type { Context } from "../tools/trial.ts";
import { load, type LoadResult, type LoadSpec } from "./load.ts";

/** Loads in a row, until `done` is settled and at least `least` of them. */
export async function loadsUntil(
  { signal, log }: Context,
  spec: LoadSpec,
  done: Promise<unknown>,
  least: number,
): Promise<LoadResult[]> {
  const ended = new AbortController();
  const note = (): void => ended.abort();
  done.then(note, note);
  const results: LoadResult[] = [];
  while ((!ended.signal.aborted || results.length < least) && !signal.aborted) {
    const result = await load(spec, signal);
    log(`clients: p50 ${result.p50Ms} ms, p99 ${result.p99Ms} ms`);
    results.push(result);
  }
  return results;
}
