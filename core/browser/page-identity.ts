/**
 * Who a page is: a key of its own, kept beside the data, so that both go together when the user clears the site's data.
 * Invariant: the key is on the disk before it is used, and never replaced. Hosts take an edge's unsent writes from no other.
 */
import { encodeUtf8 } from "lib0/string";
import { bytes, DecodeError, field, message, text } from "../bytes/codec.ts";
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import type { RecordStore } from "../storage/record-store.ts";

export interface PageIdentity {
  readonly id: NodeId;
  /** As of `makeKey` in core/libp2p/identity.ts. */
  readonly key: Uint8Array;
}

/** The id beside its key: to find it out takes libp2p, which is not loaded yet when a page starts. */
const IdentityRow = message("PageIdentity", { id: field(1, text(128)), key: field(2, bytes(1_024)) });
/** A row in `meta`. */
const identityRow = encodeUtf8("page-identity");

/**
 * The identity in `records`; a new one at the first start.
 * @throws StoreError `corrupt`: what it has written and not sent would be nobody's, so none is made in its place; `not-ready`:
 *   the code that makes keys cannot be loaded
 */
export async function loadPageIdentity(records: RecordStore): Promise<PageIdentity> {
  const row = await records.get("meta", identityRow);
  if (row === undefined) return makePageIdentity(records);
  try {
    const { id, key } = IdentityRow.decode(row);
    return { id: id as NodeId, key };
  } catch (cause: unknown) {
    if (!(cause instanceof DecodeError)) throw cause;
    throw new StoreError("corrupt", "the identity of this page cannot be read", { cause });
  }
}

async function makePageIdentity(records: RecordStore): Promise<PageIdentity> {
  const { makeKey, nodeIdOf } = await import("../libp2p/identity.ts").catch((cause: unknown) => {
    throw new StoreError("not-ready", `the code that makes this page's key cannot be loaded: ${String(cause)}`, {
      cause,
    });
  });
  const key = await makeKey();
  const id = nodeIdOf(key);
  await records.commit([{ kind: "put", ns: "meta", key: identityRow, value: IdentityRow.encode({ id, key }) }]);
  return { id, key };
}
