/**
 * How fast messages are encoded and decoded, beside JSON and lib0's hand-written encoder of the same content.
 * Run: npx tsc -b && node dist/test/bench/codec.js
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

function measure(name: string, run: () => unknown): void {
  for (let i = 0; i < 20_000; i++) run();
  const rounds = 100_000;
  const began = performance.now();
  for (let i = 0; i < rounds; i++) run();
  console.log(`${name.padEnd(14)} ${((1e6 * (performance.now() - began)) / rounds).toFixed(0).padStart(6)} ns`);
}

const wire = Put.encode(put);
const lib0Wire = lib0Encode(put);
const json = toJson(put);
console.log(`bytes: codec ${wire.length}, lib0 ${lib0Wire.length}, JSON ${json.length}`);
for (let round = 0; round < 2; round++) {
  measure("codec encode", () => Put.encode(put));
  measure("lib0 encode", () => lib0Encode(put));
  measure("JSON encode", () => toJson(put));
  measure("codec decode", () => Put.decode(wire));
  measure("lib0 decode", () => lib0Decode(lib0Wire));
  measure("JSON decode", () => fromJson(json));
}
