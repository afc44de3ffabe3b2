/**
 * Load in a process of its own: closed loop with c operations in flight, or open loop at a rate. Reports latencies.
 * Writers behave like applications: each put carries the context of what was read or written last under its key.
 */
import { randomBytes } from "node:crypto";
import { Agent, request } from "node:http";
import { fileURLToPath } from "node:url";
import { spawn } from "node:child_process";
import { etcd3Client } from "./etcd3-client.ts";
import { etcdClient } from "./etcd-client.ts";
import { metric } from "./http-client.ts";
import type { KeyStore, PutHow } from "./key-store.ts";
import { nativeClient } from "./native-client.ts";

export interface LoadSpec {
  /** `etcd`: bare gRPC. `etcd3`: etcd through the npm package of that name, which is installed in `etcd3Folder`. */
  readonly protocol: "native" | "http" | "etcd" | "etcd3";
  readonly etcd3Folder?: string;
  /** Multiaddrs or base URLs, used in turn. */
  readonly targets: readonly string[];
  /** `mixed`: puts and gets by halves. `fill`: every key once, in order, however long it takes. */
  readonly operation: "put" | "get" | "mixed" | "fill";
  /** Of a fill through `native`: sessions, of which the first expires at `fromMs` since 1970, and each after it so much later. */
  readonly sessions?: { readonly fromMs: number; readonly everyMs: number };
  /** Operations in flight; an open loop has no bound. */
  readonly inFlight: number;
  /**
   * Open loop: operations begin at this rate whatever the answers do, and latency counts from when one was due. A fill begins
   * them no faster.
   */
  readonly perSecond?: number;
  readonly valueBytes: number;
  /** Keys to draw from, evenly. */
  readonly keys: number;
  readonly ms: number;
  readonly bucket?: string;
  /** Of `native`: a request that a host refuses before it begins goes to the next one. */
  readonly passesOn?: boolean;
  /** Hosts whose CPU time is to be measured beside the load's own. */
  readonly httpUrls?: readonly string[];
}

export interface LoadResult {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
  /** Of all but a fill, which may have a million: how long each took, longest first (`slowerThan`). */
  readonly tookMs: readonly number[];
  /** How long those took that failed, of what is measured. */
  readonly failedMs: readonly number[];
  readonly count: number;
  /** Also of what is not measured: reading contexts before puts, and warming up. */
  readonly errors: number;
  /** Of `native` where `passesOn`, and of `http`: how many a host refused, which had not begun them, and the next one got. */
  readonly passedOn?: number;
  /** When operations failed, ms since 1970, and how; the first 10,000 of them. */
  readonly failures: readonly Failure[];
  /** The longest time without any success, and when it ended, ms since 1970. */
  readonly gapMs: number;
  readonly gapEndedAtMs: number;
  /** CPU of the load process per operation. */
  readonly cpuUsPerOperation: number;
  /** CPU of all hosts of `httpUrls` together per operation. */
  readonly hostCpuUsPerOperation?: number;
}

export interface Failure {
  readonly atMs: number;
  readonly message: string;
}

type Operation = (key: string) => Promise<void>;

class Failures {
  readonly kept: Failure[] = [];
  count = 0;

  add(error: unknown): void {
    this.count += 1;
    const message = error instanceof Error ? error.message : String(error);
    if (this.kept.length < errorsKept) this.kept.push({ atMs: Date.now(), message });
  }
}

interface Measured {
  readonly latencies: number[];
  readonly failedMs: number[];
  readonly failures: Failures;
  lastSuccessMs: number;
  gapMs: number;
  gapEndedMs: number;
}

const warmUpMs = 500;
const errorsKept = 10_000;
/** Reading contexts before puts. */
const prepareInFlight = 64;
const prepareTriesMax = 50;
/** Of an error, characters. */
const toldMax = 300;

/** Runs a load in a child process, which ends early when `signal` aborts. `begun`: it is warm, and measures from now on. */
export function load(spec: LoadSpec, signal?: AbortSignal, begun: () => void = () => {}): Promise<LoadResult> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), JSON.stringify(spec)], {
    stdio: ["ignore", "pipe", "inherit", "ipc"],
    ...(signal === undefined ? {} : { signal }),
  });
  child.once("message", begun);
  let out = "";
  child.stdout!.setEncoding("utf8").on("data", (chunk: string) => (out += chunk));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code) => {
      if (code === 0) resolve(JSON.parse(out) as LoadResult);
      else reject(new Error(`the load process ended with ${code}: ${out.slice(-500)}`));
    });
  });
}

