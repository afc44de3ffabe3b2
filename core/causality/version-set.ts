/**
 * What a replica knows of one key: a dotted version vector set (Almeida, Baquero, Goncalves, Preguica, Fonte, "Scalable
 * and Accurate Causality Tracking for Eventually Consistent Stores"; PROTOCOL section 3).
 *
 * Invariants of a `Versioned`:
 * - the vector is sorted by actor, the values by dot, each without repetition;
 * - the vector covers the dot of every value;
 * - at most one value is lww.
 *
 * Data are immutable. `merge` is commutative, associative and idempotent, and returns its first argument itself when the
 * second adds nothing, so that `merge(a, b) === a` tells that nothing changed.
 *
 * A Yjs document is the union of its live updates, each a value of kind yjs under its own dot. So a write of an update
 * drops no other update, whatever its writer has seen, but those that it names as folded into itself; and it claims
 * nothing of its context: its vector entry is its own dot alone. An update is then dropped only by a write that contains
 * it or by one that ends the document, and equal clocks are equal content, byte for byte, on nodes that know no Yjs.
 * (PROTOCOL 3 keeps the union as one value instead, with deltas on Yjs state vectors. Those name no deletions, and to join
 * a vector is then right only where all its content is at hand: a write would have to wait for nodes that are away.)
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { compareBytes, equalBytes } from "../bytes/compare.ts";
import type { ActorId } from "../identity.ts";
import { type Stamp, STAMP_ZERO, stampToMs } from "./hybrid-clock.ts";

/** One event: the counter-th of an actor. A dot names one event for ever. */
export interface Dot {
  readonly actor: ActorId;
  readonly counter: number;
}

/** As people and clients see it. */
export function dotText({ actor, counter }: Dot): string {
  return `${actor}:${counter}`;
}

/** Undefined: it is none. */
export function parseDot(text: string): Dot | undefined {
  const [, actor, digits] = /^([0-9a-f]{16}):([1-9][0-9]{0,15})$/.exec(text) ?? [];
  const counter = Number(digits);
  return actor === undefined || !Number.isSafeInteger(counter) ? undefined : { actor: actor as ActorId, counter };
}

/** All events of the actor on this key up to `counter` are known, here or through a context. */
export interface VectorEntry extends Dot {
  /** Of the actor's last event, or of the last write that dropped a value of it, the later. Truncation goes by it. */
  readonly timeMs: number;
}

export type ValueKind = "opaque" | "lww" | "yjs";

/** One write that nothing has superseded yet. */
export interface LiveValue {
  readonly dot: Dot;
  readonly stamp: Stamp;
  /** Kinds never fold with each other. */
  readonly kind: ValueKind;
  readonly tombstone: boolean;
  readonly contentType: string;
  /** Wall time from which the value reads as a tombstone; absent: never. */
  readonly expiresAtMs?: number;
  readonly body: Uint8Array;
}

export interface Versioned {
  readonly vector: readonly VectorEntry[];
  readonly values: readonly LiveValue[];
}

/** What a write has seen. */
export interface Coverage {
  /** Sorted by actor; each stands for all events up to its counter. */
  readonly vector: readonly Dot[];
  /** The highest that was seen; a write's own exceeds it. */
  readonly stamp: Stamp;
  /** Of the live values that were seen, in alphabetical order. */
  readonly kinds: readonly ValueKind[];
}

/** At most 21 bytes each, with the largest counter: a sealed context of so many stays below 32 KiB of base64url. */
export const COVERAGE_ENTRIES_MAX = 1100;

/** A key that was never written. */
export const nothing: Versioned = { vector: [], values: [] };

/** The context of a writer that has read nothing. */
export const nothingSeen: Coverage = { vector: [], stamp: STAMP_ZERO, kinds: [] };

/** Everything that either knows. */
export function merge(a: Versioned, b: Versioned): Versioned {
  if (a === b || b.vector.length === 0) return a;
  if (a.vector.length === 0) return b;
  const vector = joinVectors(a.vector, b.vector);
  const values = mergeValues(a, b);
  return vector === a.vector && values === a.values ? a : { vector, values };
}

