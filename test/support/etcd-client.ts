/**
 * The least of etcd's gRPC API over a bare HTTP/2 stream: Put, Range (linearizable) and who leads.
 * Written out by hand, so that the reference in our trials has less client work to do than through a gRPC library.
 */
import { connect, type ClientHttp2Session } from "node:http2";
import type { KeyStore } from "./key-store.ts";

export function etcdClient(endpoints: readonly string[]): KeyStore {
  const sessions = endpoints.map(open);
  let turn = 0;
  const next = (): ClientHttp2Session => sessions[turn++ % sessions.length]!;
  return {
    async get(key) {
      const answer = await unary(next(), "/etcdserverpb.KV/Range", field(1, Buffer.from(key)));
      return { bodies: fieldsOf(answer, 2).map((pair) => fieldsOf(pair, 5)[0] ?? Buffer.alloc(0)) };
    },
    async put(key, body) {
      await unary(next(), "/etcdserverpb.KV/Put", Buffer.concat([field(1, Buffer.from(key)), field(2, body)]));
      return undefined;
    },
    stop: async () => {
      await Promise.all(sessions.map((session) => new Promise<void>((resolve) => session.close(resolve))));
    },
  };
}

function open(endpoint: string): ClientHttp2Session {
  const session = connect(endpoint, { settings: { initialWindowSize: 1 << 20 } });
  session.on("error", () => undefined); // each request under way fails too, and is told
  return session;
}

/** Whether this endpoint is the leader: the header of its status names it as such. */
export async function isEtcdLeader(endpoint: string): Promise<boolean> {
  const session = open(endpoint);
  try {
    const status = await unary(session, "/etcdserverpb.Maintenance/Status", Buffer.alloc(0));
    const [header] = fieldsOf(status, 1);
    return header !== undefined && varintOf(header, 2) === varintOf(status, 4);
  } finally {
    session.close();
  }
}

/** One request, one answer. gRPC frames both: a flag, the length, the message; the status is in the trailers. */
function unary(session: ClientHttp2Session, path: string, message: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let status: unknown;
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.on("response", (headers) => (status = headers["grpc-status"]));
    stream.on("trailers", (trailers) => (status = trailers["grpc-status"]));
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", reject);
    stream.on("end", () => {
      if (status === "0") resolve(Buffer.concat(chunks).subarray(5));
      else reject(new Error(`etcd answered ${path} with gRPC status ${String(status)}`));
    });
    const frame = Buffer.alloc(5 + message.length);
    frame.writeUInt32BE(message.length, 1);
    frame.set(message, 5);
    stream.end(frame);
  });
}

/** A bytes field of protobuf. */
function field(number: number, bytes: Uint8Array): Buffer {
  const head: number[] = [(number << 3) | 2];
  let length = bytes.length;
  for (; length > 127; length = Math.floor(length / 128)) head.push((length % 128) | 128);
  return Buffer.concat([Buffer.from([...head, length]), bytes]);
}

function fieldsOf(message: Buffer, wanted: number): Buffer[] {
  return [...walk(message)].flatMap(({ number, bytes }) => (number === wanted && bytes !== undefined ? [bytes] : []));
}

function varintOf(message: Buffer, wanted: number): bigint | undefined {
  return [...walk(message)].find(({ number, bytes }) => number === wanted && bytes === undefined)?.value;
}

function* walk(message: Buffer): Generator<{ number: number; value: bigint; bytes?: Buffer }> {
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++] ?? 0;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const tag = Number(varint());
    const value = varint();
    if ((tag & 7) === 0) yield { number: tag >> 3, value };
    else if ((tag & 7) === 2) {
      yield { number: tag >> 3, value, bytes: message.subarray(at, at + Number(value)) };
      at += Number(value);
    } else throw new Error(`etcd sent a field of wire type ${tag & 7}`);
  }
}
