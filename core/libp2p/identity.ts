/**
 * The Identity port over libp2p keys. Ed25519 ids hold their public key, so that nobody has to be asked for it.
 */
import type { PrivateKey } from "@libp2p/interface";
import { peerIdFromString } from "@libp2p/peer-id";
import type { NodeId } from "../identity.ts";
import type { Identity } from "../ports.ts";

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