/**
 * The state after a write of this node. Where the context or the state holds lww values, the write is lww too: an
 * application that changes its rule must not revive what coverage cannot drop. Minting a covered dot again changes nothing.
 */
export function mint(state: Versioned, context: Coverage, event: LiveValue, folds: readonly Dot[] = []): Versioned {
  const kind = kindOfWrite(state, context, event.kind);
  return applyWrite(state, context, kind === event.kind ? event : { ...event, kind }, stampToMs(event.stamp), folds);
}

/**
 * The state after a write that was minted elsewhere (by an edge) and arrives at `nowMs`: the event is taken as it is.
 * `folds`: updates whose content is in this one. An update's node must hold the last event of its actor on the key.
 */
export function applyWrite(
  state: Versioned,
  context: Coverage,
  event: LiveValue,
  nowMs: number,
  folds: readonly Dot[] = [],
): Versioned {
  if (covers(state.vector, event.dot)) return state;
  const isFolded = ({ dot }: LiveValue): boolean => folds.some((fold) => compareDots(fold, dot) === 0);
  const drops = (value: LiveValue): boolean => {
    // Coverage never drops an lww value: only one with a higher stamp does.
    if (value.kind === "lww") return false;
    return isUpdate(event) && isUpdate(value) ? isFolded(value) : covers(context.vector, value.dot);
  };
  const kept = state.values.filter((value) => !drops(value));
  const values = foldLww(insertByDot(kept, event));
  const own: VectorEntry = { ...event.dot, timeMs: stampToMs(event.stamp) };
  const seen = isUpdate(event) ? [own] : joinVectors(atTime(context.vector, 0), [own]);
  return touch(state, { vector: joinVectors(state.vector, seen), values }, nowMs);
}

/** A part of a Yjs document, rather than a whole value or the end of one. */
export function isUpdate({ kind, tombstone }: Pick<LiveValue, "kind" | "tombstone">): boolean {
  return kind === "yjs" && !tombstone;
}

/**
 * `next`, with the time of each entry that knows more than in `state`, or lost a value since, set to at least `nowMs`.
 * Truncation needs it at every change that is not a mint: agreement with others counts from when this node knew it.
 * Each lost value counts, not only the last of an actor: two nodes may drop one half of its values each.
 * `nowMs` and the times of agreements must come from one clock of this node.
 */
export function touch(state: Versioned, next: Versioned, nowMs: number): Versioned {
  if (next === state) return state;
  const lost = actorsOfLost(state, next);
  const vector = next.vector.map((entry) => {
    const isDue = entry.timeMs < nowMs && (lost.includes(entry.actor) || !covers(state.vector, entry));
    return isDue ? { ...entry, timeMs: nowMs } : entry;
  });
  return { vector, values: next.values };
}

/** Whose values are live in the first state and not in the second. */
export function actorsOfLost(before: Versioned, after: Versioned): readonly ActorId[] {
  const nameOf = ({ actor, counter }: Dot) => `${actor}${counter}`;
  const kept = new Set(after.values.map((value) => nameOf(value.dot)));
  return before.values.filter((value) => !kept.has(nameOf(value.dot))).map((value) => value.dot.actor);
}

/** The kind that a write must have. lww ignores write ids, so a coordinator asks before it picks the dot. */
export function kindOfWrite(state: Versioned, context: Coverage, kind: ValueKind): ValueKind {
  const meetsLww = context.kinds.includes("lww") || state.values.some((value) => value.kind === "lww");
  return meetsLww ? "lww" : kind;
}

/**
 * What a reader of this state has seen. Of a state with more than `COVERAGE_ENTRIES_MAX` entries it is less, so that it
 * fits its limit of bytes: the oldest entries without a live value are left out. A write with it drops the same values.
 */
export function contextOf(state: Versioned): Coverage {
  const entries = state.vector.length <= COVERAGE_ENTRIES_MAX ? state.vector : mostTelling(state);
  const vector = entries.map(({ actor, counter }) => ({ actor, counter }));
  return { vector, stamp: highestStamp(state), kinds: sortedKinds(state.values.map((value) => value.kind)) };
}

