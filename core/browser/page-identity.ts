/**
 * Who a page is: a key of its own, kept beside the data, so that both go together when the user clears the site's data.
 * Invariant: the key is on the disk before it is used, and never replaced. Hosts take an edge's unsent writes from no other.
 */
import { encodeUtf8 } from "lib0/string";
import { bytes, choice, DecodeError, field, message, optional, text } from "../bytes/codec.ts";
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import type { RecordStore } from "../storage/record-store.ts";

export interface PageIdentity {
  readonly id: NodeId;
  /** As of `makeKey` in core/libp2p/identity.ts. */
  readonly key: Uint8Array;
}

/** The id beside its key: to find it out takes libp2p, which is not loaded yet when a page starts. */
const IdentityRow = message("PageIdentity", {
  id: field(1, text(128)),
  key: field(2, bytes(1_024)),
  /** An edge where it is missing. */
  role: optional(3, choice({ edge: 0, host: 1 })),
});
/** A row in `meta`. */
const identityRow = encodeUtf8("page-identity");

/**
 * The identity in `records`; a new one at the first start. A role is kept: a share of the ring, or what waits to be sent,
 * would be left behind.
 * @throws StoreError `bad-request`: it is of the other role; `corrupt`: what it has written and not sent would be nobody's, so none is made in its place; `not-ready`:
 *   the code that makes keys cannot be loaded
 */
export async function loadPageIdentity(records: RecordStore, wanted: "edge" | "host"): Promise<PageIdentity> {
  const row = await records.get("meta", identityRow);
  if (row === undefined) return makePageIdentity(records, wanted);
  const { id, key, role = "edge" } = decoded(row);
  if (role === wanted) return { id: id as NodeId, key };
  throw new StoreError(
    "bad-request",
    `the data of this store in this browser is that of ${role === "edge" ? "an edge" : "a host"}: open it so`,
  );
}

function decoded(row: Uint8Array): ReturnType<typeof IdentityRow.decode> {
  try {
    return IdentityRow.decode(row);
  } catch (cause: unknown) {
    if (!(cause instanceof DecodeError)) throw cause;
    throw new StoreError("corrupt", "the identity of this page cannot be read", { cause });
  }
}

async function makePageIdentity(records: RecordStore, role: "edge" | "host"): Promise<PageIdentity> {
  const { makeKey, nodeIdOf } = await import("../libp2p/identity.ts").catch((cause: unknown) => {
    throw new StoreError("not-ready", `the code that makes this page's key cannot be loaded: ${String(cause)}`, {
      cause,
    });
  });
  const key = await makeKey();
  const id = nodeIdOf(key);
  await records.commit([{ kind: "put", ns: "meta", key: identityRow, value: IdentityRow.encode({ id, key, role }) }]);
  return { id, key };
}
