/**
 * What an edge has seen of a key, and how it proves that to hosts: sealed contexts of theirs, which it cannot make, and
 * events of its own, which nobody else can (PROTOCOL 3, *Contexts*). Applications get it as text, as they do from hosts.
 * Invariant: evidence covers what its holder has seen, and nothing else.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { encodeUtf8 } from "lib0/string";
import { fromBase64url, toBase64url } from "../bytes/base64url.ts";
import { bytes, DecodeError, field, fixedBytes, message, repeated } from "../bytes/codec.ts";
import { equalBytes } from "../bytes/compare.ts";
import { actorOfEdge, actorOfWriteId } from "../causality/actor.ts";
import { peekContext } from "../causality/context.ts";
import {
  compareDots,
  type Coverage,
  coverageOfDots,
  covers,
  coversAll,
  type Dot,
  uniteCoverage,
} from "../causality/version-set.ts";
import { StoreError } from "../errors.ts";
import type { Key, NodeId } from "../identity.ts";
import { edgeOwnEventsMax, OwnEvent } from "../rpc/edge-messages.ts";
import { contextText, edgeContextsMax } from "../rpc/common-messages.ts";

export interface Evidence {
  readonly contexts: readonly string[];
  readonly own: readonly OwnEvent[];
}

export const noEvidence: Evidence = { contexts: [], own: [] };

/** Whose events, and of which key. */
export interface Subject {
  readonly edge: NodeId;
  readonly key: Key;
}

export function dotOf({ edge, key }: Subject, { nonce, writeId, counter }: OwnEvent): Dot {
  if (nonce !== undefined) return { actor: actorOfEdge(edge, nonce), counter };
  if (writeId !== undefined) return { actor: actorOfWriteId(key, writeId), counter };
  throw new StoreError("bad-context", "an event is named neither by a nonce nor by a write id");
}

/** @throws StoreError `bad-context` */
export function coverageOf(subject: Subject, { contexts, own }: Evidence): Coverage {
  const seen = contexts.map((context) => peekContext(context, subject.key));
  return seen.reduce(uniteCoverage, coverageOfDots(own.map((event) => dotOf(subject, event))));
}

/** What is seen by one who has seen all of it; a context or an event that a later context covers is left out. */
export function unite(subject: Subject, parts: readonly Evidence[]): Evidence {
  const contexts: { readonly text: string; readonly vector: readonly Dot[] }[] = [];
  for (const text of new Set(parts.flatMap((part) => part.contexts))) {
    const { vector } = peekContext(text, subject.key);
    if (contexts.some((other) => coversAll(other.vector, vector) && !coversAll(vector, other.vector))) continue;
    // Of equal ones the later: the cluster's secret may have changed in between.
    const kept = contexts.filter((other) => !coversAll(vector, other.vector));
    contexts.splice(0, contexts.length, ...kept, { text, vector });
  }
  const latest = new Map<string, { readonly event: OwnEvent; readonly dot: Dot }>();
  for (const event of parts.flatMap((part) => part.own)) {
    const dot = dotOf(subject, event);
    if (contexts.some(({ vector }) => covers(vector, dot))) continue;
    if ((latest.get(dot.actor)?.dot.counter ?? 0) < dot.counter) latest.set(dot.actor, { event, dot });
  }
  const own = [...latest.values()].toSorted((a, b) => compareDots(a.dot, b.dot)).map(({ event }) => event);
  return { contexts: contexts.map(({ text }) => text), own };
}

/** Field numbers that sealed contexts do not have, so that one is never taken for the other: the first byte tells. */
const textTag = (11 << 3) | 2;
const Text = message("EdgeContext", {
  checksum: field(11, fixedBytes(8)),
  evidence: field(12, bytes(1 << 22)),
});

const Content = message("Evidence", {
  contexts: repeated(1, contextText, edgeContextsMax),
  own: repeated(2, OwnEvent, edgeOwnEventsMax),
});

/**
 * A single sealed context is handed out as it is; what is more is longer than a host's context may be, as it goes
 * nowhere but to this edge again. Null: nothing was ever seen.
 */
export function textOf({ key }: Subject, evidence: Evidence): string | null {
  const [only] = evidence.contexts;
  if (evidence.own.length === 0 && evidence.contexts.length < 2) return only ?? null;
  const encoded = Content.encode(evidence);
  return toBase64url(Text.encode({ checksum: checksumOf(key, encoded), evidence: encoded }));
}

/** @throws StoreError `bad-context`: damaged, cut short, or of another key. Whether hosts sealed it, only they can tell. */
export function evidenceOf(subject: Subject, text: string | undefined): Evidence {
  if (text === undefined) return noEvidence;
  const decoded = fromBase64url(text);
  // By its first byte: most are hosts', and an error that is thrown for each of them takes longer than all the rest.
  const own = decoded?.[0] === textTag ? tryDecode(() => Text.decode(decoded)) : undefined;
  if (own === undefined) {
    peekContext(text, subject.key);
    return { contexts: [text], own: [] };
  }
  const content = tryDecode(() => Content.decode(own.evidence));
  if (content === undefined || !equalBytes(own.checksum, checksumOf(subject.key, own.evidence))) {
    throw new StoreError("bad-context", "the context is damaged, or was given for another key");
  }
  coverageOf(subject, content);
  return content;
}

function checksumOf(key: Key, encoded: Uint8Array): Uint8Array {
  return sha256
    .create()
    .update(sha256(encodeUtf8(key)))
    .update(encoded)
    .digest()
    .slice(0, 8);
}

function tryDecode<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error: unknown) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}
