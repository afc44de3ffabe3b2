/**
 * What a host answered of a key, checked: bytes of a peer must not end as an error of the application's, nor of its write.
 */
import { DecodeError } from "../bytes/codec.ts";
import { peekContext } from "../causality/context.ts";
import { decodeVersioned } from "../causality/encoding.ts";
import { filled } from "../causality/lean-state.ts";
import type { LiveValue, Versioned } from "../causality/version-set.ts";
import { StoreError } from "../errors.ts";
import type { Key } from "../identity.ts";
import type { Copy } from "./copies.ts";

export interface Told {
  /** Whose digest the host was given. */
  readonly asked: Copy;
  readonly state: Versioned;
  /** Absent: the key was never written. */
  readonly context: string | undefined;
}

/**
 * `own`: what this node wrote itself with the question.
 * @throws StoreError `internal`: another host may do better
 */
export function toldBy(
  answer: { readonly state?: Uint8Array; readonly omitted: readonly number[]; readonly context?: string },
  key: Key,
  asked: Copy,
  own: readonly LiveValue[] = [],
): Told {
  const { state: encoded, omitted, context } = answer;
  try {
    if (context !== undefined) peekContext(context, key);
    // A copy: what arrived is a part of a frame, and is kept.
    const lean = encoded === undefined ? asked.state : decodeVersioned(encoded.slice());
    const state = filled(lean, omitted, [...asked.state.values, ...own]);
    if (state === undefined) throw new DecodeError("it lacks what this node does not have either");
    return { asked, state, context };
  } catch (cause: unknown) {
    if (!(cause instanceof DecodeError || cause instanceof StoreError)) throw cause;
    throw new StoreError("internal", `a host answered something unreadable of ${key}: ${cause.message}`, { cause });
  }
}
