/**
 * Which values of a document an edge has that names a state by its digest: one that this host told lately. So an edge need not
 * list them, and is told what is new to it, and which of its own are still live. Of a state that another host told, or that is
 * forgotten, it is told all but what is large, which it most likely has; else it asks for the whole.
 */
import { equalBytes } from "../bytes/compare.ts";
import { toHex } from "../bytes/hex.ts";
import { Recent } from "../bytes/recent.ts";
import { encodeVersioned } from "../causality/encoding.ts";
import { leanStateOf, omittedMax } from "../causality/lean-state.ts";
import { compareDots, dotText, isUpdate, type LiveValue } from "../causality/version-set.ts";
import type { Key, NodeId } from "../identity.ts";
import type { CachedState } from "../replica/state-cache.ts";

const bytesMax = 1_048_576;
/** A map entry with its digest, and a name. */
const entryBytes = 200;
const nameBytes = 70;
/** Documents that one edge has open at a time, and some. */
const lastMax = 256;
/** Of an update that was folded from many: those who have the document have it. */
const largeBytes = 1_024;

/** What an edge is told of a state. */
export interface ToldState {
  /** Absent: it has all of it. */
  readonly state?: Uint8Array;
  /** All else that it has is live, but for the values in these places. Absent: what it has says nothing. */
  readonly rest?: { readonly gone: readonly number[] };
  /** Places, in this one, of values without their bodies: it has just written them. */
  readonly omitted: readonly number[];
}

/** Who is told, and what of it is known. */
export interface Receiver {
  readonly edge: NodeId;
  readonly key: Key;
  /** Digest of the state that it has. */
  readonly have: Uint8Array | undefined;
  /** What it has just written. */
  readonly own?: LiveValue;
}

export class ToldStates {
  /** Names of the values of a state, in order, by its digest. */
  readonly #names = new Recent<string, readonly string[]>(
    bytesMax,
    (_digest, names) => entryBytes + names.length * nameBytes,
  );
  /** Digests of the documents' states that edges which watch were last told. */
  readonly #last = new Map<NodeId, Recent<Key, Uint8Array>>();

  /** From now on it is remembered what this edge is told. */
  follow(edge: NodeId): void {
    this.#last.set(edge, new Recent(lastMax, () => 1));
  }

  forget(edge: NodeId): void {
    this.#last.delete(edge);
  }

  /** Whether this is the state that the edge was told last; its answer may still be on its way, or be lost. */
  wasTold({ edge, key }: Pick<Receiver, "edge" | "key">, digest: Uint8Array): boolean {
    const last = this.#last.get(edge)?.get(key);
    return last !== undefined && equalBytes(last, digest);
  }

  stateFor(held: CachedState, { edge, key, have, own }: Receiver): ToldState {
    const isDocument = held.state.values.some(isUpdate);
    if (isDocument) this.#last.get(edge)?.set(key, held.digest);
    if (have !== undefined && equalBytes(have, held.digest)) return { omitted: [] };
    if (!isDocument) return { state: held.toBytes(), omitted: [] };
    const known = have === undefined ? undefined : this.#names.get(toHex(have));
    const { state } = held;
    const names = state.values.map(nameOf);
    this.#names.set(toHex(held.digest), names);
    const live = new Set(names);
    const gone = known?.flatMap((name, place) => (live.has(name) ? [] : [place]));
    // More than a message names: folded after replicas met that had been apart.
    if (gone !== undefined && gone.length > omittedMax) return { state: held.toBytes(), omitted: [] };
    const isKnown = new Set(known);
    const told = { ...state, values: state.values.filter((value) => !isKnown.has(nameOf(value))) };
    const isUnsure = have !== undefined && known === undefined;
    const isThere = ({ dot, stamp, body }: LiveValue): boolean =>
      (isUnsure && body.length >= largeBytes) || (stamp === own?.stamp && compareDots(dot, own.dot) === 0);
    const more = leanStateOf(told, isThere) ?? { state: encodeVersioned(told), omitted: [] };
    return gone === undefined ? more : { ...more, rest: { gone } };
  }

  /** What is new in this state to an edge that has the one that it was told last; undefined: that is not known. */
  newsFor(
    held: CachedState,
    to: Pick<Receiver, "edge" | "key">,
  ): (ToldState & { readonly base: Uint8Array }) | undefined {
    const base = this.#last.get(to.edge)?.get(to.key);
    if (base === undefined || this.#names.get(toHex(base)) === undefined) return undefined;
    return { base, ...this.stateFor(held, { ...to, have: base }) };
  }
}

function nameOf({ dot, stamp }: LiveValue): string {
  return `${dotText(dot)} ${stamp}`;
}
