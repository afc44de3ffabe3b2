/**
 * What a host answered of a key, checked: bytes of a peer must not end as an error of the application's, nor of its write.
 */
import { DecodeError } from "../bytes/codec.ts";
import { clockDigest } from "../causality/clock.ts";
import { peekContext } from "../causality/context.ts";
import { decodeVersioned } from "../causality/encoding.ts";
import { filled } from "../causality/lean-state.ts";
import { compareDots, type LiveValue, nothing, type Versioned } from "../causality/version-set.ts";
import { StoreError } from "../errors.ts";
import type { Key } from "../identity.ts";
import type { Copy } from "./copy-row.ts";

/** What of a host's answer tells a state. */
interface Answer {
  readonly state?: Uint8Array;
  readonly rest?: { readonly gone: readonly number[] };
  readonly omitted: readonly number[];
  readonly context?: string;
}

export interface Told {
  /** Whose digest the host was given. */
  readonly asked: Copy;
  readonly state: Versioned;
  /** Sealed by hosts, together they cover the state. None: the key was never written, or is forgotten. */
  readonly contexts: readonly string[];
}

/**
 * `own`: what this node wrote itself with the question. Undefined: the host left out what is not here; it tells the whole to
 * who names no digest.
 * @throws StoreError `internal`: another host may do better
 */
export function toldBy(answer: Answer, key: Key, asked: Copy, own: readonly LiveValue[] = []): Told | undefined {
  const { state: encoded, rest, omitted, context } = answer;
  try {
    if (context !== undefined) peekContext(context, key);
    // A copy: what arrived is a part of a frame, and is kept.
    const contexts = context === undefined ? [] : [context];
    if (encoded === undefined) return { asked, state: context === undefined ? nothing : asked.state, contexts };
    const lean = filled(decodeVersioned(encoded.slice()), omitted, [...own, ...asked.state.values]);
    if (lean === undefined) return undefined;
    const gone = new Set(rest?.gone);
    const before = rest === undefined ? [] : asked.state.values.filter((_value, place) => !gone.has(place));
    if (rest !== undefined && before.length + gone.size !== asked.state.values.length)
      throw new DecodeError("it takes away what is not known here");
    const values = [...lean.values, ...before].toSorted((a, b) => compareDots(a.dot, b.dot));
    const state = { ...lean, values };
    return { asked, state, contexts };
  } catch (cause: unknown) {
    if (!(cause instanceof DecodeError || cause instanceof StoreError)) throw cause;
    throw new StoreError("internal", `a host answered something unreadable of ${key}: ${cause.message}`, { cause });
  }
}

/**
 * Has a host tell what is new to the copy that is here; where that leaves out what is not here, all of it.
 * @throws StoreError as `toldBy`, and what `ask` throws
 */
export async function toldWhole<A extends Answer>(
  ask: (have: Uint8Array | undefined) => Promise<A>,
  key: Key,
  asked: Copy,
  own?: readonly LiveValue[],
): Promise<{ readonly answer: A; readonly told: Told }> {
  for (const have of [clockDigest(asked.state), undefined]) {
    const answer = await ask(have);
    const told = toldBy(answer, key, asked, own);
    if (told !== undefined) return { answer, told };
  }
  throw new StoreError("internal", `a host told a part of ${key}, asked for all`);
}
