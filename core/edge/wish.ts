/**
 * A put or delete as the application asks it, checked, and as it is stored. Limits are checked here, and at the host again.
 */
import type { DeleteOptions } from "../api.ts";
import { parseWriteId, type WriteId } from "../causality/actor.ts";
import type { Dot } from "../causality/version-set.ts";
import { StoreError } from "../errors.ts";
import type { Key, NodeId } from "../identity.ts";
import { checkBody, checkContentType, checkRenewal, checkTtl, contentTypeDefault, foldsOf } from "../limits.ts";
import { resolveQuorum } from "../quorum/resolve.ts";
import type { RequestName, StorePutOptions } from "../store-node.ts";
import type { EdgeConfig } from "./config.ts";
import type { Contact, HostsTime } from "./contact.ts";
import { type Evidence, evidenceOf } from "./evidence.ts";
import type { Intended } from "./own-actor.ts";
import type { OutboxRow } from "./outbox.ts";

export type WriteOptions = StorePutOptions & DeleteOptions & RequestName;

export interface WriteWish {
  readonly evidence: Evidence;
  readonly value: Intended["value"];
  readonly folds: readonly Dot[];
  readonly writeId?: WriteId;
  readonly request?: string;
  readonly renews: boolean;
  readonly levels: Pick<OutboxRow, "w" | "pw">;
  readonly time: Omit<HostsTime, "isKnown">;
  /** It is sent at once, so it counts as sent from now on. */
  readonly isSentNow: boolean;
}

interface WishDeps {
  readonly self: NodeId;
  readonly contact: Contact;
  readonly config: EdgeConfig;
}

/** `needed`: copies that W asks for. @throws StoreError `bad-request`, `bad-context`, `value-too-large`, `quorum-not-met` */
export function wishOf(
  { self, contact, config }: WishDeps,
  key: Key,
  body: Uint8Array | undefined,
  options: WriteOptions,
): { readonly wish: WriteWish; readonly needed: number } {
  const {
    ttlMs,
    renews = false,
    context,
    writeId,
    request,
    w = "quorum",
    pw,
    contentType = contentTypeDefault,
    kind = "opaque",
    folds,
  } = options;
  if (body !== undefined) checkBody(config, key, body);
  checkContentType(config, contentType);
  checkTtl(ttlMs);
  checkRenewal(options);
  const needed = resolveQuorum(w, contact.replicas, "w");
  if (pw !== undefined) resolveQuorum(pw, contact.replicas, "pw");
  const { time, isConnected } = contact;
  const wish = {
    evidence: evidenceOf({ edge: self, key }, context),
    value: {
      kind,
      tombstone: body === undefined,
      contentType,
      body: body ?? new Uint8Array(0),
      ...(ttlMs === undefined ? {} : { expiresAtMs: time.wallMs + ttlMs }),
    },
    folds: foldsOf(kind, folds),
    ...(writeId === undefined ? {} : { writeId: parseWriteId(writeId) }),
    ...(request === undefined ? {} : { request: parseRequest(request) }),
    levels: { w: String(w), ...(pw === undefined ? {} : { pw: String(pw) }) },
    renews,
    time,
    // What is minted by a clock that is not known to be right is not sent as it is.
    isSentNow: isConnected && time.isKnown,
  };
  return { wish, needed };
}

function parseRequest(text: string): string {
  if (/^[0-9a-f]{16}$/.test(text)) return text;
  throw new StoreError("bad-request", `a request is named by 16 lower-case hex digits, not "${text}"`);
}
