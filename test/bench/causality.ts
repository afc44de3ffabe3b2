/**
 * What the causality layer costs per request, for a key of 5 actors and one of 50 (the default bound of a vector).
 * Run: npx tsc -b && node dist/test/bench/causality.js
 */
import { makeKey } from "../../core/bytes/key.ts";
import { clockDigest, compare } from "../../core/causality/clock.ts";
import { contextSecret, openContext, sealContext } from "../../core/causality/context.ts";
import { decodeVersioned, encodeVersioned } from "../../core/causality/encoding.ts";
import { contextOf, merge, mint, nothing, type Versioned } from "../../core/causality/version-set.ts";
import { value } from "../core/causality/samples.ts";

const key = makeKey("carts", "alice");
const secret = contextSecret(new Uint8Array(32).fill(1));

function measure(name: string, run: () => unknown): void {
  for (let i = 0; i < 20_000; i++) run();
  const rounds = 50_000;
  const began = performance.now();
  for (let i = 0; i < rounds; i++) run();
  console.log(`  ${name.padEnd(22)} ${((1e6 * (performance.now() - began)) / rounds).toFixed(0).padStart(6)} ns`);
}

for (const actors of [5, 50]) {
  let state: Versioned = nothing;
  const atMs = Date.UTC(2026, 10, 21);
  const body = new Uint8Array(256);
  for (let n = 1; n <= actors; n++) state = mint(state, contextOf(state), value(n, 1, atMs + n, { body }));
  const write = value(2, 2, atMs + 100, { body });
  const newer = mint(state, contextOf(state), write);
  const encoded = encodeVersioned(state);
  const context = sealContext(contextOf(state), key, secret);
  console.log(
    `${actors} actors: state ${encoded.length} bytes with a body of 256, context ${context.length} characters`,
  );
  measure("mint", () => mint(state, contextOf(state), write));
  measure("merge, newer", () => merge(state, newer));
  measure("merge, nothing new", () => merge(newer, state));
  measure("compare", () => compare(state, newer));
  measure("encode", () => encodeVersioned(state));
  measure("decode", () => decodeVersioned(encoded));
  measure("clock digest", () => clockDigest(state));
  measure("seal context", () => sealContext(contextOf(state), key, secret));
  measure("open context", () => openContext(context, key, [secret]));
}
