/**
 * Contexts that leave the cluster: what a client has read, handed back with its next write. Opaque base64url text.
 * Invariant: what opens was sealed by a host of this cluster, for this key; so it is trusted whole. Else a client could
 * claim to have seen what it has not, and its write would drop it everywhere.
 */
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { encodeUtf8 } from "lib0/string";
import { fromBase64url, toBase64url } from "../bytes/base64url.ts";
import { bytes, DecodeError, field, fixedBytes, message, type Message } from "../bytes/codec.ts";
import { equalBytes, equalSecrets } from "../bytes/compare.ts";
import { Recent } from "../bytes/recent.ts";
import { sha256Of } from "../bytes/sha256.ts";
import { invariant, StoreError } from "../errors.ts";
import type { Key } from "../identity.ts";
import { coverage as coverageMessage } from "./encoding.ts";
import type { Coverage } from "./version-set.ts";

/** It must fit the headers of an HTTP request. */
export const CONTEXT_CHARS_MAX = 32 * 1024;

const CONTEXT_SECRET_BYTES = 32;
const NAME_BYTES = 4;
const SEAL_BYTES = 16;

/** Shared by the hosts of a cluster. Clusters that met have several, and any of them opens. */
export interface ContextSecret {
  /** Tells which secret sealed a context; reveals nothing else of it. */
  readonly name: Uint8Array;
  /** Keyed once and copied for each seal, which halves its cost. */
  readonly mac: ReturnType<typeof hmac.create>;
}

export function contextSecret(secret: Uint8Array): ContextSecret {
  invariant(secret.length === CONTEXT_SECRET_BYTES, `a context secret has ${CONTEXT_SECRET_BYTES} bytes`);
  const mac = hmac.create(sha256, secret);
  const name = mac.clone().update(encodeUtf8("everwrite/context-secret-name")).digest().slice(0, NAME_BYTES);
  return { name, mac };
}

/** The coverage comes last, so that a text cut short is told from a forged one. */
const Sealed: Message<SealedContext> = message("Context", {
  secretName: field(1, fixedBytes(NAME_BYTES)),
  keyName: field(2, fixedBytes(NAME_BYTES)),
  seal: field(3, fixedBytes(SEAL_BYTES)),
  coverage: field(4, bytes(CONTEXT_CHARS_MAX)),
});

interface SealedContext {
  readonly secretName: Uint8Array;
  readonly keyName: Uint8Array;
  readonly seal: Uint8Array;
  readonly coverage: Uint8Array;
}

/** A coverage of `contextOf` always fits. */
export function sealContext(coverage: Coverage, key: Key, secret: ContextSecret): string {
  const keyDigest = digestOf(key);
  const encoded = coverageMessage.encode(coverage);
  const sealed = Sealed.encode({
    secretName: secret.name,
    keyName: keyDigest.slice(0, NAME_BYTES),
    seal: sealOf(encoded, keyDigest, secret),
    coverage: encoded,
  });
  const text = toBase64url(sealed);
  invariant(text.length <= CONTEXT_CHARS_MAX, `a context of ${text.length} characters is too long`);
  return text;
}

/** @throws StoreError `bad-context`, whose message says what is wrong with it. */
export function openContext(text: string, key: Key, secrets: readonly ContextSecret[]): Coverage {
  const sealed = readSealed(text, key);
  const keyDigest = digestOf(key);
  const named = secrets.filter((secret) => equalBytes(secret.name, sealed.secretName));
  if (named.length === 0) refuse("was sealed under a secret that this cluster does not know");
  if (!named.some((secret) => equalSecrets(sealed.seal, sealOf(sealed.coverage, keyDigest, secret)))) {
    refuse("has a wrong seal: it was changed, or not given by this cluster");
  }
  return decodeOrRefuse(coverageMessage, sealed.coverage, "is of a version that this host does not read");
}

/**
 * What a context says that it covers, unproven: for an edge, which has no secrets, and acts on its own copies alone.
 * @throws StoreError `bad-context`
 */
export function peekContext(text: string, key: Key): Coverage {
  const sealed = readSealed(text, key);
  return decodeOrRefuse(coverageMessage, sealed.coverage, "is of a version that this node does not read");
}

function readSealed(text: string, key: Key): SealedContext {
  if (text.length > CONTEXT_CHARS_MAX) refuse(`is longer than ${CONTEXT_CHARS_MAX} characters`);
  const decoded = fromBase64url(text) ?? refuse("is not base64url, or was cut short");
  const sealed = decodeOrRefuse(Sealed, decoded, "is truncated or damaged");
  if (!equalBytes(sealed.keyName, digestOf(key).slice(0, NAME_BYTES))) refuse("was given for another key");
  return sealed;
}

/** Of keys in use: a write opens a context of its key and seals another. About 150 bytes each. */
const keyDigests = new Recent<Key, Uint8Array>(32_768, () => 1);

function digestOf(key: Key): Uint8Array {
  let digest = keyDigests.get(key);
  if (digest === undefined) {
    digest = sha256Of(encodeUtf8(key));
    keyDigests.set(key, digest);
  }
  return digest;
}

/** The key's digest has a fixed length, so key and coverage cannot trade bytes. */
function sealOf(encoded: Uint8Array, keyDigest: Uint8Array, secret: ContextSecret): Uint8Array {
  return secret.mac.clone().update(keyDigest).update(encoded).digest().slice(0, SEAL_BYTES);
}

function decodeOrRefuse<T>(type: Message<T>, input: Uint8Array, problem: string): T {
  try {
    return type.decode(input);
  } catch (cause: unknown) {
    if (cause instanceof DecodeError) refuse(`${problem} (${cause.message})`, cause);
    throw cause;
  }
}

function refuse(problem: string, cause?: unknown): never {
  throw new StoreError("bad-context", `the context ${problem}`, { cause });
}
