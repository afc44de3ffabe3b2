/**
 * The Gossip port over gossipsub: one topic per cluster, every message signed by its publisher.
 * A message that is published while a peer is away is lost for it, so this is never the only way something goes.
 */
import {
  gossipsub,
  type GossipSub,
  type GossipSubComponents,
  type Message,
  StrictSign,
  TopicValidatorResult,
} from "@chainsafe/libp2p-gossipsub";
import { toHex } from "../bytes/hex.ts";
import type { NodeId } from "../identity.ts";
import { type Gossip, gossipBytesMax, type Hear } from "../ports.ts";

const nothing = new Uint8Array(0);

function topicOf(cluster: string): string {
  return `/everwrite/1/members/${cluster}`;
}

/** The libp2p service; give what libp2p makes of it to `libp2pGossip`. */
export function gossipService(cluster: string): (components: GossipSubComponents) => GossipSub {
  return gossipsub({
    globalSignaturePolicy: StrictSign,
    allowedTopics: [topicOf(cluster)],
    // A lone host publishes too.
    allowPublishToZeroTopicPeers: true,
    ignoreDuplicatePublishError: true,
    // Each neighbour brings each message. What has the signature of one that was verified is no news, and needs no second
    // verification, the dearest part of a message (a forged copy of it would not have been passed on either).
    fastMsgIdFn: ({ signature = nothing }) => toHex(signature),
    // Of a frame: a message, its signature, and what gossipsub has to say beside it.
    maxInboundDataLength: 2 * gossipBytesMax,
    // A relay meters what it carries. And gossipsub opens one stream to a peer: through a relay it would end with that,
    // although the two have had a direct connection for long.
    runOnLimitedConnection: false,
    fallbackToFloodsub: false,
    // With the default, more than ten peers behind one address (a test machine, a NAT, a reverse proxy) prune each other.
    scoreParams: { IPColocationFactorWeight: 0 },
  });
}

export function libp2pGossip(pubsub: GossipSub, cluster: string): Gossip {
  const topic = topicOf(cluster);
  return {
    async publish(body) {
      await pubsub.publish(topic, body);
    },
    subscribe(hear) {
      // Judged before it is passed on: what is refused here goes no further, and costs its bringer score.
      pubsub.topicValidators.set(topic, (_bringer, message) => judge(hear, message));
      pubsub.subscribe(topic);
      return () => {
        pubsub.unsubscribe(topic);
        pubsub.topicValidators.delete(topic);
      };
    },
  };
}

async function judge(hear: Hear, message: Message): Promise<TopicValidatorResult> {
  if (message.type !== "signed") return TopicValidatorResult.Reject;
  const isSound = await hear(message.from.toString() as NodeId, message.data);
  return isSound ? TopicValidatorResult.Accept : TopicValidatorResult.Reject;
}
