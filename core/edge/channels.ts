/**
 * An edge's part in channels (`coordinate/channels.ts`): of each key it joins at one host, an owner where it can, and at
 * another one when that is gone. What is said while no host is connected is lost.
 */
import { makeKey, parseKey } from "../bytes/key.ts";
import { StoreError } from "../errors.ts";
import type { Key, NodeId } from "../identity.ts";
import { type Clock, type Random, type Transport, TransportError } from "../ports.ts";
import { checkChannelMessage, renewMs } from "../rpc/channel-messages.ts";
import { type RpcServer, tell } from "../rpc/call.ts";
import { edgeMethods } from "../rpc/edge-methods.ts";
import type { Channel } from "../store-node.ts";
import { reasonOf, type Tasks } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";
import type { Contact } from "./contact.ts";

interface ChannelsDeps {
  readonly contact: Contact;
  readonly transport: Pick<Transport, "tell">;
  readonly clock: Clock;
  readonly random: Random;
  readonly tasks: Tasks;
  readonly telemetry: Telemetry;
}

interface Part {
  readonly hear: (message: Uint8Array) => void;
}

interface Joined {
  /** Who takes part. */
  readonly parts: Set<Part>;
  /** Undefined: nowhere yet. */
  host: NodeId | undefined;
  atMs: number;
  isJoining: boolean;
  /** Refusals since it was joined last, and when the host that refused may be asked again. */
  refusals: number;
  refused: { readonly by: NodeId; readonly untilMs: number } | undefined;
}

const lookMs = 500;
/** The pause after refusals doubles up to this. */
const pauseMsMax = 30_000;
const timeoutMs = 5_000;

export class EdgeChannels {
  readonly #deps: ChannelsDeps;
  readonly #joined = new Map<Key, Joined>();

  constructor(deps: ChannelsDeps) {
    this.#deps = deps;
  }

  serve(server: RpcServer): void {
    server.on(edgeMethods.channelTell, async (from, { key, body }) => {
      const joined = this.#joined.get(parseKey(key));
      if (joined?.host === from) for (const { hear } of joined.parts) hear(body);
      return {};
    });
    this.#deps.tasks.every("look after channels", lookMs, () => {
      for (const [key, joined] of this.#joined) this.#look(key, joined);
    });
  }

  /** @throws StoreError `bad-request` */
  join(bucket: string, name: string, hear: (message: Uint8Array) => void): Channel {
    const key = makeKey(bucket, name);
    const joined = this.#joined.get(key) ?? nowhere();
    const part = { hear };
    this.#joined.set(key, joined);
    joined.parts.add(part);
    this.#look(key, joined);
    return {
      send: (body) => {
        checkChannelMessage(body);
        if (!joined.parts.has(part)) return;
        for (const other of joined.parts) if (other !== part) other.hear(body);
        if (joined.host === undefined) return;
        tell(this.#deps.transport, joined.host, edgeMethods.channelTell, { key, body, passedOn: false });
      },
      leave: () => {
        if (joined.parts.delete(part) && joined.parts.size === 0) this.#leave(key, joined);
      },
    };
  }

  #look(key: Key, joined: Joined): void {
    const { contact, clock } = this.#deps;
    const hosts = contact.hostsFor({ key });
    const isThere = joined.host !== undefined && hosts.includes(joined.host);
    if (isThere && clock.now() - joined.atMs < renewMs) return;
    // The old one goes on until the new one has taken it in: it may only be slow.
    const host = isThere ? joined.host : hosts[0];
    if (host === undefined || joined.isJoining || isRefused(joined, host, clock.now())) return;
    joined.isJoining = true;
    this.#deps.tasks.run("join a channel", async () => {
      try {
        await contact.askOne(host, edgeMethods.channelJoin, { join: [key], leave: [] }, timeoutMs);
        if (this.#joined.get(key) !== joined) return;
        Object.assign(joined, { host, atMs: clock.now(), refusals: 0, refused: undefined });
      } catch (error: unknown) {
        if (!(error instanceof StoreError || error instanceof TransportError)) throw error;
        const pauseMs = Math.min(pauseMsMax, lookMs * 2 ** joined.refusals) * (0.5 + this.#deps.random.next() / 2);
        joined.refusals += 1;
        joined.refused = { by: host, untilMs: clock.now() + pauseMs };
        this.#deps.telemetry.event({ kind: "replica-failed", id: host, reason: reasonOf(error) });
      } finally {
        joined.isJoining = false;
      }
    });
  }

  #leave(key: Key, { host }: Joined): void {
    const { contact, tasks } = this.#deps;
    this.#joined.delete(key);
    if (host === undefined) return;
    tasks.run("leave a channel", async () => {
      // Else the host notices by itself.
      await contact.askOne(host, edgeMethods.channelJoin, { join: [], leave: [key] }, timeoutMs).catch(() => undefined);
    });
  }
}

function nowhere(): Joined {
  return { parts: new Set(), host: undefined, atMs: -Infinity, isJoining: false, refusals: 0, refused: undefined };
}

/** Another host than the one that refused is asked at once. */
function isRefused({ refused }: Joined, host: NodeId, nowMs: number): boolean {
  return refused?.by === host && nowMs < refused.untilMs;
}
