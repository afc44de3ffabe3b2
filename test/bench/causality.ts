/**
 * What the causality layer costs per request, for a key of 5 actors and one of 50 (the default bound of a vector).
 */
import { makeKey } from "../../core/bytes/key.ts";
import { clockDigest, compare } from "../../core/causality/clock.ts";
import { contextSecret, openContext, sealContext } from "../../core/causality/context.ts";
import { decodeVersioned, encodeVersioned } from "../../core/causality/encoding.ts";
import { contextOf, merge, mint, nothing, type Versioned } from "../../core/causality/version-set.ts";
import { value } from "../core/causality/samples.ts";
import type { Bench, Table } from "../tools/trial.ts";

const key = makeKey("carts", "alice");
const secret = contextSecret(new Uint8Array(32).fill(1));

export const bench: Bench = {
  name: "causality",
  summary: "nanoseconds per operation on versions, for a key of 5 actors and one of 50",
  run: async ({ short }) => [5, 50].map((actors) => tableOf(actors, short ? 5_000 : 50_000)),
};

function tableOf(actors: number, rounds: number): Table {
  let state: Versioned = nothing;
  const atMs = Date.UTC(2026, 10, 21);
  const body = new Uint8Array(256);
  for (let n = 1; n <= actors; n++) state = mint(state, contextOf(state), value(n, 1, atMs + n, { body }));
  const write = value(2, 2, atMs + 100, { body });
  const newer = mint(state, contextOf(state), write);
  const encoded = encodeVersioned(state);
  const context = sealContext(contextOf(state), key, secret);
  const operations: Record<string, () => unknown> = {
    mint: () => mint(state, contextOf(state), write),
    "merge, newer": () => merge(state, newer),
    "merge, nothing new": () => merge(newer, state),
    compare: () => compare(state, newer),
    encode: () => encodeVersioned(state),
    decode: () => decodeVersioned(encoded),
    "clock digest": () => clockDigest(state),
    "seal context": () => sealContext(contextOf(state), key, secret),
    "open context": () => openContext(context, key, [secret]),
  };
  return {
    title: `${actors} actors: state ${encoded.length} bytes with a body of 256, context ${context.length} characters`,
    rows: Object.entries(operations).map(([operation, run]) => ({ operation, ns: nanoseconds(run, rounds) })),
  };
}

function nanoseconds(run: () => unknown, rounds: number): number {
  for (let i = 0; i < rounds / 2; i++) run();
  const began = performance.now();
  for (let i = 0; i < rounds; i++) run();
  return Math.round((1e6 * (performance.now() - began)) / rounds);
}
