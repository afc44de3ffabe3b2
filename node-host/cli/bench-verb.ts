/**
 * bench: load from many clients against one host, and the latencies they saw.
 * Each client writes keys of its own and hands contexts on, so that the store is measured and not its siblings.
 */
import { randomBytes } from "node:crypto";
import type { Command } from "commander";
import type { TextValue } from "../text-values.ts";
import { integerUpTo, quorumSpec } from "../text-values.ts";
import { errorOf, type HttpClient } from "./client.ts";
import { type Io, table } from "./terminal.ts";
import { checkedOption, clientVerb, type CommonFlags, print, withClient } from "./verb.ts";

interface BenchFlags extends CommonFlags {
  readonly clients: number;
  readonly seconds: number;
  readonly valueBytes: number;
  readonly reads: number;
  readonly keys: number;
  readonly r?: number | string;
  readonly w?: number | string;
}

const fraction: TextValue<number> = {
  expects: "a share from 0 to 1",
  parse: (text) => (/^(0|1|0?\.[0-9]+|1\.0+)$/.test(text) ? Number(text) : undefined),
};

export function addBenchVerb(program: Command, io: Io): void {
  clientVerb(program, "bench", {
    about: "put a host under load and print throughput and latencies; writes to the bucket `bench`",
    examples: ["bench --clients 64 --seconds 10 --value-bytes 1024 --reads 0.5"],
  })
    .addOption(checkedOption("--clients <c>", "requests under way at once", integerUpTo(10_000)).default(32))
    .addOption(checkedOption("--seconds <s>", "how long", integerUpTo(86_400)).default(10))
    .addOption(checkedOption("--value-bytes <b>", "size of a value", integerUpTo(1_048_576)).default(256))
    .addOption(checkedOption("--reads <share>", "share of reads among the requests", fraction).default(0.5))
    .addOption(checkedOption("--keys <n>", "keys of each client", integerUpTo(1_000_000)).default(100))
    .addOption(checkedOption("--r <r>", "copies that must answer a read", quorumSpec))
    .addOption(checkedOption("--w <w>", "copies that must be durable before a write is acknowledged", quorumSpec))
    .action((flags: BenchFlags) => withClient(io, flags, (client) => runBench(io, client, flags), flags.clients));
}

interface Tally {
  readonly readMs: number[];
  readonly writeMs: number[];
  readonly errors: Map<string, number>;
}

async function runBench(io: Io, client: HttpClient, flags: BenchFlags): Promise<void> {
  await client.json("GET", "/healthz"); // an unreachable host is one clear error rather than a count of them
  const tally: Tally = { readMs: [], writeMs: [], errors: new Map() };
  const startMs = performance.now();
  const endMs = startMs + flags.seconds * 1_000;
  await Promise.all(
    Array.from({ length: flags.clients }, (_, index) => load(client, flags, `c${index}`, endMs, tally)),
  );
  const seconds = (performance.now() - startMs) / 1_000;
  const report = {
    seconds,
    reads: summary(tally.readMs, seconds),
    writes: summary(tally.writeMs, seconds),
    errors: Object.fromEntries(tally.errors),
  };
  print(io, flags, report, () => reportText(flags, report));
}

async function load(client: HttpClient, flags: BenchFlags, name: string, endMs: number, tally: Tally): Promise<void> {
  const contexts = new Map<string, string>();
  const body = randomBytes(flags.valueBytes);
  const { r, w } = flags;
  while (performance.now() < endMs) {
    const path = `/kv/bench/${name}-${Math.floor(Math.random() * flags.keys)}`;
    const context = contexts.get(path);
    // A key of an earlier run, or of a failed write, is read before it is written: its context is not known.
    const isRead = context === undefined || Math.random() < flags.reads;
    const begunMs = performance.now();
    try {
      const headers = context && !isRead ? { "everwrite-context": context } : {};
      const answer = isRead
        ? await client.call("GET", path, { query: { r } })
        : await client.call("PUT", path, { query: { w }, headers, body });
      const isAnswered = answer.status < 300 || (isRead && [300, 404].includes(answer.status));
      if (!isAnswered) throw errorOf(answer);
      (isRead ? tally.readMs : tally.writeMs).push(performance.now() - begunMs);
      const next = answer.headers["everwrite-context"]?.toString();
      // A read without a context: never written. A write without one: others are live beside it, so read first.
      if (next === undefined && !isRead) contexts.delete(path);
      else contexts.set(path, next ?? "");
    } catch (error) {
      contexts.delete(path);
      const code = error instanceof Error && "code" in error ? String(error.code) : (error as Error).message;
      tally.errors.set(code, (tally.errors.get(code) ?? 0) + 1);
    }
  }
}

interface Summary {
  readonly count: number;
  readonly perSecond: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly p999Ms: number | null;
  readonly maxMs: number | null;
}

/** Percentiles by nearest rank. */
export function summary(latenciesMs: readonly number[], seconds: number): Summary {
  const sorted = Float64Array.from(latenciesMs).toSorted();
  const percentile = (share: number): number | null => sorted[Math.ceil(sorted.length * share) - 1] ?? null;
  return {
    count: sorted.length,
    perSecond: sorted.length / seconds,
    p50Ms: percentile(0.5),
    p99Ms: percentile(0.99),
    p999Ms: percentile(0.999),
    maxMs: percentile(1),
  };
}

function reportText(
  flags: BenchFlags,
  report: { reads: Summary; writes: Summary; errors: Record<string, number> },
): string {
  const row = (name: string, { count, perSecond, p50Ms, p99Ms, p999Ms, maxMs }: Summary): (string | number)[] => [
    name,
    count,
    Math.round(perSecond),
    ms(p50Ms),
    ms(p99Ms),
    ms(p999Ms),
    ms(maxMs),
  ];
  const errors = Object.entries(report.errors).map(([code, count]) => `${count} x ${code}`);
  return [
    `${flags.clients} clients, ${flags.valueBytes} B values, ${flags.seconds} s`,
    table([
      ["", "REQUESTS", "PER SECOND", "P50 MS", "P99 MS", "P99.9 MS", "MAX MS"],
      row("reads", report.reads),
      row("writes", report.writes),
    ]),
    `errors: ${errors.length === 0 ? "none" : errors.join(", ")}`,
  ].join("\n");
}

function ms(value: number | null): string {
  return value === null ? "-" : value.toFixed(2);
}
