import assert from "node:assert/strict";
import { test } from "node:test";
import {
  bool,
  bytes,
  DecodeError,
  field,
  fixedBytes,
  hex,
  message,
  optional,
  repeated,
  text,
  varint,
} from "../../core/bytes/codec.ts";
import { toBase64url } from "../../core/bytes/base64url.ts";
import { liveValue } from "../../core/causality/encoding.ts";
import { sealedContext } from "../../core/rpc/common-messages.ts";
import { edgeMethods } from "../../core/rpc/edge-methods.ts";
import { OwnEvent } from "../../core/rpc/edge-messages.ts";
import { value as valueOf } from "./causality/samples.ts";

const ring = "00".repeat(8);
const digest = new Uint8Array(16);
const state = Uint8Array.of(1, 2, 3);
const context = toBase64url(Uint8Array.from({ length: 60 }, (_, i) => 200 - i));
const event = { nonce: "ab".repeat(8), counter: 1 };
const value = valueOf(1, 1, 1);
const { edgeRead, edgeFetch, edgeWrite, edgeWatch } = edgeMethods;

/** What older releases said: contexts were text, then bytes under the same numbers. */
for (const [how, contextType] of [
  ["text", text(1_000)],
  ["bytes", sealedContext],
] as const) {
  const OlderRead = message("OlderRead", {
    state: optional(1, bytes(100)),
    context: optional(2, contextType),
    degraded: field(3, bool),
    ring: field(4, hex(8)),
    omitted: repeated(8, varint, 9),
    kept: repeated(9, varint, 9),
  });
  const OlderFetch = message("OlderFetch", {
    counts: field(1, bool),
    digest: field(2, fixedBytes(16)),
    state: optional(3, bytes(100)),
    context: optional(4, contextType),
    ring: field(5, hex(8)),
  });
  const OlderWrite = message("OlderWrite", {
    key: field(1, text(100)),
    event: field(2, OwnEvent),
    value: field(3, liveValue),
    contexts: repeated(4, contextType, 9),
  });
  const OlderWritten = message("OlderWritten", {
    needed: field(3, varint),
    got: field(4, varint),
    context: field(6, contextType),
    ring: optional(7, hex(8)),
  });
  const OlderNews = message("OlderNews", {
    place: field(1, varint),
    base: field(2, fixedBytes(16)),
    context: field(6, contextType),
  });
  const OlderWatched = message("OlderWatched", { ring: optional(2, hex(8)), news: repeated(4, OlderNews, 9) });

  test(`what a release says whose contexts are ${how} is refused, never taken for a part of it`, () => {
    const read = { degraded: false, ring, omitted: [], kept: [] };
    const cases: readonly (readonly [{ decode(input: Uint8Array): unknown }, Uint8Array])[] = [
      [edgeRead.response, OlderRead.encode({ ...read, state, context })],
      [edgeRead.response, OlderRead.encode({ ...read, kept: [1] })],
      [edgeRead.response, OlderRead.encode(read)],
      [edgeFetch.response, OlderFetch.encode({ counts: true, digest, state, context, ring })],
      [edgeWrite.request, OlderWrite.encode({ key: "b/k", event, value, contexts: [context] })],
      [edgeWrite.request, OlderWrite.encode({ key: "b/k", event, value, contexts: [] })],
      [edgeWrite.response, OlderWritten.encode({ needed: 1, got: 1, context, ring })],
      [edgeWatch.response, OlderWatched.encode({ ring, news: [{ place: 0, base: digest, context }] })],
    ];
    for (const [type, older] of cases) assert.throws(() => type.decode(older), isOfOlder);
  });

  test(`a release whose contexts are ${how} refuses what is said now: no state without its context, no write without what it saw`, () => {
    const written = { durable: [], durableAt: [], hinted: [], needed: 1, got: 1, omitted: [], context };
    const news = [{ place: 0, base: digest, state, context, omitted: [] }];
    const cases: readonly (readonly [{ decode(input: Uint8Array): unknown }, Uint8Array])[] = [
      [OlderRead, edgeRead.response.encode({ state, context, degraded: false, ring, answeredAt: [], omitted: [] })],
      [OlderFetch, edgeFetch.response.encode({ counts: true, digest, state, context, ring })],
      [OlderWrite, edgeWrite.request.encode({ key: "b/k", event, value, contexts: [context], own: [], folds: [] })],
      [OlderWritten, edgeWrite.response.encode(written)],
      [OlderWatched, edgeWatch.response.encode({ keys: [], digests: [], news })],
    ];
    for (const [type, now] of cases) assert.throws(() => type.decode(now), isMissing);
  });
}

function isOfOlder(error: unknown): boolean {
  return error instanceof DecodeError && error.message.includes("is of an older release");
}

function isMissing(error: unknown): boolean {
  return error instanceof DecodeError && error.message.includes("required, but missing");
}
