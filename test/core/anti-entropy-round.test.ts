import assert from "node:assert/strict";
import { test } from "node:test";
import { Agreements } from "../../core/background/agreements.ts";
import { type AntiEntropyDeps, applyAll, serveAntiEntropy } from "../../core/background/anti-entropy-answers.ts";
import { PeerRound } from "../../core/background/anti-entropy-round.ts";
import { encodeClock } from "../../core/causality/encoding.ts";
import type { NodeId, PartitionIndex } from "../../core/identity.ts";
import type { RequestHandler, Transport } from "../../core/ports.ts";
import type { Replica } from "../../core/replica/replica.ts";
import { encodeCall, methods, RpcServer } from "../../core/rpc/rpc.ts";
import { MemoryStorage } from "../../core/storage/memory-storage.ts";
import type { StoreEvent } from "../../core/telemetry.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { located, open, q, write } from "./one-replica.ts";

const peer = "peer" as NodeId;
const view = { ring: "0000000000000000", life: 1 };

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
  const answer = (body: Uint8Array): Uint8Array => {
    asked += 1;
    const isSwap = body[0] === methods.swap.number;
    return isSwap ? methods.swap.response.encode(answers.swap) : methods.compareKeys.response.encode(answers.keys);
  };
  const round = new PeerRound(depsOf(replica, answer, events), peer);
  const cut = await round.mend([replica.index.trees.leafOf(located(0).row)]);
  return { replica, cut, asked, events, keys: replica.index.keys, counts: round.counts };
}

