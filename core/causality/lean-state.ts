/**
 * States that travel without the updates of documents that their receiver has: of a document that is edited, all but the last
 * few bytes. A dot and its stamp name one record of one event, so the receiver puts its own in their place.
 */
import { encodeVersioned } from "./encoding.ts";
import { compareDots, isUpdate, type LiveValue, type Versioned } from "./version-set.ts";

export interface LeanState {
  readonly state: Uint8Array;
  /** Places of the values that are without their bodies, and what these are. */
  readonly omitted: readonly number[];
}

/** More updates than a document may have. */
export const omittedMax = 1_000;

/** Below it an index costs as much as it saves. */
const bodyBytesMin = 32;
const noBody = new Uint8Array(0);

/** Undefined: there is nothing to leave out. `has`: whether the receiver has this value. */
export function leanStateOf(state: Versioned, has: (value: LiveValue) => boolean): LeanState | undefined {
  const isKnown = (value: LiveValue): boolean => isUpdate(value) && value.body.length >= bodyBytesMin && has(value);
  const omitted = state.values.flatMap((value, place) => (isKnown(value) ? [place] : [])).slice(0, omittedMax);
  if (omitted.length === 0) return undefined;
  const places = new Set(omitted);
  const values = state.values.map((value, place) =>
    places.has(place) ? { ...value, contentType: "", body: noBody } : value,
  );
  return { state: encodeVersioned({ ...state, values }), omitted };
}

/** Undefined: among `own` a body is missing that was left out. */
export function filled(lean: Versioned, omitted: readonly number[], own: readonly LiveValue[]): Versioned | undefined {
  if (omitted.length === 0) return lean;
  const places = new Set(omitted);
  const values = lean.values.map((value, place) => {
    if (!places.has(place)) return value;
    return own.find(({ dot, stamp }) => stamp === value.stamp && compareDots(dot, value.dot) === 0);
  });
  return values.includes(undefined) ? undefined : { ...lean, values: values as LiveValue[] };
}
