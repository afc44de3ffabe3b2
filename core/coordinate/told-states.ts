/**
 * Which values of a document an edge has that names a state by its digest: one that this host told lately. So an edge need not
 * list them, and is told what is new to it, and which of its own are still live. Forgotten, the whole is told.
 */
import { equalBytes } from "../bytes/compare.ts";
import { toHex } from "../bytes/hex.ts";
import { Recent } from "../bytes/recent.ts";
import { encodeVersioned } from "../causality/encoding.ts";
import { leanStateOf } from "../causality/lean-state.ts";
import { compareDots, dotText, isUpdate, type LiveValue } from "../causality/version-set.ts";
import type { CachedState } from "../replica/state-cache.ts";

const bytesMax = 1_048_576;
/** A map entry with its digest, and a name. */
const entryBytes = 200;
const nameBytes = 70;

/** What an edge is told of a state. */
export interface ToldState {
  /** Absent: it has all of it. */
  readonly state?: Uint8Array;
  /** Places, in the state that it has, of values that are live and not in this one. */
  readonly kept: readonly number[];
  /** Places, in this one, of values without their bodies: it has just written them. */
  readonly omitted: readonly number[];
}

export class ToldStates {
  /** Names of the values of a state, in order, by its digest. */
  readonly #names = new Recent<string, readonly string[]>(
    bytesMax,
    (_digest, names) => entryBytes + names.length * nameBytes,
  );

  /** `own`: what the edge has just written. */
  stateFor(held: CachedState, have: Uint8Array | undefined, own?: LiveValue): ToldState {
    if (have !== undefined && equalBytes(have, held.digest)) return { kept: [], omitted: [] };
    const { state } = held;
    if (!state.values.some(isUpdate)) return { state: held.toBytes(), kept: [], omitted: [] };
    const known = (have === undefined ? undefined : this.#names.get(toHex(have))) ?? [];
    this.#names.set(toHex(held.digest), state.values.map(nameOf));
    const live = new Set(state.values.map(nameOf));
    const kept = known.flatMap((name, place) => (live.has(name) ? [place] : []));
    const isKnown = new Set(known);
    const told = { ...state, values: state.values.filter((value) => !isKnown.has(nameOf(value))) };
    const isOwn = ({ dot, stamp }: LiveValue): boolean => stamp === own?.stamp && compareDots(dot, own.dot) === 0;
    return { kept, ...(leanStateOf(told, isOwn) ?? { state: encodeVersioned(told), omitted: [] }) };
  }
}

function nameOf({ dot, stamp }: LiveValue): string {
  return `${dotText(dot)} ${stamp}`;
}