function mostTelling(state: Versioned): readonly VectorEntry[] {
  const live = new Set(state.values.map((value) => value.dot.actor));
  const byWeight = state.vector.toSorted(
    (a, b) => Number(live.has(b.actor)) - Number(live.has(a.actor)) || b.timeMs - a.timeMs || compareDots(a, b),
  );
  return byWeight.slice(0, COVERAGE_ENTRIES_MAX).toSorted(compareDots);
}

/** What is seen by one who has seen both, such as an edge whose copy was built from several contexts. */
export function uniteCoverage(a: Coverage, b: Coverage): Coverage {
  return {
    vector: joinVectors(atTime(a.vector, 0), atTime(b.vector, 0)).map(({ actor, counter }) => ({ actor, counter })),
    stamp: Math.max(a.stamp, b.stamp),
    kinds: sortedKinds([...a.kinds, ...b.kinds]),
  };
}

/** What is seen by one who has seen these events, and those before them of the same actors. */
export function coverageOfDots(dots: readonly Dot[]): Coverage {
  const sorted = dots.toSorted(compareDots);
  return { ...nothingSeen, vector: sorted.filter(({ actor }, at) => sorted[at + 1]?.actor !== actor) };
}

/** Whether the vector, sorted by actor, holds this event. */
export function covers(vector: readonly Dot[], dot: Dot): boolean {
  return counterOf(vector, dot.actor) >= dot.counter;
}

/** Whether `vector` covers every entry of `other`. */
export function coversAll(vector: readonly Dot[], other: readonly Dot[]): boolean {
  return other.every((entry) => covers(vector, entry));
}

/** Live values that a reader sees. */
export function siblings(state: Versioned, nowMs: number): readonly LiveValue[] {
  return state.values.filter((value) => !readsAsTombstone(value, nowMs));
}

/** Whether a delete or an expiry that no write has superseded is among the live values. */
export function deleted(state: Versioned, nowMs: number): boolean {
  return state.values.some((value) => readsAsTombstone(value, nowMs));
}

/** A delete, or a value that has expired. */
export function readsAsTombstone(value: LiveValue, nowMs: number): boolean {
  return value.tombstone || (value.expiresAtMs !== undefined && value.expiresAtMs <= nowMs);
}

/** A floor for the stamp of the next write. */
export function highestStamp(state: Versioned): Stamp {
  return state.values.reduce((highest, value) => Math.max(highest, value.stamp), STAMP_ZERO);
}

/** Just above what the write has seen: so it replaces that, and loses to whatever it has not. */
export function stampOfRenewal(state: Versioned, context: Coverage): Stamp {
  const seen = state.values.filter((value) => covers(context.vector, value.dot));
  return Math.min(Math.max(context.stamp, ...seen.map(({ stamp }) => stamp)) + 1, Number.MAX_SAFE_INTEGER);
}

/** Order of dots: by actor, then counter. */
export function compareDots(a: Dot, b: Dot): number {
  return compareText(a.actor, b.actor) || a.counter - b.counter;
}

// --- vectors

/** Larger counter, larger timestamp. `a` itself when `b` adds nothing, or `b` itself when `a` adds nothing to it. */
function joinVectors(a: readonly VectorEntry[], b: readonly VectorEntry[]): readonly VectorEntry[] {
  if (a === b || b.length === 0) return a;
  if (a.length === 0) return b;
  const joined: VectorEntry[] = [];
  let sameAsA = true;
  let sameAsB = true;
  for (let i = 0, j = 0; i < a.length || j < b.length;) {
    const left = a[i];
    const right = b[j];
    const order = left === undefined ? 1 : right === undefined ? -1 : compareText(left.actor, right.actor);
    const entry = order === 0 ? joinEntries(left!, right!) : order < 0 ? left! : right!;
    if (order <= 0) i += 1;
    if (order >= 0) j += 1;
    sameAsA &&= entry === left;
    sameAsB &&= entry === right || (order === 0 && sameEntry(entry, right!));
    joined.push(entry);
  }
  if (sameAsA) return a;
  return sameAsB ? b : joined;
}

