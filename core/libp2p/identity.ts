/**
 * The Identity port over libp2p keys. Ed25519 ids hold their public key, so that nobody has to be asked for it.
 */
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from "@libp2p/crypto/keys";
import type { PrivateKey } from "@libp2p/interface";
import { peerIdFromPrivateKey, peerIdFromString } from "@libp2p/peer-id";
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import type { Identity } from "../ports.ts";

/** A new Ed25519 key, as the bytes in which it is kept: libp2p's protobuf form. */
export async function makeKey(): Promise<Uint8Array> {
  return privateKeyToProtobuf(await generateKeyPair("Ed25519"));
}

/** @throws StoreError `corrupt`: the node would come back as a stranger, so nobody makes another one silently. */
export function readKey(bytes: Uint8Array): PrivateKey {
  try {
    return privateKeyFromProtobuf(bytes);
  } catch (cause) {
    throw new StoreError("corrupt", `the key of this node cannot be read (${bytes.length} bytes)`, { cause });
  }
}

/** Who has this key. @throws StoreError `corrupt` */
export function nodeIdOf(key: Uint8Array): NodeId {
  return peerIdFromPrivateKey(readKey(key)).toString() as NodeId;
}

export function libp2pIdentity(privateKey: PrivateKey): Identity {
  return {
    sign: async (input) => privateKey.sign(input),
    async verify(who: NodeId, input, signature) {
      try {
        return (await peerIdFromString(who).publicKey?.verify(input, signature)) ?? false;
      } catch {
        // Not an id, or a signature of the wrong length: as little proof as a wrong one.
        return false;
      }
    },
  };
}
