/**
 * One round's talk with one peer: the questions of `tree-diff.ts`, then keys and states. Counts what it costs.
 * Invariant: an answer changes nothing here but through the one door, and only keys that were asked for.
 */
import type { Infer } from "../bytes/codec.ts";
import { toHex } from "../bytes/hex.ts";
import { parseKey } from "../bytes/key.ts";
import { compare } from "../causality/clock.ts";
import { stillMember } from "../cluster/still-member.ts";
import { decodeClock } from "../causality/encoding.ts";
import type { Key, NodeId } from "../identity.ts";
import { hashBytes, packHashes } from "../merkle/hash.ts";
import type { Section } from "../merkle/shared-trees.ts";
import type { RemoteTrees } from "../merkle/tree-diff.ts";
import type { LeafIndex } from "../merkle/trees.ts";
import { keyOfRow, type LocatedKey, locate } from "../placement/locate.ts";
import { call, type Method, methods } from "../rpc/rpc.ts";
import { type AntiEntropyDeps, applyAll, type Sender, shareOfLeaf, splitHashes } from "./anti-entropy-answers.ts";
import { Steps } from "./steps.ts";

const limits = {
  /** What is found in these is swapped before more is looked for. */
  leavesPerRequest: 256,
  /** No further leaf goes into a request that has so many bytes of hashes: 32,768 keys. */
  hashBytesMax: 262_144,
  keysMax: 10_000,
  stateBytesMax: 16_777_216,
  /** States in one message, each way: one group commit, which requests beside it wait for. */
  swapBytesMax: 262_144,
  keysPerSwap: 128,
  /** Longer than a busy disk takes; what is not answered by then is found again in the next round. */
  timeoutMs: 10_000,
};

/** What a round took; `bytes` of requests and answers, both ways. */
export interface Cost {
  readonly keysPushed: number;
  readonly keysPulled: number;
  readonly bytes: number;
  readonly roundTrips: number;
  readonly ms: number;
}

/** What differs, and whose clock is ahead: both, where they are concurrent. */
interface Differences {
  push: LocatedKey[];
  wanted: Key[];
}

export class PeerRound implements RemoteTrees {
  readonly #deps: AntiEntropyDeps;
  readonly #peer: Sender;
  readonly #counts = { keysPushed: 0, keysPulled: 0, bytes: 0, roundTrips: 0 };
  readonly #startedMs: number;
  #stateBytes = 0;

  constructor(deps: AntiEntropyDeps, peer: NodeId) {
    this.#deps = deps;
    this.#startedMs = deps.clock.now();
    this.#peer = { id: peer, check: stillMember(deps.cluster, peer) };
  }