function joinEntries(a: VectorEntry, b: VectorEntry): VectorEntry {
  if (a.counter >= b.counter && a.timeMs >= b.timeMs) return a;
  if (b.counter >= a.counter && b.timeMs >= a.timeMs) return b;
  return { actor: a.actor, counter: Math.max(a.counter, b.counter), timeMs: Math.max(a.timeMs, b.timeMs) };
}

function sameEntry(a: VectorEntry, b: VectorEntry): boolean {
  return a.counter === b.counter && a.timeMs === b.timeMs;
}

/** 0 for an actor that the vector does not name. */
function counterOf(vector: readonly Dot[], actor: ActorId): number {
  let low = 0;
  let high = vector.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (vector[middle]!.actor < actor) low = middle + 1;
    else high = middle;
  }
  const entry = vector[low];
  return entry?.actor === actor ? entry.counter : 0;
}

function atTime(vector: readonly Dot[], timeMs: number): VectorEntry[] {
  return vector.map(({ actor, counter }) => ({ actor, counter, timeMs }));
}

// --- values

/** A value survives if both sides have it, or if the other side's vector does not cover its dot. lww folds instead. */
function mergeValues(a: Versioned, b: Versioned): readonly LiveValue[] {
  if (a.values === b.values) return a.values;
  const merged: LiveValue[] = [];
  for (let i = 0, j = 0; i < a.values.length || j < b.values.length;) {
    const left = a.values[i];
    const right = b.values[j];
    const order = left === undefined ? 1 : right === undefined ? -1 : compareDots(left.dot, right.dot);
    if (order <= 0) i += 1;
    if (order >= 0) j += 1;
    if (order === 0) merged.push(greaterRecord(left!, right!));
    else if (order < 0 && survives(left!, b.vector)) merged.push(left!);
    else if (order > 0 && survives(right!, a.vector)) merged.push(right!);
  }
  const folded = foldLww(merged);
  return sameValues(folded, a.values) ? a.values : folded;
}

function survives(value: LiveValue, otherVector: readonly VectorEntry[]): boolean {
  return value.kind === "lww" || !covers(otherVector, value.dot);
}

function sameValues(a: readonly LiveValue[], b: readonly LiveValue[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}

/** Of several lww values the one of the highest (stamp, dot) stays. */
function foldLww(values: readonly LiveValue[]): readonly LiveValue[] {
  const contenders = values.filter((value) => value.kind === "lww");
  if (contenders.length < 2) return values;
  const winner = contenders.reduce((best, value) => (lwwOrder(value, best) > 0 ? value : best));
  return values.filter((value) => value.kind !== "lww" || value === winner);
}

function lwwOrder(a: LiveValue, b: LiveValue): number {
  return a.stamp - b.stamp || compareDots(a.dot, b.dot);
}

function insertByDot(values: readonly LiveValue[], value: LiveValue): readonly LiveValue[] {
  const after = values.findIndex((other) => compareDots(other.dot, value.dot) > 0);
  return values.toSpliced(after < 0 ? values.length : after, 0, value);
}

/** Two records of one event, minted twice under one write id: the greater (stamp, expiry, digest). `a` when they are equal. */
function greaterRecord(a: LiveValue, b: LiveValue): LiveValue {
  if (a === b) return a;
  const order = a.stamp - b.stamp || compareExpiry(a, b) || compareContent(a, b);
  return order >= 0 ? a : b;
}

/** No expiry is the latest of all. */
function compareExpiry(a: LiveValue, b: LiveValue): number {
  const left = a.expiresAtMs ?? Number.MAX_VALUE;
  const right = b.expiresAtMs ?? Number.MAX_VALUE;
  return left - right;
}

function compareContent(a: LiveValue, b: LiveValue): number {
  return (
    compareText(a.kind, b.kind) ||
    Number(a.tombstone) - Number(b.tombstone) ||
    compareText(a.contentType, b.contentType) ||
    (equalBytes(a.body, b.body) ? 0 : compareBytes(sha256(a.body), sha256(b.body)))
  );
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function sortedKinds(kinds: readonly ValueKind[]): readonly ValueKind[] {
  return [...new Set(kinds)].toSorted();
}
