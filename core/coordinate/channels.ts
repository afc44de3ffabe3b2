/**
 * Channels: whoever takes part in a key's channel hears what the others say there, now or never; nothing is stored. Edges and
 * this host's own applications take part through this host; hosts with participants join at all of the key's owners. So an
 * owner passes on by itself what is said through it, and where nobody else takes part, nobody else is told; what is said
 * through any other host, or while an owner may not know all that take part, the first owner that is up passes on.
 * Invariants: what one peer says is bounded in rate and size, and reaches nobody who has not joined; how many channels it
 * joins, and how often, is bounded too, for each join may be passed on to all owners.
 */
import { makeKey, parseKey } from "../bytes/key.ts";
import { StoreError } from "../errors.ts";
import type { Key, NodeId } from "../identity.ts";
import { call, encodeCall, methods, type RpcServer, tell } from "../rpc/rpc.ts";
import { channelMessageBytesMax, checkChannelMessage, joinedMs, renewMs } from "../rpc/channel-messages.ts";
import type { Channel } from "../store-node.ts";
import { reasonOf } from "../tasks.ts";
import { Allowance } from "./allowance.ts";
import type { CoordinateDeps } from "./deps.ts";

/** Of one edge: ten people typing at once, each with a cursor; saved up for a second. */
const messages = { perSecond: 500, savedMax: 500 } as const;
const bytes = { perSecond: 524_288, savedMax: 524_288 } as const;
const channelsPerPeerMax = 256;
/** Twice what renewing all of them takes; saved up until all can be joined at once. */
const joins = { perSecond: (2 * 1_000 * channelsPerPeerMax) / renewMs, savedMax: channelsPerPeerMax } as const;
const participantsMax = 1_000;
const channelsMax = 10_000;
/** By then every host has renewed what it takes part in. */
const renewedMs = 1.5 * renewMs;

type Deps = Pick<CoordinateDeps, "cluster" | "transport" | "clock" | "tasks" | "telemetry" | "config">;
type Hear = (message: Uint8Array) => void;

/** What a peer has joined here, and may still ask for. */
interface Peer {
  channels: number;
  readonly joins: Allowance;
  readonly messages: Allowance;
  readonly bytes: Allowance;
  /** `clock.now()`. */
  heardMs: number;
}

interface Participants {
  /** Peers, and until when they take part. */
  readonly peers: Map<NodeId, number>;
  /** Those that joined at this very node. */
  readonly own: Set<Hear>;
  joinedAtMs: number;
}

export class Channels {
  readonly #deps: Deps;
  readonly #channels = new Map<Key, Participants>();
  readonly #peers = new Map<NodeId, Peer>();
  #ring: string | undefined;
  /** Since when the ring is that one and all its hosts are up, as far as was looked. */
  #wholeSinceMs = 0;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  serve(server: RpcServer): void {
    server.on(methods.channelJoin, async (from, { join, leave }) => {
      for (const key of leave) this.#part(from, parseKey(key));
      // One of a host's many keys may be refused: it takes part in the others.
      const [refusal] = join.flatMap((key) => this.#admit(from, parseKey(key)) ?? []);
      if (refusal !== undefined) throw refusal;
      return {};
    });
    server.on(methods.channelTell, async (from, { key, body, passedOn }) => {
      this.#heard(from, parseKey(key), { body, passedOn });
      return {};
    });
    this.#deps.tasks.every("renew channels", renewMs, () => this.#renew());
  }

  /** @throws StoreError `bad-request`, `overloaded` */
  join(bucket: string, name: string, hear: Hear): Channel {
    const key = makeKey(bucket, name);
    const { own } = this.#open(key);
    own.add(hear);
    this.#joinOwners([key]);
    return {
      send: (message) => {
        checkChannelMessage(message);
        if (own.has(hear)) this.#say(key, message, hear);
      },
      leave: () => {
        own.delete(hear);
        this.#closeIfEmpty(key);
      },
    };
  }

  /** Whether this node has joined the key's channel here: it hears what is said there. */
  takesPart(key: Key, id: NodeId): boolean {
    return this.#channels.get(key)?.peers.has(id) ?? false;
  }

  #heard(from: NodeId, key: Key, { body, passedOn }: { readonly body: Uint8Array; readonly passedOn: boolean }): void {
    const { cluster } = this.#deps;
    if (!cluster.isMember(from)) {
      if (this.takesPart(key, from) && body.length <= channelMessageBytesMax && this.#mayPay(from, body))
        this.#say(key, body, from);
      return;
    }
    this.#deliver(key, body, { from, passesOn: !passedOn });
  }

