/**
 * Requests per second between two processes, over libp2p and, as the limit, over a bare socket with the same frames.
 *
 *   node dist/test/bench/transport.js [seconds per figure, default 2] [body bytes, default 256]
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { libp2pTransport, type Libp2pTransport } from "../../core/libp2p/transport.ts";
import { FrameQueue } from "../../core/rpc/frame-queue.ts";
import { defaultFrameLimits, FrameReader, type Message } from "../../core/rpc/frames.ts";
import { nodeLibp2p } from "../../node-host/libp2p-node.ts";
import { realClock } from "../support/real-clock.ts";

const inFlightSteps = [1, 16, 64, 256];
type Ask = (body: Uint8Array) => Promise<Uint8Array>;

async function libp2pNode(listen: string[]): Promise<{ transport: Libp2pTransport; addresses: string[] }> {
  const libp2p = await nodeLibp2p({ listen });
  const transport = libp2pTransport({ libp2p, clock: realClock });
  await transport.start();
  return { transport, addresses: libp2p.getMultiaddrs().map(String) };
}

/** Frames over a bare socket, gathered per turn like the transport's. */
function framed(socket: Socket, handle: (message: Message) => void): (message: Message) => void {
  const reader = new FrameReader(defaultFrameLimits, handle);
  const queue = new FrameQueue(defaultFrameLimits);
  let flushing = false;
  socket.setNoDelay(true);
  socket.on("data", (chunk) => reader.read(chunk, performance.now()));
  return (message) => {
    queue.push(message);
    if (flushing) return;
    flushing = true;
    setImmediate(() => {
      flushing = false;
      const write = queue.take(1 << 20, performance.now());
      if (write !== undefined) socket.write(write);
    });
  };
}

async function serve(): Promise<void> {
  const server = createServer((socket) => {
    const send = framed(socket, (message) => {
      if (message.kind === "request") send({ kind: "response", id: message.id, body: message.body });
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { transport, addresses } = await libp2pNode(["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"]);
  transport.serve(async (_from, body) => body);
  process.on("message", () => process.send?.(process.cpuUsage()));
  process.on("disconnect", () => process.exit());
  process.send?.({ port: (server.address() as AddressInfo).port, addresses });
}

async function rawAsk(port: number): Promise<Ask> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  const waiting = new Map<number, (body: Uint8Array) => void>();
  const send = framed(socket, (message) => {
    if (message.kind !== "response") return;
    waiting.get(message.id)?.(message.body);
    waiting.delete(message.id);
  });
  let id = 0;
  return (body) =>
    new Promise((resolve) => {
      id += 1;
      waiting.set(id, resolve);
      send({ kind: "request", id, deadlineMs: Infinity, body });
    });
}

async function libp2pAsk(address: string): Promise<Ask> {
  const { transport } = await libp2pNode([]);
  const peer = await transport.meet(address);
  return (body) => transport.request(peer, body, 10_000);
}

async function measure(ask: Ask, inFlight: number, seconds: number, bytes: number): Promise<number> {
  const body = new Uint8Array(bytes).fill(7);
  const begin = performance.now();
  const until = begin + seconds * 1000;
  let done = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() < until) {
      await ask(body);
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return (done * 1000) / (performance.now() - begin);
}

async function main(seconds: number, bytes: number): Promise<void> {
  const child = fork(fileURLToPath(import.meta.url), ["serve"]);
  const [{ port, addresses }] = (await once(child, "message")) as [{ port: number; addresses: string[] }];
  const childCpu = async (): Promise<number> => {
    child.send("cpu");
    const [{ user, system }] = (await once(child, "message")) as [NodeJS.CpuUsage];
    return user + system;
  };
  const stacks: [string, Ask][] = [
    ["raw node:net", await rawAsk(port)],
    ["TCP + noise + yamux", await libp2pAsk(addresses.find((address) => !address.includes("/ws"))!)],
    ["WebSocket + noise + yamux", await libp2pAsk(addresses.find((address) => address.includes("/ws"))!)],
  ];
  console.log(
    `${bytes} B, ${seconds} s each, ${cpus().length} cores, Node ${process.version}; ops/s (CPU us per op, both sides)`,
  );
  for (const [name, ask] of stacks) {
    await measure(ask, 64, 0.5, bytes);
    const cells: string[] = [];
    for (const inFlight of inFlightSteps) {
      const own = process.cpuUsage();
      const other = await childCpu();
      const rate = await measure(ask, inFlight, seconds, bytes);
      const { user, system } = process.cpuUsage(own);
      const us = (user + system + (await childCpu()) - other) / (rate * seconds);
      cells.push(`${inFlight}: ${Math.round(rate)} (${us.toFixed(0)})`);
    }
    console.log(`${name.padEnd(28)}${cells.map((cell) => cell.padEnd(18)).join("")}`);
  }
  child.disconnect();
  process.exit();
}

if (process.argv[2] === "serve") await serve();
else await main(Number(process.argv[2] ?? 2), Number(process.argv[3] ?? 256));
