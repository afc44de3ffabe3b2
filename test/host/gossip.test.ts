import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { type GossipSub, gossipsub, StrictNoSign, StrictSign } from "@chainsafe/libp2p-gossipsub";
import { generateKeyPair, publicKeyToProtobuf } from "@libp2p/crypto/keys";
import type { Libp2p } from "@libp2p/interface";
import { peerIdFromPrivateKey } from "@libp2p/peer-id";
import { gossipService, libp2pGossip } from "../../core/libp2p/gossip.ts";
import { libp2pIdentity } from "../../core/libp2p/identity.ts";
import type { NodeId } from "../../core/identity.ts";
import { type Gossip, gossipBytesMax } from "../../core/ports.ts";
import { nodeLibp2p } from "../../node-host/libp2p-node.ts";
import { eventually } from "../support/eventually.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

interface Gossiper {
  readonly libp2p: Libp2p;
  readonly gossip: Gossip;
  /** First byte of each body, and who published it. */
  readonly heard: { readonly from: NodeId; readonly first: number }[];
}

const running: Libp2p[] = [];
after(() => Promise.all(running.map(async (libp2p) => libp2p.stop())));

/** Refuses bodies that begin with 0. */
async function gossiper(cluster: string, service = gossipService(cluster)): Promise<Gossiper> {
  const libp2p = await nodeLibp2p({ listen: ["/ip4/127.0.0.1/tcp/0"], services: { pubsub: service } });
  running.push(libp2p);
  const gossip = libp2pGossip(libp2p.services["pubsub"] as GossipSub, cluster);
  const heard: Gossiper["heard"] = [];
  gossip.subscribe(async (from, body) => {
    heard.push({ from, first: body[0]! });
    return body[0] !== 0;
  });
  return { libp2p, gossip, heard };
}

/** Keeps to no rule of ours in what it publishes. */
const rogue = (cluster: string, globalSignaturePolicy: typeof StrictSign | typeof StrictNoSign): Promise<Gossiper> =>
  gossiper(cluster, gossipsub({ globalSignaturePolicy, allowPublishToZeroTopicPeers: true }));

const pubsubOf = ({ libp2p }: Gossiper): GossipSub => libp2p.services["pubsub"] as GossipSub;
const idOf = ({ libp2p }: Gossiper): NodeId => libp2p.peerId.toString() as NodeId;
const meet = (a: Gossiper, b: Gossiper): Promise<unknown> => a.libp2p.dial(b.libp2p.getMultiaddrs());

/** Of gossipsub's messages from now on: how many came, and of how many the id was made, which follows their verification. */
function counted({ libp2p }: Gossiper): { readonly brought: () => number; readonly verified: () => number } {
  const inside = libp2p.services["pubsub"] as Record<"handleReceivedMessage" | "msgIdFn", Function>;
  const calls = (name: keyof typeof inside): (() => number) => {
    let count = 0;
    const original = inside[name];
    inside[name] = function (this: unknown, ...values: unknown[]): unknown {
      count += 1;
      return original.apply(this, values);
    };
    return () => count;
  };
  return { brought: calls("handleReceivedMessage"), verified: calls("msgIdFn") };
}

/** Published again and again, for gossip may lose, until all have heard it. */
async function reaches(from: Gossiper, first: number, all: readonly Gossiper[]): Promise<void> {
  let times = 0;
  await eventually(async () => {
    await from.gossip.publish(Uint8Array.of(first, times++));
    return all.every(({ heard }) => heard.some((each) => each.from === idOf(from) && each.first === first));
  }, `${all.length} nodes to hear ${first}`);
}

