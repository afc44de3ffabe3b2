import assert from "node:assert/strict";
import { test } from "node:test";
import { Agreements } from "../../core/background/agreements.ts";
import type { AntiEntropyDeps } from "../../core/background/anti-entropy-answers.ts";
import { PeerRound } from "../../core/background/anti-entropy-round.ts";
import { encodeClock } from "../../core/causality/encoding.ts";
import type { NodeId, PartitionIndex } from "../../core/identity.ts";
import { methods } from "../../core/rpc/rpc.ts";
import { MemoryStorage } from "../../core/storage/memory-storage.ts";
import type { StoreEvent } from "../../core/telemetry.ts";
import { located, open, q, write } from "./one-replica.ts";

const peer = "peer" as NodeId;

type Answers = {
  readonly keys: Parameters<typeof methods.compareKeys.response.encode>[0];
  readonly swap: Parameters<typeof methods.swap.response.encode>[0];
};

/** A round against a peer that answers these, whatever it is asked. */
async function roundWith(answersOf: (states: Uint8Array[], clocks: Uint8Array[]) => Answers) {
  const other = open(new MemoryStorage()).replica;
  const { replica } = open(new MemoryStorage());
  await replica.index.build({ isStopped: () => false, throttle: async () => {} });
  const copies = [];
  for (let key = 0; key < 2; key++) copies.push((await other.write(located(key), write)).held);
  const answers = answersOf(
    copies.map((held) => held.toBytes()),
    copies.map((held) => encodeClock(held.state)),
  );
  let asked = 0;
  const events: StoreEvent[] = [];
  const deps = {
    replica,
    cluster: { ring: { partitions: q } },
    exchange: { view: () => ({ ring: "0000000000000000", life: 1 }) },
    telemetry: { event: (event: StoreEvent) => void events.push(event) },
    throttle: async () => {},
    transport: {
      async request(_to: NodeId, body: Uint8Array): Promise<Uint8Array> {
        asked += 1;
        const isSwap = body[0] === methods.swap.number;
        const answer = isSwap
          ? methods.swap.response.encode(answers.swap)
          : methods.compareKeys.response.encode(answers.keys);
        return Uint8Array.of(0, ...answer);
      },
    },
  } as unknown as AntiEntropyDeps;
  const round = new PeerRound(deps, peer);
  const cut = await round.mend([replica.index.trees.leafOf(located(0).row)]);
  return { cut, asked, events, keys: replica.index.keys, counts: round.counts };
}

const key = (n: number): string => located(n).key;

test("a round takes in the states that it asked for, and no others", async () => {
  const result = await roundWith((states, clocks) => ({
    keys: {
      keys: [0, 1].map((n) => ({ key: key(n), clock: clocks[n]! })),
      lacking: new Uint8Array(24),
    },
    swap: { states: [0, 1].map((n) => ({ key: key(n), state: states[n]! })), done: 1, applied: 100 },
  }));
  assert.equal(result.keys, 1);
  assert.equal(result.asked, 2);
  assert.deepEqual([result.counts.keysPulled, result.counts.keysPushed], [1, 0]);
});

test("a round ends when the peer answers nothing that it was asked for", async () => {
  const result = await roundWith((_states, clocks) => ({
    keys: { keys: [{ key: key(0), clock: clocks[0]! }], lacking: new Uint8Array(0) },
    swap: { states: [], done: 0, applied: 0 },
  }));
  assert.deepEqual([result.asked, result.keys, result.cut], [2, 0, false]);
});

test("a state that cannot be read changes nothing, is told, and does not hold up the others", async () => {
  const result = await roundWith((states, clocks) => ({
    keys: { keys: [{ key: key(0), clock: clocks[0]! }], lacking: new Uint8Array(0) },
    swap: {
      states: [
        { key: key(0), state: Uint8Array.of(255, 1) },
        { key: key(0), state: states[0]! },
      ],
      done: 1,
      applied: 0,
    },
  }));
  assert.deepEqual([result.keys, result.counts.keysPulled], [1, 1]);
  assert.deepEqual(
    result.events.map(({ kind }) => kind),
    ["replica-failed"],
  );
});

test("a partition has fully agreed since the oldest agreement with each of the peers", () => {
  const agreements = new Agreements(q);
  const [p0, p1] = [0 as PartitionIndex, 1 as PartitionIndex];
  const [a, b] = ["a" as NodeId, "b" as NodeId];
  agreements.note(a, [p0, p1], 10);
  assert.equal(agreements.lastOfAllMs(p0, [a, b]), undefined);
  agreements.note(b, [p0], 7);
  agreements.note(b, [p0], 5);
  assert.equal(agreements.lastOfAllMs(p0, [a, b]), 7);
  assert.equal(agreements.lastMs(p1, b), undefined);
  assert.equal(agreements.lastMs(p1, a), 10);
});
