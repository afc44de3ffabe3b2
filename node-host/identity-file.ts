/**
 * A host's identity: its Ed25519 private key in a file of libp2p's protobuf form.
 *
 * Invariants: the file is created whole or not at all, and never replaced: a host that lost its key silently would come
 * back as a stranger. It is readable by its owner alone; wider permissions are tightened with a warning, because
 * refusing to start would not undo that others could read it.
 */
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from "@libp2p/crypto/keys";
import type { PrivateKey } from "@libp2p/interface";
import { randomBytes } from "node:crypto";
import { link, mkdir, open, readFile, stat, chmod, unlink } from "node:fs/promises";
import { dirname } from "node:path";

export class IdentityError extends Error {
  override readonly name = "IdentityError";
  readonly kind: "damaged" | "unreadable";

  constructor(kind: "damaged" | "unreadable", message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.kind = kind;
  }
}

/** Reads the key of `path`, creating it when there is none. @throws IdentityError */
export async function loadIdentity(
  path: string,
  onWarning: (text: string) => void = () => undefined,
): Promise<PrivateKey> {
  const bytes = await usable(path, async () => (await readOrUndefined(path)) ?? create(path));
  const key = keyOf(bytes, path);
  // Not before: the mode of somebody else's file is none of ours.
  await usable(path, () => tighten(path, onWarning));
  return key;
}

async function usable<Result>(path: string, use: () => Promise<Result>): Promise<Result> {
  try {
    return await use();
  } catch (error) {
    throw new IdentityError("unreadable", `cannot use the identity file ${path}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function keyOf(bytes: Uint8Array, path: string): PrivateKey {
  try {
    return privateKeyFromProtobuf(bytes);
  } catch (error) {
    const advice = "restore it from a backup, or move it away to start as a new node";
    throw new IdentityError(
      "damaged",
      `the identity file ${path} holds no private key (${bytes.length} bytes): ${advice}`,
      { cause: error },
    );
  }
}

async function readOrUndefined(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

async function create(path: string): Promise<Uint8Array> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const bytes = privateKeyToProtobuf(await generateKeyPair("Ed25519"));
  const draft = `${path}.${randomBytes(6).toString("hex")}`;
  const file = await open(draft, "wx", 0o600);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
  try {
    // Unlike a rename, a link never replaces: of two processes that start at once, both get the key of the first.
    await link(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await unlink(draft);
  }
  return readFile(path);
}

async function tighten(path: string, onWarning: (text: string) => void): Promise<void> {
  // Windows has no such bits.
  if (process.platform === "win32") return;
  const mode = (await stat(path)).mode & 0o777;
  if ((mode & 0o077) === 0) return;
  await chmod(path, 0o600);
  onWarning(
    `the identity file ${path} could be read by others (mode ${mode.toString(8)}): now 600; consider a new identity`,
  );
}
