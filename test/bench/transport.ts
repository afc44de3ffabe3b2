/**
 * Requests per second between two processes, over libp2p and, as the limit, over a bare socket with the same frames.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import type { Libp2p } from "@libp2p/interface";
import { libp2pTransport, type Libp2pTransport } from "../../core/libp2p/transport.ts";
import { FrameQueue } from "../../core/rpc/frame-queue.ts";
import { defaultFrameLimits, FrameReader, type Message } from "../../core/rpc/frames.ts";
import { nodeLibp2p } from "../../node-host/libp2p-node.ts";
import { realClock } from "../support/real-clock.ts";
import type { Bench, Table } from "../tools/trial.ts";

const inFlightSteps = [1, 16, 64, 256];
const bodyBytes = 256;
type Ask = (body: Uint8Array) => Promise<Uint8Array>;

interface Stack {
  readonly ask: Ask;
  readonly close: () => Promise<void>;
}

async function libp2pNode(
  listen: string[],
): Promise<{ libp2p: Libp2p; transport: Libp2pTransport; addresses: string[] }> {
  const libp2p = await nodeLibp2p({ listen });
  const transport = libp2pTransport({ libp2p, clock: realClock });
  await transport.start();
  return { libp2p, transport, addresses: libp2p.getMultiaddrs().map(String) };
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

async function rawAsk(port: number): Promise<Stack> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  const waiting = new Map<number, (body: Uint8Array) => void>();
  const send = framed(socket, (message) => {
    if (message.kind !== "response") return;
    waiting.get(message.id)?.(message.body);
    waiting.delete(message.id);
  });
  let id = 0;
  const ask: Ask = (body) =>
    new Promise((resolve) => {
      id += 1;
      waiting.set(id, resolve);
      send({ kind: "request", id, deadlineMs: Infinity, body });
    });
  return { ask, close: async () => void socket.destroy() };
}

async function libp2pAsk(address: string): Promise<Stack> {
  const { libp2p, transport } = await libp2pNode([]);
  const peer = await transport.meet(address);
  const close = async (): Promise<void> => {
    await transport.stop();
    await libp2p.stop();
  };
  return { ask: (body) => transport.request(peer, body, 10_000), close };
}

async function measure(ask: Ask, inFlight: number, seconds: number): Promise<number> {
  const body = new Uint8Array(bodyBytes).fill(7);
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

export const bench: Bench = {
  name: "transport",
  summary: "requests per second between two processes over libp2p, beside a bare socket with the same frames",
  async run({ short }) {
    const child = fork(fileURLToPath(import.meta.url));
    const [{ port, addresses }] = (await once(child, "message")) as [{ port: number; addresses: string[] }];
    const childCpu = async (): Promise<number> => {
      child.send("cpu");
      const [{ user, system }] = (await once(child, "message")) as [NodeJS.CpuUsage];
      return user + system;
    };
    const stacks: readonly (readonly [name: string, connect: () => Promise<Stack>])[] = [
      ["bare socket", () => rawAsk(port)],
      ["TCP + noise + yamux", () => libp2pAsk(addresses.find((address) => !address.includes("/ws"))!)],
      ["WebSocket + noise + yamux", () => libp2pAsk(addresses.find((address) => address.includes("/ws"))!)],
    ];
    const rows: Table["rows"][number][] = [];
    for (const [stack, open] of stacks) {
      const { ask, close } = await open();
      await measure(ask, 64, 0.5);
      for (const inFlight of inFlightSteps) {
        const seconds = short ? 0.5 : 2;
        const own = process.cpuUsage();
        const other = await childCpu();
        const perSecond = await measure(ask, inFlight, seconds);
        const { user, system } = process.cpuUsage(own);
        const cpu = (user + system + (await childCpu()) - other) / (perSecond * seconds);
        rows.push({ stack, "in flight": inFlight, "per second": Math.round(perSecond), "CPU us/op, both sides": cpu });
      }
      await close();
    }
    const gone = once(child, "exit");
    child.disconnect();
    await gone;
    return [{ title: `${bodyBytes} bytes each way`, rows }];
  },
};

if (process.argv[1] === fileURLToPath(import.meta.url)) await serve();