  /** So far. */
  get counts(): Cost {
    return { ...this.#counts, ms: this.#deps.clock.now() - this.#startedMs };
  }

  async groups(digest: Uint8Array): Promise<Uint8Array | undefined> {
    const view = this.#deps.exchange.view();
    return (await this.#ask(methods.compare, { view, digest })).groups;
  }

  async leaves(groups: readonly Section[]): Promise<readonly Section[]> {
    const view = this.#deps.exchange.view();
    await this.#deps.throttle();
    return (await this.#ask(methods.compareLeaves, { view, groups })).partitions;
  }

  /** Makes the keys of these leaves equal; true: a limit was reached before the end. */
  async mend(leaves: readonly LeafIndex[]): Promise<boolean> {
    const rest = [...leaves];
    while (rest.length > 0) {
      if (await this.#swap(await this.#compareKeys(rest))) return true;
    }
    return false;
  }

  /** Takes as many leaves from `rest` as go into one request. */
  async #compareKeys(rest: LeafIndex[]): Promise<Differences> {
    const { exchange, replica, cluster, throttle } = this.#deps;
    const { index } = replica;
    const steps = new Steps({ turn: throttle });
    const own = new Map<string, Uint8Array>();
    const sections: Section[] = [];
    while (rest.length > 0 && sections.length < limits.leavesPerRequest && own.size * hashBytes < limits.hashBytesMax) {
      const leaf = rest.pop()!;
      await steps.turn();
      const entries = await index.entriesOf(leaf);
      steps.did(shareOfLeaf(entries.length));
      sections.push({ index: leaf, hashes: packHashes(entries.map(({ hash }) => hash)) });
      for (const { hash, row } of entries) own.set(toHex(packHashes([hash])), row);
    }
    const answer = await this.#ask(methods.compareKeys, { view: exchange.view(), leaves: sections });

    const { partitions } = cluster.ring;
    const differences: Differences = { push: [], wanted: [] };
    const asked = new Set(sections.map((section) => section.index));
    const heldThere = new Set<string>();
    for (const { key, clock } of answer.keys) {
      const located = locate(parseKey(key), partitions);
      if (heldThere.has(key) || !asked.has(index.trees.leafOf(located.row))) continue;
      heldThere.add(key);
      const relation = compare((await replica.row(located)).state, decodeClock(clock));
      if (relation !== "before" && relation !== "equal") differences.push.push(located);
      if (relation !== "after" && relation !== "equal") differences.wanted.push(located.key);
    }
    for (const hash of splitHashes(answer.lacking).keys()) {
      const row = own.get(hash);
      if (row === undefined) continue;
      const key = keyOfRow(row);
      if (!heldThere.has(key)) differences.push.push(locate(key, partitions));
    }
    return differences;
  }

  /** True: the round may move no more. */
  async #swap({ push, wanted }: Differences): Promise<boolean> {
    while (push.length > 0 || wanted.length > 0) {
      const moved = this.#counts.keysPushed + this.#counts.keysPulled;
      if (moved >= limits.keysMax || this.#stateBytes >= limits.stateBytesMax) return true;
      await this.#deps.throttle();
      const states = await this.#takeStates(push);
      const asked = wanted.slice(0, limits.keysPerSwap);
      const { bytes } = this.#counts;
      const answer = await this.#ask(methods.swap, {
        view: this.#deps.exchange.view(),
        push: states,
        wanted: asked,
        bytesMax: limits.swapBytesMax,
      });
      await this.#deps.rate.pay(this.#counts.bytes - bytes);
      const pushed = Math.min(answer.applied, states.length);
      const pulled = await this.#takeIn(new Set(asked), answer.states);
      this.#counts.keysPushed += pushed;
      this.#counts.keysPulled += pulled;
      // A disk that takes nothing, here or there, must not be offered all that differs, again and again.
      if (states.length + answer.states.length > 0 && pushed + pulled === 0) return true;
      // A peer that does nothing must not be asked for ever.
      if (asked.length > 0 && answer.done === 0) return false;
      wanted.splice(0, Math.min(answer.done, asked.length));
    }
    return false;
  }

  /** Takes as many keys from `push` as fit in one message. */
  async #takeStates(push: LocatedKey[]): Promise<{ key: string; state: Uint8Array }[]> {
    const states: { key: string; state: Uint8Array }[] = [];
    let bytes = 0;
    while (push.length > 0 && bytes < limits.swapBytesMax && states.length < limits.keysPerSwap) {
      const located = push.pop()!;
      const { encoded } = await this.#deps.replica.row(located);
      if (encoded === undefined) continue;
      states.push({ key: located.key, state: encoded });
      bytes += encoded.length;
    }
    this.#stateBytes += bytes;
    return states;
  }

  async #takeIn(asked: ReadonlySet<string>, answered: Infer<typeof methods.swap.response>["states"]): Promise<number> {
    const states = answered.filter(({ key }) => asked.has(key));
    for (const { state } of states) this.#stateBytes += state.length;
    if (states.length > 0) await this.#deps.throttle();
    return applyAll(this.#deps, this.#peer, states);
  }

  async #ask<Request, Response>(method: Method<Request, Response>, request: Request): Promise<Response> {
    const { transport } = this.#deps;
    const counted = {
      request: async (to: NodeId, body: Uint8Array, timeoutMs: number): Promise<Uint8Array> => {
        this.#counts.roundTrips += 1;
        this.#counts.bytes += body.length;
        const answer = await transport.request(to, body, timeoutMs);
        this.#counts.bytes += answer.length;
        return answer;
      },
    };
    return call(counted, this.#peer.id, method, request, limits.timeoutMs);
  }
}
