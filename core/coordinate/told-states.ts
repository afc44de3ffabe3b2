/**
 * Which updates of documents an edge has that names a state by its digest: one that this host told, or held, lately. So an
 * edge need not list them, and is sent what is new to it. Forgotten, the whole is sent.
 */
import { Recent } from "../bytes/recent.ts";
import { toHex } from "../bytes/hex.ts";
import { equalBytes } from "../bytes/compare.ts";
import { type LeanState, leanStateOf } from "../causality/lean-state.ts";
import { compareDots, dotText, isUpdate, type LiveValue } from "../causality/version-set.ts";
import type { CachedState } from "../replica/state-cache.ts";

const bytesMax = 1_048_576;
/** A map entry with its digest, and a dot. */
const entryBytes = 200;
const dotBytes = 60;

export class ToldStates {
  readonly #dots = new Recent<string, ReadonlySet<string>>(
    bytesMax,
    (_digest, dots) => entryBytes + dots.size * dotBytes,
  );

  /** The state for an edge, unless it has it; what it has of it is left out, as is what it has just written itself. */
  stateFor(
    held: CachedState,
    have: Uint8Array | undefined,
    own?: LiveValue,
  ): Partial<LeanState> & Pick<LeanState, "omitted"> {
    if (have !== undefined && equalBytes(have, held.digest)) return { omitted: [] };
    const known = have === undefined ? undefined : this.#dots.get(toHex(have));
    const { state } = held;
    const updates = state.values.filter(isUpdate);
    if (updates.length > 0) this.#dots.set(toHex(held.digest), new Set(updates.map(({ dot }) => dotText(dot))));
    const isKnown = ({ dot, stamp }: LiveValue): boolean =>
      known?.has(dotText(dot)) === true || (stamp === own?.stamp && compareDots(dot, own.dot) === 0);
    return leanStateOf(state, isKnown) ?? { state: held.toBytes(), omitted: [] };
  }
}