describe("gossip over libp2p", () => {
  test("reaches who is not connected with the publisher, under the publisher's authenticated name", async () => {
    const [a, b, c] = await Promise.all([gossiper("one"), gossiper("one"), gossiper("one")]);
    await meet(a, b);
    await meet(b, c);
    await reaches(a, 7, [b, c]);
    assert.ok(c.heard.every(({ from }) => from === idOf(a)));
  });

  test("passes on nothing that was refused, and nothing of another cluster", async () => {
    const [a, b, c, other] = await Promise.all([gossiper("two"), gossiper("two"), gossiper("two"), gossiper("three")]);
    await meet(a, b);
    await meet(b, c);
    await meet(other, b);
    await a.gossip.publish(Uint8Array.of(0));
    await other.gossip.publish(Uint8Array.of(9));
    await reaches(a, 7, [b, c]);
    assert.deepEqual(
      c.heard.filter(({ first }) => first !== 7),
      [],
    );
    assert.ok(b.heard.every(({ first }) => first !== 9));
  });

  test("of a lone host, or as large as may travel, costs its publisher nothing", async () => {
    const [a, b] = await Promise.all([gossiper("four"), gossiper("four")]);
    await a.gossip.publish(Uint8Array.of(1));
    await meet(a, b);
    await reaches(a, 2, [b]);
    await a.gossip.publish(new Uint8Array(gossipBytesMax).fill(3));
    await eventually(() => b.heard.some(({ first }) => first === 3), "the largest body");
    await reaches(a, 4, [b]);
  });

  test("above the size that may travel is heard by nobody, and loses its publisher their ear", async () => {
    const [a, b, c] = await Promise.all([rogue("six", StrictSign), gossiper("six"), gossiper("six")]);
    await meet(a, b);
    await meet(c, b);
    await reaches(a, 1, [b, c]);
    const heardIt = (): boolean => b.heard.some(({ first }) => first === 8);
    await a.gossip.publish(new Uint8Array(2 * gossipBytesMax + 1).fill(8));
    const isDropped = (): boolean =>
      !pubsubOf(b)
        .getPeers()
        .some((id) => id.equals(a.libp2p.peerId));
    await eventually(() => isDropped() || heardIt(), "b to hang up");
    await reaches(c, 2, [b]);
    await reaches(b, 3, [c]);
    assert.ok(![...b.heard, ...c.heard].some(({ first }) => first === 8));
  });

  test("that nobody signed, or another than it names, is heard by nobody; what comes after it is", async () => {
    const [unsigned, forger, b, c] = await Promise.all([
      rogue("seven", StrictNoSign),
      rogue("seven", StrictSign),
      gossiper("seven"),
      gossiper("seven"),
    ]);
    for (const each of [unsigned, forger, c]) await meet(each, b);
    await reaches(forger, 1, [b, c]);
    const config = pubsubOf(forger) as unknown as { publishConfig: object };
    const { peerId: author } = c.libp2p;
    config.publishConfig = { ...config.publishConfig, author, key: publicKeyToProtobuf(author.publicKey!) };
    const { brought } = counted(b);
    let times = 0;
    for (const [from, first] of [
      [unsigned, 8],
      [forger, 9],
    ] as const) {
      const before = brought();
      await eventually(async () => {
        await from.gossip.publish(Uint8Array.of(first, times++));
        return brought() >= before + 3;
      }, `messages that begin with ${first} to arrive`);
    }
    await reaches(c, 2, [b]);
    await reaches(b, 3, [c]);
    assert.deepEqual(
      [...b.heard, ...c.heard].map(({ first }) => first).filter((first) => first > 3),
      [],
    );
  });

  test("verifies each message once, however many neighbours bring it", async () => {
    const nodes = await Promise.all(Array.from({ length: 4 }, () => gossiper("five")));
    for (const [i, a] of nodes.entries()) for (const b of nodes.slice(i + 1)) await meet(a, b);
    const [first, , , last] = nodes as [Gossiper, Gossiper, Gossiper, Gossiper];
    const { brought, verified } = counted(last);
    let times = 0;
    await eventually(async () => {
      await first.gossip.publish(Uint8Array.of(7, times++));
      return brought() >= last.heard.length + 10;
    }, "neighbours to bring what was heard");
    assert.ok(verified() < brought() - 5, `${verified()} of ${brought()} were verified`);
  });

  test("works among more than ten peers behind one address", async () => {
    const hub = await gossiper("many");
    const peers = await Promise.all(Array.from({ length: 12 }, () => gossiper("many")));
    for (const peer of peers) await meet(peer, hub);
    await reaches(peers[0]!, 5, [hub, ...peers.slice(1)]);
    // The scores of the first seconds have been taken: peers of one address are not pruned for it.
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    await reaches(peers[11]!, 6, [hub, ...peers.slice(0, 11)]);
  });
});

test("a node's signature is that of its id, and of nothing else", async () => {
  const [key, otherKey] = await Promise.all([generateKeyPair("Ed25519"), generateKeyPair("Ed25519")]);
  const [id, otherId] = [key, otherKey].map((each) => peerIdFromPrivateKey(each).toString() as NodeId);
  const identity = libp2pIdentity(key);
  const input = Uint8Array.of(1, 2, 3);
  const signature = await identity.sign(input);
  assert.deepEqual(await identity.sign(input), signature, "equal bytes, equal signature");
  const check = (who: NodeId, what: Uint8Array, by: Uint8Array): Promise<boolean> => identity.verify(who, what, by);
  assert.equal(await check(id!, input, signature), true);
  assert.equal(await check(otherId!, input, signature), false);
  assert.equal(await check(id!, Uint8Array.of(1, 2, 4), signature), false);
  assert.equal(await check(id!, input, signature.subarray(1)), false);
  assert.equal(await check("nobody" as NodeId, input, signature), false);
});

test("hosts agree on members and ring with gossip switched off", async () => {
  await using hosts = await HostProcesses.of(3, temporaryDirectory(), { flags: ["--gossip", "off"] });
  await hosts.signal(2, "SIGKILL");
  hosts.start(2);
  await hosts.ready(2);
  await hosts.settled();
  const all = await Promise.all([0, 1, 2].map((i) => hosts.status(i)));
  assert.deepEqual(
    all.map(({ members }) => members.length),
    [3, 3, 3],
  );
});