/** What a round needs, with a peer that answers like this. */
function depsOf(replica: Replica, answer: (body: Uint8Array) => Uint8Array, events: StoreEvent[] = []) {
  return {
    replica,
    clock: new ManualClock(),
    cluster: { ring: { partitions: q }, roster: { members: new Map([[peer, { status: "up", life: 1 }]]) } },
    exchange: { view: () => view },
    telemetry: { event: (event: StoreEvent) => void events.push(event) },
    throttle: async () => true,
    rate: { pay: async (_bytes: number): Promise<void> => {} },
    servesClients: () => false,
    transport: {
      request: async (_to: NodeId, body: Uint8Array): Promise<Uint8Array> =>
        Buffer.concat([Buffer.of(0), answer(body)]),
    },
  } as unknown as AntiEntropyDeps;
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

test("what a message brought is kept without the message", async () => {
  const { replica } = await roundWith((states, clocks) => ({
    keys: { keys: [{ key: key(0), clock: clocks[0]! }], lacking: new Uint8Array(0) },
    swap: { states: [{ key: key(0), state: states[0]! }], done: 1, applied: 0 },
  }));
  const { encoded } = await replica.row(located(0));
  assert.equal(encoded!.buffer.byteLength, encoded!.length);
});

/** A replica with these keys, and a round of it that counts what goes out by method; a swap takes in `applied` states. */
async function roundOf(keys: number, { owns = true, applied = 0 } = {}) {
  const { replica } = open(new MemoryStorage(), { owns });
  await replica.index.build({ isStopped: () => false, throttle: async () => {} });
  const large = { ...write, value: { ...write.value, body: new Uint8Array(3_000) } };
  for (let i = 0; i < keys; i++) await replica.write(located(i), large);
  const sent = { compared: [] as number[], pushed: [] as number[], paid: 0 };
  const rate = { pay: async (bytes: number): Promise<void> => void (sent.paid += bytes) };
  const deps = depsOf(replica, (body) => {
    if (body[0] === methods.swap.number) {
      sent.pushed.push(methods.swap.request.decode(body.subarray(1)).push.length);
      return methods.swap.response.encode({ states: [], done: 0, applied });
    }
    const { leaves } = methods.compareKeys.request.decode(body.subarray(1));
    sent.compared.push(leaves.reduce((sum, { hashes }) => sum + hashes.length, 0));
    return methods.compareKeys.response.encode({ keys: [], lacking: joined(leaves.map(({ hashes }) => hashes)) });
  });
  const round = new PeerRound({ ...deps, rate }, peer);
  return { replica, round, sent, allLeaves: Array.from({ length: replica.index.trees.leafCount }, (_, leaf) => leaf) };
}

const joined = (lists: readonly Uint8Array[]): Uint8Array => Uint8Array.from(lists.flatMap((list) => [...list]));

test("a peer whose disk takes nothing is not sent everything that differs", async () => {
  const { round, sent, allLeaves } = await roundOf(1_500, { applied: 0 });
  assert.equal(await round.mend(allLeaves), true);
  assert.equal(sent.pushed.length, 1);
});

test("a round pays for the states that it moves", async () => {
  const { round, sent, allLeaves } = await roundOf(20, { applied: 128 });
  await round.mend(allLeaves);
  assert.ok(sent.paid > 20 * 3_000 && sent.paid < 21 * 3_200, `${sent.paid} bytes`);
});

test("a key of which something is kept for others too is pushed as the row that the trees have", async () => {
  const { replica, round, sent, allLeaves } = await roundOf(1, { owns: false, applied: 1 });
  const hint = (await open(new MemoryStorage()).replica.write(located(0), write)).held.toBytes();
  await replica.keepHint(located(0), "away" as NodeId, hint);
  assert.equal(await round.mend(allLeaves), false);
  assert.deepEqual(sent.pushed, [1]);
});

test("leaves of very many keys are compared, in requests of bounded size", async () => {
  const { replica, round, sent } = await roundOf(0);
  const [row, { state: clock }] = [located(0).row, await replica.row(located(0))];
  const entries = Array.from({ length: 150_000 }, (_, low) => ({ row, hash: { high: 0, low }, clock }));
  replica.index.entriesOf = async (leaf) => (leaf < 2 ? entries : entries.slice(0, 10));
  await round.mend([0, 1, 2, 3]);
  assert.deepEqual(sent.compared, [1_200_160, 1_200_000]);
});

test("a turn is enough for as many leaves as make up a step by their keys, a large one has a turn of its own", async () => {
  const { replica } = open(new MemoryStorage());
  let turns = 0;
  const answer = () => methods.compareKeys.response.encode({ keys: [], lacking: new Uint8Array(0) });
  const throttle = async (): Promise<boolean> => ((turns += 1), true);
  const [row, { state: clock }] = [located(0).row, await replica.row(located(0))];
  const turnsFor = async (leaves: number, keys: number): Promise<number> => {
    const entries = Array.from({ length: keys }, (_, low) => ({ row, hash: { high: 0, low }, clock }));
    replica.index.entriesOf = async () => entries;
    turns = 0;
    const round = new PeerRound({ ...depsOf(replica, answer), throttle }, peer);
    await round.mend(Array.from({ length: leaves }, (_, leaf) => leaf));
    return turns;
  };
  assert.deepEqual([await turnsFor(64, 1), await turnsFor(64, 16), await turnsFor(4, 512)], [3, 4, 4]);
});

test("beside clients so many states are taken in a turn as make up a step, large ones each in their own", async () => {
  const turnsFor = async (states: number, bodyBytes: number): Promise<number> => {
    const { replica } = open(new MemoryStorage());
    const other = open(new MemoryStorage()).replica;
    const large = { ...write, value: { ...write.value, body: new Uint8Array(bodyBytes) } };
    const offered = [];
    for (let i = 0; i < states; i++) {
      offered.push({ key: key(i), state: (await other.write(located(i), large)).held.toBytes() });
    }
    let turns = 1;
    const throttle = async (): Promise<boolean> => ((turns += 1), true);
    const deps = { ...depsOf(replica, () => new Uint8Array(0)), throttle, servesClients: () => true };
    assert.equal(await applyAll(deps, { id: peer, check: () => {} }, offered), states);
    return turns;
  };
  assert.deepEqual([await turnsFor(40, 200), await turnsFor(3, 70_000)], [3, 3]);
});

test("keys are compared for half of the time that the peer waits, so that some are answered in time", async () => {
  const { replica } = open(new MemoryStorage());
  let handler: RequestHandler = async () => new Uint8Array(0);
  const clock = new ManualClock();
  const deps = {
    replica,
    clock,
    server: new RpcServer({ event: () => {} }),
    cluster: { ring: { fingerprint: view.ring } },
    exchange: { meetOnOneRing: async () => {} },
    throttle: async () => true,
    servesClients: () => false,
  } as unknown as AntiEntropyDeps;
  serveAntiEntropy(deps);
  deps.server.listen({ serve: (serves: RequestHandler) => (handler = serves) } as unknown as Transport);
  let listed = 0;
  replica.index.entriesOf = async () => {
    listed += 1;
    clock.jump(600);
    return [];
  };
  const leaves = Array.from({ length: 100 }, (_, index) => ({ index, hashes: new Uint8Array(0) }));
  await handler(peer, encodeCall(methods.compareKeys, { view, leaves }), clock.now() + 2_000);
  assert.equal(listed, 2);
});

test("nothing is compared with a peer to which hints are on their way, until they have arrived", async () => {
  const { replica } = open(new MemoryStorage());
  let handler: RequestHandler = async () => new Uint8Array(0);
  let sendsHints = true;
  const deps = {
    replica,
    clock: new ManualClock(),
    server: new RpcServer({ event: () => {} }),
    cluster: { ring: { fingerprint: view.ring }, roster: { holdings: new Map() } },
    exchange: { meetOnOneRing: async () => {} },
    agreements: new Agreements(q),
    ownTime: { nowMs: () => 0 },
    sendsHintsTo: (to: NodeId) => sendsHints && to === peer,
  } as unknown as AntiEntropyDeps;
  serveAntiEntropy(deps);
  deps.server.listen({ serve: (serves: RequestHandler) => (handler = serves) } as unknown as Transport);
  const compare = async (from: NodeId): Promise<number> =>
    (await handler(from, encodeCall(methods.compare, { view, digest: new Uint8Array(8) }), Infinity))[0]!;
  assert.deepEqual([await compare(peer), await compare("other" as NodeId)], [1, 0]);
  sendsHints = false;
  assert.equal(await compare(peer), 0);
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