async function run(spec: LoadSpec): Promise<LoadResult> {
  const store = await storeOf(spec);
  const failures = new Failures();
  const operation = await operationOf(spec, store, failures);
  // Connections, caches, compiled code.
  if (spec.operation !== "fill") await loop({ ...spec, ms: Math.min(warmUpMs, spec.ms / 4) }, operation, failures);
  process.send?.("begun");
  const hostsBefore = await cpuSecondsOf(spec);
  const cpuBefore = process.cpuUsage();
  const startedMs = performance.now();
  const measured = await loop(spec, operation, failures);
  const seconds = (performance.now() - startedMs) / 1_000;
  const { user, system } = process.cpuUsage(cpuBefore);
  const hostSeconds = (await cpuSecondsOf(spec)) - hostsBefore;
  await store.stop();
  const { latencies, gapMs, gapEndedMs } = measured;
  latencies.sort((a, b) => a - b);
  const quantile = (q: number): number =>
    Math.round((latencies[Math.min(latencies.length - 1, Math.ceil(q * latencies.length) - 1)] ?? Infinity) * 1_000) /
    1_000;
  return {
    perSecond: Math.round(latencies.length / seconds),
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    p999Ms: quantile(0.999),
    maxMs: quantile(1),
    tookMs: spec.operation === "fill" ? [] : latencies.toReversed(),
    failedMs: measured.failedMs,
    count: latencies.length,
    errors: failures.count,
    ...(store.passedOn === undefined ? {} : { passedOn: store.passedOn }),
    failures: failures.kept,
    gapMs: Math.round(gapMs),
    gapEndedAtMs: performance.timeOrigin + gapEndedMs,
    cpuUsPerOperation: Math.round((user + system) / Math.max(1, latencies.length)),
    ...(spec.httpUrls === undefined
      ? {}
      : { hostCpuUsPerOperation: Math.round((hostSeconds * 1e6) / Math.max(1, latencies.length)) }),
  };
}

async function cpuSecondsOf({ httpUrls = [] }: LoadSpec): Promise<number> {
  const each = await Promise.all(httpUrls.map((url) => metric(url, "everwrite_process_cpu_seconds_total")));
  return each.reduce((sum, seconds) => sum + seconds, 0);
}

async function loop(spec: LoadSpec, operation: Operation, failures: Failures): Promise<Measured> {
  const startMs = performance.now();
  const endMs = startMs + spec.ms;
  const measured: Measured = {
    latencies: [],
    failedMs: [],
    failures,
    lastSuccessMs: startMs,
    gapMs: 0,
    gapEndedMs: startMs,
  };
  const bucket = spec.bucket ?? "bench";
  const drawn = (): string => `${bucket}/user${Math.floor(Math.random() * spec.keys)}`;
  const once = (sinceMs: number, key = drawn()): Promise<void> => measure(measured, sinceMs, () => operation(key));
  if (spec.operation === "fill") {
    let next = 0;
    await lanes(spec.inFlight, async () => {
      while (next < spec.keys) {
        const number = next++;
        if (spec.perSecond !== undefined) await until(startMs + (number * 1_000) / spec.perSecond);
        await once(performance.now(), `${bucket}/user${number}`);
      }
    });
  } else if (spec.perSecond === undefined) {
    await lanes(spec.inFlight, async () => {
      while (performance.now() < endMs) await once(performance.now());
    });
  } else {
    const total = Math.floor((spec.ms / 1_000) * spec.perSecond);
    const running: Promise<void>[] = [];
    for (let i = 0; i < total; i++) {
      const dueMs = startMs + (i * 1_000) / spec.perSecond;
      await until(dueMs);
      running.push(once(dueMs));
    }
    await Promise.all(running);
  }
  return measured;
}

async function until(dueMs: number): Promise<void> {
  const waitMs = dueMs - performance.now();
  if (waitMs > 1) await new Promise((resolve) => setTimeout(resolve, waitMs));
}