  /** Of a participant here. */
  #say(key: Key, body: Uint8Array, from: NodeId | Hear): void {
    const { cluster, transport } = this.#deps;
    const { self } = cluster;
    const owners = this.#ownersOf(key);
    const passesOn = owners.includes(self) && this.#knowsAll();
    const first = passesOn ? self : owners.find((id) => cluster.health.isUp(id));
    this.#deliver(key, body, { from, passesOn: first === self });
    if (first === self || first === undefined) return;
    tell(transport, first, methods.channelTell, { key, body, passedOn: false });
  }

  /** Whether each host that takes part in channels of this node's keys has joined here: one that is cut off may not. */
  #knowsAll(): boolean {
    const { cluster, clock } = this.#deps;
    const { fingerprint, hosts } = cluster.ring;
    const isWhole = hosts.every(({ id }) => id === cluster.self || cluster.health.isUp(id));
    if (this.#ring !== fingerprint || !isWhole) this.#wholeSinceMs = clock.now();
    this.#ring = fingerprint;
    return clock.now() - this.#wholeSinceMs >= renewedMs;
  }

  /** To participants here, edges and this host's own; `passesOn`: also to the other hosts that have participants. */
  #deliver(
    key: Key,
    body: Uint8Array,
    { from, passesOn }: { readonly from: NodeId | Hear; readonly passesOn: boolean },
  ): void {
    const { cluster, transport } = this.#deps;
    const channel = this.#channels.get(key);
    if (channel === undefined) return;
    for (const hear of channel.own) if (hear !== from) hear(body);
    const others = [...channel.peers.keys()].filter((id) => id !== from && (passesOn || !cluster.isMember(id)));
    if (others.length === 0) return;
    const told = encodeCall(methods.channelTell, { key, body, passedOn: true });
    for (const id of others) transport.tell(id, told);
  }

  /** Returns why it is not let in. */
  #admit(from: NodeId, key: Key): StoreError | undefined {
    const { clock, cluster } = this.#deps;
    const now = clock.now();
    const peer = this.#peer(from);
    const isMember = cluster.isMember(from);
    if (!isMember && !peer.joins.take(1, now)) return full(`${from} joins too often: it may again in some seconds`);
    const known = this.#channels.get(key);
    if (!this.takesPart(key, from)) {
      if (known === undefined && this.#channels.size >= channelsMax) return tooMany();
      if ((known?.peers.size ?? 0) >= participantsMax) return full(`${key} has ${participantsMax} participants here`);
      if (!isMember && peer.channels >= channelsPerPeerMax)
        return full(`${from} takes part in ${peer.channels} channels`);
      peer.channels += 1;
    }
    const channel = this.#open(key);
    channel.peers.set(from, now + joinedMs);
    if (!isMember && now - channel.joinedAtMs > renewMs) this.#joinOwners([key]);
    return undefined;
  }

  #part(from: NodeId, key: Key): void {
    if (this.#channels.get(key)?.peers.delete(from) !== true) return;
    this.#peer(from).channels -= 1;
    this.#closeIfEmpty(key);
  }

  #peer(id: NodeId): Peer {
    const now = this.#deps.clock.now();
    const known = this.#peers.get(id);
    const peer = known ?? {
      channels: 0,
      joins: new Allowance(joins, now),
      messages: new Allowance(messages, now),
      bytes: new Allowance(bytes, now),
      heardMs: now,
    };
    this.#peers.set(id, peer);
    peer.heardMs = now;
    return peer;
  }

  /** @throws StoreError `overloaded` */
  #open(key: Key): Participants {
    const known = this.#channels.get(key);
    if (known !== undefined) return known;
    if (this.#channels.size >= channelsMax) throw tooMany();
    const opened = { peers: new Map(), own: new Set<Hear>(), joinedAtMs: -Infinity };
    this.#channels.set(key, opened);
    return opened;
  }

  #closeIfEmpty(key: Key): void {
    const channel = this.#channels.get(key);
    if (channel !== undefined && channel.peers.size === 0 && channel.own.size === 0) this.#channels.delete(key);
  }

  #renew(): void {
    const { clock, cluster } = this.#deps;
    this.#knowsAll();
    for (const [key, { peers }] of this.#channels) {
      for (const [id, untilMs] of peers) if (clock.now() > untilMs) this.#part(id, key);
    }
    // By then it has saved up all that it may.
    for (const [id, { channels, heardMs }] of this.#peers) {
      if (channels === 0 && clock.now() - heardMs > joinedMs) this.#peers.delete(id);
    }
    const isUsed = ({ peers, own }: Participants): boolean =>
      own.size > 0 || [...peers.keys()].some((id) => !cluster.isMember(id));
    this.#joinOwners([...this.#channels].flatMap(([key, channel]) => (isUsed(channel) ? [key] : [])));
  }

  /** What fails is renewed soon. */
  #joinOwners(keys: readonly Key[]): void {
    const { cluster, transport, clock, tasks, telemetry, config } = this.#deps;
    const byOwner = new Map<NodeId, Key[]>();
    for (const key of keys) {
      this.#channels.get(key)!.joinedAtMs = clock.now();
      for (const id of this.#ownersOf(key)) {
        if (id !== cluster.self && cluster.health.isUp(id)) byOwner.set(id, [...(byOwner.get(id) ?? []), key]);
      }
    }
    for (const [id, join] of byOwner) {
      tasks.run("join channels", async () => {
        try {
          await call(transport, id, methods.channelJoin, { join, leave: [] }, config.replicaTimeoutMs);
        } catch (error: unknown) {
          telemetry.event({ kind: "replica-failed", id, reason: reasonOf(error) });
        }
      });
    }
  }

  #ownersOf(key: Key): readonly NodeId[] {
    const { cluster } = this.#deps;
    return cluster.ring.owners(cluster.locate(key).partition);
  }

  #mayPay(from: NodeId, { length }: Uint8Array): boolean {
    const now = this.#deps.clock.now();
    const peer = this.#peer(from);
    return peer.bytes.left(now) >= length && peer.messages.take(1, now) && peer.bytes.take(length, now);
  }
}

function tooMany(): StoreError {
  return full(`${channelsMax} channels are open at this host`);
}

function full(text: string): StoreError {
  return new StoreError("overloaded", text);
}
