/**
 * How fast messages are encoded and decoded, beside JSON and lib0's hand-written encoder of the same content.
 */
import * as decoding from "lib0/decoding";
import * as encoding from "lib0/encoding";
import {
  bytes,
  choice,
  field,
  hex,
  type Infer,
  message,
  optional,
  repeated,
  text,
  varint,
} from "../../core/bytes/codec.ts";
import { fromHex, toHex } from "../../core/bytes/hex.ts";
import type { Bench } from "../tools/trial.ts";

const Entry = message("Entry", {
  actor: field(1, hex(8)),
  counter: field(2, varint),
  timeMs: field(3, varint),
});
const Put = message("Put", {
  key: field(1, text(1024)),
  timeoutMs: field(2, varint),
  kind: field(3, choice({ opaque: 0, lww: 1, yjs: 2 })),
  hintFor: optional(4, text(128)),
  entries: repeated(5, Entry, 1000),
  body: field(6, bytes(1 << 20)),
});
type Put = Infer<typeof Put>;

const put: Put = {
  key: "carts/alice@example.org",
  timeoutMs: 500,
  kind: "opaque",
  entries: Array.from({ length: 5 }, (_, i) => ({
    actor: `0123456789abcde${i}`,
    counter: 300 * i,
    timeMs: 1.7e12 + i,
  })),
  body: new Uint8Array(256).fill(65),
};

function lib0Encode(value: Put): Uint8Array {
  const out = encoding.createEncoder();
  encoding.writeVarString(out, value.key);
  encoding.writeVarUint(out, value.timeoutMs);
  encoding.writeVarUint(out, 0);
  encoding.writeVarUint(out, value.entries.length);
  for (const entry of value.entries) {
    encoding.writeUint8Array(out, fromHex(entry.actor)!);
    encoding.writeVarUint(out, entry.counter);
    encoding.writeVarUint(out, entry.timeMs);
  }
  encoding.writeVarUint8Array(out, value.body);
  return encoding.toUint8Array(out);
}

function lib0Decode(input: Uint8Array): Put {
  const from = decoding.createDecoder(input);
  const key = decoding.readVarString(from);
  const timeoutMs = decoding.readVarUint(from);
  decoding.readVarUint(from);
  const entries = Array.from({ length: decoding.readVarUint(from) }, () => ({
    actor: toHex(decoding.readUint8Array(from, 8)),
    counter: decoding.readVarUint(from),
    timeMs: decoding.readVarUint(from),
  }));
  return { key, timeoutMs, kind: "opaque", entries, body: decoding.readVarUint8Array(from) };
}

const toJson = (value: Put) => JSON.stringify({ ...value, body: Buffer.from(value.body).toString("base64") });
const fromJson = (json: string) => {
  const value = JSON.parse(json);
  return { ...value, body: Buffer.from(value.body, "base64") };
};

export const bench: Bench = {
  name: "codec",
  summary: "nanoseconds to encode and decode a put with five clock entries, beside lib0 and JSON",
  async run({ short }) {
    const rounds = short ? 10_000 : 100_000;
    const wire = Put.encode(put);
    const lib0Wire = lib0Encode(put);
    const json = toJson(put);
    const rows = [
      { by: "codec", bytes: wire.length, encode: () => Put.encode(put), decode: () => Put.decode(wire) },
      { by: "lib0", bytes: lib0Wire.length, encode: () => lib0Encode(put), decode: () => lib0Decode(lib0Wire) },
      { by: "JSON", bytes: json.length, encode: () => toJson(put), decode: () => fromJson(json) },
    ].map(({ by, bytes: size, encode, decode }) => ({
      by,
      bytes: size,
      "encode ns": nanoseconds(encode, rounds),
      "decode ns": nanoseconds(decode, rounds),
    }));
    return [{ title: "", rows }];
  },
};

function nanoseconds(run: () => unknown, rounds: number): number {
  for (let i = 0; i < rounds; i++) run();
  const began = performance.now();
  for (let i = 0; i < rounds; i++) run();
  return Math.round((1e6 * (performance.now() - began)) / rounds);
}
