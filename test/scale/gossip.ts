/**
 * The Gossip port as gossipsub carries it with the settings of core/libp2p/gossip.ts and gossipsub's defaults: who
 * publishes sends to all peers (`floodPublish`); who hears a message first tells its mesh that it has it (IDONTWANT, from
 * 512 bytes on), judges it, passes it on to its mesh, and names it to a quarter of the others in its next three
 * heartbeats (IHAVE). All of that is counted. Nothing is lost here, so IHAVE names what everybody has, and only costs.
 */
import type { NodeId } from "../../core/identity.ts";
import type { Gossip, Hear } from "../../core/ports.ts";
import type { Mesh } from "./mesh.ts";

/** Mesh peers that a host grafts until it has as many; those who are grafted by others end with a few more. */
const meshDegree = 6;
const gossipFactor = 0.25;
const lazyDegree = 6;
const heartbeatsNamed = 3;
const idontwantBytesMin = 512;
/** From 40, key 38, signature 66, sequence 10, topic 33, and the frames of these. */
const envelopeBytes = 193;
/** A message's id is its author's key and a sequence number, 44 bytes; IHAVE names the topic as well. */
const idontwantBytes = 52;
const ihaveBytes = 87;

interface Message {
  readonly author: NodeId;
  readonly body: Uint8Array;
  /** Hosts that have it. */
  readonly seen: Set<NodeId>;
  /** By host: the mesh peers that said they have it. */
  readonly unwanted: Map<NodeId, Set<NodeId>>;
}

export class Overlay {
  readonly #mesh: Mesh;
  readonly #hears = new Map<NodeId, Hear>();
  readonly #grafted = new Map<NodeId, Set<NodeId>>();

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
  }

  of(self: NodeId): Gossip {
    return {
      publish: async (body) => this.#publish(self, body),
      subscribe: (hear) => {
        this.#hears.set(self, hear);
        return () => void this.#hears.delete(self);
      },
    };
  }

  /** Who hears nothing any more. */
  drop(id: NodeId): void {
    this.#hears.delete(id);
  }

  #publish(author: NodeId, body: Uint8Array): void {
    const message: Message = { author, body, seen: new Set([author]), unwanted: new Map() };
    const transport = this.#mesh.nodes.get(author)!;
    for (const to of this.#hears.keys()) if (transport.isConnected(to)) this.#send(message, author, to);
    this.#name(author);
  }

  #send(message: Message, from: NodeId, to: NodeId): void {
    this.#mesh.carry(from, "gossip", message.body.length + envelopeBytes, () => this.#receive(message, from, to));
  }

  #receive(message: Message, from: NodeId, self: NodeId): void {
    const hear = this.#hears.get(self);
    if (message.seen.has(self) || hear === undefined) return;
    message.seen.add(self);
    const peers = this.#meshOf(self);
    if (message.body.length >= idontwantBytesMin) {
      for (const peer of peers) if (peer !== from) this.#sayUnwanted(message, self, peer);
    }
    void hear(message.author, message.body.slice()).then((isSound) => {
      if (!isSound) return;
      const unwanted = message.unwanted.get(self);
      for (const peer of peers) {
        if (peer !== from && peer !== message.author && unwanted?.has(peer) !== true) this.#send(message, self, peer);
      }
      this.#name(self);
    });
  }

  #sayUnwanted(message: Message, self: NodeId, peer: NodeId): void {
    this.#mesh.carry(self, "gossip", idontwantBytes, () => {
      let unwanted = message.unwanted.get(peer);
      if (unwanted === undefined) message.unwanted.set(peer, (unwanted = new Set()));
      unwanted.add(self);
    });
  }

  /** Counted at once: nothing comes of it, so it need not be sent. */
  #name(self: NodeId): void {
    const others = Math.max(0, this.#hears.size - 1 - this.#meshOf(self).size);
    const named = Math.min(others, Math.max(lazyDegree, Math.floor(gossipFactor * others)));
    this.#mesh.count(self, "gossip", heartbeatsNamed * named * ihaveBytes);
  }

  /** Grafted when first needed, with peers at random; both sides of a graft are in each other's mesh. */
  #meshOf(self: NodeId): ReadonlySet<NodeId> {
    const peers = this.#graftedOf(self);
    const ids = [...this.#hears.keys()];
    while (peers.size < Math.min(meshDegree, ids.length - 1)) {
      const peer = this.#mesh.chance.pick(ids);
      if (peer === self) continue;
      peers.add(peer);
      this.#graftedOf(peer).add(self);
    }
    return peers;
  }

  #graftedOf(id: NodeId): Set<NodeId> {
    let peers = this.#grafted.get(id);
    if (peers === undefined) this.#grafted.set(id, (peers = new Set()));
    return peers;
  }
}
