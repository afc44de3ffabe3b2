/**
 * The names of things, branded so that one cannot be passed for another.
 * Each brand is minted in one place; everything else receives it.
 */

declare const brand: unique symbol;
type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/** A node's libp2p PeerId in its text form (`12D3Koo…`). Minted by the transport, which has authenticated it. */
export type NodeId = Branded<string, "NodeId">;

/**
 * Names one run of events: 8 random bytes as 16 lower-case hex digits.
 * Minted by `causality/actor.ts` only: PROTOCOL rules on reuse hang on it.
 */
export type ActorId = Branded<string, "ActorId">;

/** Index of one of the Q equal partitions of the hash space, 0..Q-1. Minted by `placement/partition.ts`. */
export type PartitionIndex = Branded<number, "PartitionIndex">;

/** `bucket/name`, checked by `bytes/key.ts`: 1..1,024 bytes of UTF-8, bucket without `/`. */
export type Key = Branded<string, "Key">;
