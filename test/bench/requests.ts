/**
 * Requests per second of three hosts, each a process of its own, from a client in another; and what they cost in CPU.
 * In the same run, what this machine can do at best: echoes over one socket, appends with fdatasync.
 */
import { once } from "node:events";
import { open } from "node:fs/promises";
import { connect, createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { HostProcesses } from "../support/host-processes.ts";
import { load, type LoadSpec } from "../support/load.ts";
import type { Bench, Context, Table } from "../tools/trial.ts";

const keys = 10_000;
const sizes = [200, 1_024];
const concurrencies = [1, 16, 64, 256];

export const bench: Bench = {
  name: "requests",
  summary: "puts and gets per second of three hosts at N=3, R=2, W=2, over the native protocol and over HTTP",
  async run(context) {
    const references = await referencesOf(context);
    await using hosts = await HostProcesses.of(3, context.folder);
    const tables: Table[] = [references];
    for (const protocol of ["native", "http"] as const) tables.push(await tableOf(context, hosts, protocol));
    return tables;
  },
};

async function tableOf(context: Context, hosts: HostProcesses, protocol: "native" | "http"): Promise<Table> {
  const { short, signal } = context;
  const rows: Table["rows"][number][] = [];
  for (const valueBytes of sizes) {
    const base = {
      protocol,
      targets: protocol === "native" ? hosts.addresses : hosts.urls,
      valueBytes,
      keys,
      httpUrls: hosts.urls,
    };
    const bucket = `${protocol}-${valueBytes}`;
    await load({ ...base, bucket, operation: "fill", inFlight: 64, ms: 0 }, signal);
    for (const operation of ["put", "get"] as const) {
      for (const inFlight of concurrencies) {
        const spec: LoadSpec = { ...base, bucket, operation, inFlight, ms: short ? 1_000 : 4_000 };
        const result = await load(spec, signal);
        context.log(`${protocol} ${operation} ${valueBytes} B, ${inFlight} in flight: ${result.perSecond}/s`);
        rows.push({
          verb: operation,
          bytes: valueBytes,
          "in flight": inFlight,
          "per second": result.perSecond,
          "p50 ms": result.p50Ms,
          "p99 ms": result.p99Ms,
          "p99.9 ms": result.p999Ms,
          "hosts' CPU us/op": result.hostCpuUsPerOperation ?? 0,
          "client's CPU us/op": result.cpuUsPerOperation,
          errors: result.errors,
        });
      }
    }
  }
  return { title: `${protocol}, three hosts`, rows };
}

async function referencesOf({ folder, short }: Context): Promise<Table> {
  const ms = short ? 1_000 : 3_000;
  const rows = [
    { reference: "TCP echo of 200 B, 64 in flight on one socket", "per second": await echoes(ms, 64) },
    { reference: "append of 200 B + fdatasync, one at a time", "per second": await syncs(join(folder, "log"), ms) },
  ];
  return { title: "this machine", rows };
}

/** Client and server share this process, so each echo costs both ends: a lower bound. */
async function echoes(ms: number, inFlight: number): Promise<number> {
  const message = Buffer.alloc(200, 1);
  const server = createServer((socket) => socket.pipe(socket)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1").setNoDelay(true);
  await once(socket, "connect");
  let bytes = 0;
  let echoed = 0;
  const endMs = performance.now() + ms;
  socket.on("data", (chunk) => {
    bytes += chunk.length;
    for (; bytes >= message.length; bytes -= message.length) {
      echoed += 1;
      if (performance.now() < endMs) socket.write(message);
      else socket.end();
    }
  });
  for (let i = 0; i < inFlight; i++) socket.write(message);
  await once(socket, "close");
  server.close();
  return Math.round((echoed / ms) * 1_000);
}

async function syncs(path: string, ms: number): Promise<number> {
  const file = await open(path, "a");
  const record = Buffer.alloc(200, 1);
  const endMs = performance.now() + ms;
  let count = 0;
  for (; performance.now() < endMs; count++) {
    await file.appendFile(record);
    await file.datasync();
  }
  await file.close();
  return Math.round((count / ms) * 1_000);
}
