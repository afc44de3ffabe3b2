/**
 * What a trial and a bench are. A trial asks a question whose answer is a figure beside a bar, and can fail;
 * a bench only measures. Either is one module that exports `trial` or `bench`.
 */

/** What a trial cannot do without; where it is missing, the trial is skipped by name. */
export type Need = "root" | "etcd" | "chromium" | "tmpfs";

export interface Context {
  /** Takes seconds: fewer rounds, smaller data. A missed bar of a timing is told but not counted; see `bars.ts`. */
  readonly short: boolean;
  /** An empty folder of its own, removed afterwards. */
  readonly folder: string;
  /** Aborted by Ctrl-C: end your processes and return. */
  readonly signal: AbortSignal;
  /** One line of progress. */
  readonly log: (line: string) => void;
}

export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** The same, measured in the same run by something known (another engine, a bare disk), so that machines can be compared. */
  readonly reference?: { readonly name: string; readonly value: number };
  /** What is asked for. A figure beyond its bar fails the trial, except a timing in a short run. */
  readonly bar?: { readonly atLeast: number } | { readonly atMost: number };
}

export interface TrialResult {
  readonly figures: readonly Figure[];
  /** What broke, one sentence each; empty when all held. */
  readonly failures: readonly string[];
}

export interface Trial {
  /** Lower case with dashes; `npm run trials -- NAME` runs it. */
  readonly name: string;
  /** The question, in one sentence. */
  readonly summary: string;
  readonly needs?: readonly Need[];
  /** What it throws is a failure too. */
  run(context: Context): Promise<TrialResult>;
}

export interface Table {
  readonly title: string;
  /** Each with the same columns; numbers are printed aligned. */
  readonly rows: readonly Readonly<Record<string, string | number>>[];
}

export interface Bench {
  readonly name: string;
  readonly summary: string;
  run(context: Context): Promise<readonly Table[]>;
}
