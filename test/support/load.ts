/**
 * Load in a process of its own: closed loop with c operations in flight, or open loop at a rate. Reports latencies.
 */
import { randomBytes } from "node:crypto";
import { Agent, request } from "node:http";
import { fileURLToPath } from "node:url";
import { spawn } from "node:child_process";
import { nativeClient } from "./native-client.ts";

export interface LoadSpec {
  readonly protocol: "native" | "http";
  /** Multiaddrs or base URLs, used in turn. */
  readonly targets: readonly string[];
  readonly operation: "put" | "get";
  /** Operations in flight; with `perSecond` their upper bound. */
  readonly inFlight: number;
  /** Open loop: operations begin at this rate whatever the answers do, and latency counts from when one was due. */
  readonly perSecond?: number;
  readonly valueBytes: number;
  readonly keys: number;
  readonly ms: number;
  /** Puts carry no context, so they are minted over each other only if this is set. */
  readonly bucket?: string;
}

export interface LoadResult {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
  readonly count: number;
  readonly errors: number;
  readonly firstError?: string;
  /** CPU of the load process per operation. */
  readonly cpuUsPerOperation: number;
}

type Operation = (key: string) => Promise<void>;

/** Runs a load in a child process. */
export function load(spec: LoadSpec): Promise<LoadResult> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), JSON.stringify(spec)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let out = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (out += chunk));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code) => {
      if (code === 0) resolve(JSON.parse(out) as LoadResult);
      else reject(new Error(`the load process ended with ${code}: ${out.slice(-500)}`));
    });
  });
}

async function run(spec: LoadSpec): Promise<LoadResult> {
  const { operation, stop } = spec.protocol === "native" ? await overNative(spec) : overHttp(spec);
  await loop(spec, operation, Math.min(500, spec.ms / 4)); // warm-up: connections, caches, compiled code
  const cpuBefore = process.cpuUsage();
  const startedMs = performance.now();
  const { latencies, errors, firstError } = await loop(spec, operation, spec.ms);
  const seconds = (performance.now() - startedMs) / 1_000;
  const { user, system } = process.cpuUsage(cpuBefore);
  await stop();
  latencies.sort((a, b) => a - b);
  const quantile = (q: number): number =>
    Math.round((latencies[Math.min(latencies.length - 1, Math.ceil(q * latencies.length) - 1)] ?? 0) * 1_000) / 1_000;
  return {
    perSecond: Math.round(latencies.length / seconds),
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    p999Ms: quantile(0.999),
    maxMs: quantile(1),
    count: latencies.length,
    errors,
    ...(firstError === undefined ? {} : { firstError }),
    cpuUsPerOperation: Math.round((user + system) / Math.max(1, latencies.length)),
  };
}

async function loop(
  spec: LoadSpec,
  operation: Operation,
  ms: number,
): Promise<{ latencies: number[]; errors: number; firstError?: string }> {
  const latencies: number[] = [];
  let errors = 0;
  let firstError: string | undefined;
  const once = async (sinceMs: number): Promise<void> => {
    try {
      await operation(`${spec.bucket ?? "bench"}/user${Math.floor(Math.random() * spec.keys)}`);
      latencies.push(performance.now() - sinceMs);
    } catch (error: unknown) {
      errors += 1;
      firstError ??= error instanceof Error ? error.message : String(error);
    }
  };
  const startMs = performance.now();
  const endMs = startMs + ms;
  if (spec.perSecond === undefined) {
    const worker = async (): Promise<void> => {
      while (performance.now() < endMs) await once(performance.now());
    };
    await Promise.all(Array.from({ length: spec.inFlight }, worker));
  } else {
    const total = Math.floor((ms / 1_000) * spec.perSecond);
    const running: Promise<void>[] = [];
    for (let i = 0; i < total; i++) {
      const dueMs = startMs + (i * 1_000) / spec.perSecond;
      const waitMs = dueMs - performance.now();
      if (waitMs > 1) await new Promise((resolve) => setTimeout(resolve, waitMs));
      running.push(once(dueMs));
    }
    await Promise.all(running);
  }
  return { latencies, errors, ...(firstError === undefined ? {} : { firstError }) };
}

/** Not compressible, and not made while the clock runs. */
function values(bytes: number): () => Uint8Array {
  const made = Array.from({ length: 64 }, () => Uint8Array.from(randomBytes(bytes)));
  return () => made[Math.floor(Math.random() * made.length)]!;
}

async function overNative(spec: LoadSpec): Promise<{ operation: Operation; stop: () => Promise<void> }> {
  const client = await nativeClient(spec.targets);
  const value = values(spec.valueBytes);
  // Read-modify-write as an application does it: each key's last context goes with the next put.
  const contexts = new Map<string, string | undefined>();
  const put: Operation = async (key) => {
    const known = contexts.get(key);
    const context =
      known ?? (contexts.has(key) ? ((await client.get(key)) as { context?: string }).context : undefined);
    const answer = (await client.put(key, value(), context === undefined ? {} : { context })) as { context?: string };
    contexts.set(key, answer.context);
  };
  const get: Operation = async (key) => void (await client.get(key));
  return { operation: spec.operation === "put" ? put : get, stop: () => client.stop() };
}

function overHttp(spec: LoadSpec): { operation: Operation; stop: () => Promise<void> } {
  const agent = new Agent({ keepAlive: true, maxSockets: spec.inFlight });
  const value = values(spec.valueBytes);
  const contexts = new Map<string, string>();
  let turn = 0;
  const operation: Operation = (key) =>
    new Promise((resolve, reject) => {
      const context = contexts.get(key);
      const isPut = spec.operation === "put";
      const url = new URL(`/kv/${key}`, spec.targets[turn++ % spec.targets.length]);
      const sent = request(
        url,
        {
          agent,
          method: isPut ? "PUT" : "GET",
          headers: isPut && context !== undefined ? { "everwrite-context": context } : {},
        },
        (response) => {
          response.resume();
          response.on("end", () => {
            const status = response.statusCode ?? 0;
            const next = response.headers["everwrite-context"];
            if (isPut && typeof next === "string") contexts.set(key, next);
            else contexts.delete(key);
            if (status < 400 || (status === 404 && !isPut)) resolve();
            else reject(new Error(`HTTP ${status}`));
          });
          response.on("error", reject);
        },
      );
      sent.on("error", reject);
      sent.end(isPut ? value() : undefined);
    });
  return { operation, stop: async () => agent.destroy() };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  run(JSON.parse(process.argv[2]!) as LoadSpec).then(
    (result) => process.stdout.write(JSON.stringify(result)),
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
      process.exitCode = 1;
    },
  );
}
