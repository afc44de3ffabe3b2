/**
 * What a host answered of a key, checked: bytes of a peer must not end as an error of the application's, nor of its write.
 */
import { DecodeError } from "../bytes/codec.ts";
import { peekContext } from "../causality/context.ts";
import { decodeVersioned } from "../causality/encoding.ts";
import type { Versioned } from "../causality/version-set.ts";
import { StoreError } from "../errors.ts";
import type { Key } from "../identity.ts";
import type { Copy } from "./copies.ts";

export interface Told {
  /** Whose digest the host was given. */
  readonly asked: Copy;
  readonly state: Versioned;
  /** Sealed by hosts, together they cover the state. None: the key was never written. */
  readonly contexts: readonly string[];
}

/** @throws StoreError `internal`: another host may do better */
export function toldBy(
  answer: { readonly state?: Uint8Array; readonly context?: string },
  key: Key,
  asked: Copy,
): Told {
  const { state, context } = answer;
  try {
    if (context !== undefined) peekContext(context, key);
    // A copy: what arrived is a part of a frame, and is kept.
    return {
      asked,
      state: state === undefined ? asked.state : decodeVersioned(state.slice()),
      contexts: context === undefined ? [] : [context],
    };
  } catch (cause: unknown) {
    if (!(cause instanceof DecodeError || cause instanceof StoreError)) throw cause;
    throw new StoreError("internal", `a host answered something unreadable of ${key}: ${cause.message}`, { cause });
  }
}