async function measure(measured: Measured, sinceMs: number, operate: () => Promise<void>): Promise<void> {
  try {
    await operate();
    const nowMs = performance.now();
    measured.latencies.push(nowMs - sinceMs);
    if (nowMs - measured.lastSuccessMs > measured.gapMs) {
      measured.gapMs = nowMs - measured.lastSuccessMs;
      measured.gapEndedMs = nowMs;
    }
    measured.lastSuccessMs = nowMs;
  } catch (error: unknown) {
    measured.failedMs.push(performance.now() - sinceMs);
    measured.failures.add(error);
    // A refusal may come in no time; without a pause a closed loop would only count refusals.
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function operationOf(spec: LoadSpec, store: KeyStore, failures: Failures): Promise<Operation> {
  const value = values(spec.valueBytes);
  const contexts = new Map<string, string | undefined>();
  const learn = async (key: string): Promise<void> => {
    const read = await answered(() => store.get(key), failures);
    contexts.set(key, read.context);
  };
  const get: Operation = async (key) => void (await store.get(key));
  const put: Operation = async (key) => {
    let context = contexts.get(key);
    // It was beside others after the last put: read what there is, as an application would.
    if (context === undefined && contexts.has(key)) context = (await store.get(key)).context;
    contexts.set(key, await store.put(key, value(), context));
  };
  if (spec.operation === "get") return get;
  if (spec.operation === "fill") {
    return async (key) => void (await store.put(key, value(), undefined, sessionOf(spec, key)));
  }
  // Without this each new load would write beside what the one before has left.
  if (spec.protocol === "native" || spec.protocol === "http") {
    let next = 0;
    await lanes(prepareInFlight, async () => {
      while (next < spec.keys) await learn(`${spec.bucket ?? "bench"}/user${next++}`);
    });
    for (const [key, context] of contexts) if (context === undefined) contexts.delete(key);
  }
  if (spec.operation === "put") return put;
  return (key) => (Math.random() < 0.5 ? put(key) : get(key));
}

/** By its number, with which a key of a fill ends. */
function sessionOf({ sessions }: LoadSpec, key: string): PutHow | undefined {
  if (sessions === undefined) return undefined;
  const endsMs = sessions.fromMs + Number(/\d+$/.exec(key)![0]) * sessions.everyMs;
  return { kind: "lww", ttlMs: Math.max(1, Math.round(endsMs - Date.now())) };
}

/** Repeated, for without a context the load would be another one; what failed counts all the same. */
async function answered<T>(operate: () => Promise<T>, failures: Failures): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await operate();
    } catch (error: unknown) {
      failures.add(error);
      if (tries === prepareTriesMax) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

function lanes(count: number, lane: () => Promise<void>): Promise<unknown> {
  return Promise.all(Array.from({ length: count }, lane));
}

/** Not compressible, and not made while the clock runs. */
function values(bytes: number): () => Uint8Array {
  const made = Array.from({ length: 64 }, () => Uint8Array.from(randomBytes(bytes)));
  return () => made[Math.floor(Math.random() * made.length)]!;
}

async function storeOf(spec: LoadSpec): Promise<KeyStore & { readonly passedOn?: number }> {
  const { protocol, targets, inFlight, perSecond, etcd3Folder = ".", passesOn = false } = spec;
  switch (protocol) {
    case "native":
      return nativeClient(targets, { passesOn });
    case "etcd":
      return etcdClient(targets);
    case "etcd3":
      return etcd3Client(targets, etcd3Folder);
    case "http":
      return leanHttp(targets, perSecond === undefined ? inFlight : 256);
  }
}

/**
 * HTTP without the cost of `fetch`, and with a balancer's habits: a host that fails is left out for a second, and a
 * request that found no connection, or a host that is not ready (README: it has not begun), goes to the next host.
 */
function leanHttp(urls: readonly string[], socketsMax: number): KeyStore & { readonly passedOn: number } {
  const agent = new Agent({ keepAlive: true, maxSockets: socketsMax });
  const outUntilMs = new Map<string, number>();
  let turn = 0;
  let passedOn = 0;
  const next = (): string => {
    for (let tries = 0; tries < urls.length; tries++) {
      const url = urls[turn++ % urls.length]!;
      if ((outUntilMs.get(url) ?? 0) < performance.now()) return url;
    }
    return urls[turn % urls.length]!;
  };
  const send = async (key: string, body: Uint8Array | undefined, context?: string): Promise<string | undefined> => {
    for (let tries = 1; ; tries++) {
      const host = next();
      try {
        return await sendTo(host, key, { body, context });
      } catch (error: unknown) {
        if (!(error instanceof Error) || !("code" in error)) throw error;
        outUntilMs.set(host, performance.now() + 1_000);
        const hasNotBegun = error.code === "ECONNREFUSED" || error.code === "not-ready";
        if (!hasNotBegun || tries === urls.length) throw error;
        if (error.code === "not-ready") passedOn += 1;
      }
    }
  };
  const sendTo = (
    host: string,
    key: string,
    { body, context }: { readonly body: Uint8Array | undefined; readonly context: string | undefined },
  ): Promise<string | undefined> =>
    new Promise((resolve, reject) => {
      const sent = request(
        new URL(`/kv/${key}`, host),
        {
          agent,
          method: body === undefined ? "GET" : "PUT",
          headers: context === undefined ? {} : { "everwrite-context": context },
        },
        (response) => {
          const status = response.statusCode ?? 0;
          const isError = status >= 400 && !(status === 404 && body === undefined);
          let told = "";
          if (isError) response.setEncoding("utf8").on("data", (chunk: string) => (told += chunk));
          else response.resume();
          response.on("error", reject);
          response.on("end", () => {
            if (isError) reject(refusalOf(`HTTP ${status} of ${host}: ${told.slice(0, toldMax)}`));
            else resolve(response.headers["everwrite-context"]?.toString());
          });
        },
      );
      sent.on("error", reject);
      sent.end(body);
    });
  return {
    get: async (key) => ({ bodies: [], context: await send(key, undefined) }),
    put: send,
    stop: async () => agent.destroy(),
    get passedOn() {
      return passedOn;
    },
  };
}

function refusalOf(text: string): Error {
  return Object.assign(new Error(text), text.includes('"not-ready"') ? { code: "not-ready" } : {});
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  run(JSON.parse(process.argv[2]!) as LoadSpec).then(
    (result) => {
      process.stdout.write(JSON.stringify(result));
      process.disconnect?.();
    },
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
      process.exit(1); // its connections would keep it for ever, and whoever waits for it
    },
  );
}
