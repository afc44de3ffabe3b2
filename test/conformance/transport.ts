/** What every Transport must do, whatever carries it. An implementation calls `transportConformance` with its harness. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import type { NodeId } from "../../core/identity.ts";
import { TransportError, type PeerState, type Transport } from "../../core/ports.ts";

export interface TransportHarness {
  /** A started node that can be dialled. Starting one of the same name again is a restart: same id, same address. */
  start(name: string): Promise<{ readonly transport: Transport; readonly address: string }>;
  /** Ends a node at once, as a killed process would. */
  kill(name: string): Promise<void>;
  /** Ends all nodes. */
  close(): Promise<void>;
  /** A body that no queue takes. */
  readonly tooManyBytes: number;
}

export function transportConformance(title: string, open: () => TransportHarness): void {
  void describe(title, () => {
    const harness = open();
    let names = 0;
    after(() => harness.close());

    const pair = async (): Promise<Pair> => {
      names += 1;
      const a = await harness.start(`a${names}`);
      const b = await harness.start(`b${names}`);
      const connected = becomes(b.transport, a.transport.self, true);
      assert.equal(await a.transport.meet(b.address), b.transport.self);
      await connected;
      const killB = (): Promise<void> => harness.kill(`b${names}`);
      return { a: a.transport, b: b.transport, addressOfB: b.address, killB, nameOfB: `b${names}` };
    };

    void it("carries bodies of any size unchanged, and names the sender truly", async () => {
      const { a, b } = await pair();
      const senders = new Set<NodeId>();
      b.serve(async (from, body) => {
        senders.add(from);
        return body;
      });
      for (const size of [0, 1, 255, 65_535, 65_536, 65_537, 262_144, 262_145, 1_048_576, 5 * 1_048_576]) {
        const body = pattern(size);
        const echo = await a.request(b.self, body, 20_000);
        assert.ok(equal(echo, body), `${size} bytes came back changed`);
      }
      assert.deepEqual([...senders], [a.self]);
    });

    void it("carries requests of both directions at the same time, each answered by its own answer", async () => {
      const { a, b } = await pair();
      a.serve(async (_from, body) => tagged(body, 1));
      b.serve(async (_from, body) => tagged(body, 2));
      const all: Promise<void>[] = [];
      for (let n = 0; n < 1000; n += 1) all.push(asksOwn(a, b, 2, n), asksOwn(b, a, 1, n));
      await Promise.all(all);
    });

    void it("hands a request to itself to the own handler", async () => {
      const { a } = await pair();
      a.serve(async (from, body) => {
        assert.equal(from, a.self);
        return tagged(body, 9);
      });
      assert.deepEqual([...(await a.request(a.self, number(5), 1000))], [...tagged(number(5), 9)]);
    });

    void it("tells the peer's handler, whose answer or failure nobody hears; one that cannot be told is lost", async () => {
      const { a, b } = await pair();
      const told: number[] = [];
      const enough = new Promise<void>((resolve) => {
        b.serve(async (from, body) => {
          assert.equal(from, a.self);
          told.push(body.length);
          if (told.length === 41) resolve();
          if (body.length % 2 === 0) throw new Error("unheard");
          return body;
        });
      });
      for (let size = 0; size <= 40; size += 1) a.tell(b.self, pattern(size));
      await enough;
      const sizes = told.toSorted((one, other) => one - other);
      assert.deepEqual(
        sizes,
        Array.from({ length: 41 }, (_, size) => size),
      );
      a.tell("nobody" as NodeId, number(1));
      assert.equal((await a.request(b.self, pattern(1), 1_000)).length, 1);
    });

    void it("rejects a request to a peer that is not connected as not-sent", async () => {
      const { a } = await pair();
      await assert.rejects(a.request("nobody" as NodeId, number(1), 1000), kindIs("not-sent"));
    });

    void it("rejects a request that the peer does not serve as not-sent", async () => {
      const { a, b } = await pair();
      const stop = b.serve(async (_from, body) => body);
      stop();
      await assert.rejects(a.request(b.self, number(1), 5000), kindIs("not-sent"));
    });

    void it("rejects as lost what is not answered in time, and drops the late answer", async () => {
      const { a, b } = await pair();
      const late = deferred<Uint8Array>();
      b.serve(async (_from, body) => (body.length === 4 ? body : late.promise));
      await assert.rejects(a.request(b.self, pattern(3), 30), kindIs("lost"));
      late.resolve(pattern(3));
      assert.deepEqual(await a.request(b.self, number(7), 5000), number(7));
    });

    void it("rejects as lost what the handler failed: it may have acted", async () => {
      const { a, b } = await pair();
      b.serve(async () => {
        throw new Error("no luck");
      });
      await assert.rejects(a.request(b.self, number(1), 5000), (error: unknown) => {
        assert.match((error as Error).message, /no luck/);
        return kindIs("lost")(error);
      });
    });

    void it("gives the handler the deadline on its own clock", async () => {
      const { a, b } = await pair();
      const deadline = deferred<number>();
      b.serve(async (_from, body, deadlineMs) => {
        deadline.resolve(deadlineMs);
        return body;
      });
      await a.request(b.self, number(1), 60_000);
      const leftMs = (await deadline.promise) - performance.now();
      assert.ok(leftMs > 50_000 && leftMs < 60_050, `${leftMs} ms left of 60,000`);
    });

    void it("refuses as not-sent what its queue cannot take", async () => {
      const { a, b } = await pair();
      b.serve(async () => number(0));
      await assert.rejects(a.request(b.self, new Uint8Array(harness.tooManyBytes), 5000), kindIs("not-sent"));
      assert.deepEqual(await a.request(b.self, number(1), 5000), number(0));
    });

    void it("tells at once that a peer is gone, and rejects what waited for it as lost", async () => {
      const { a, b, killB } = await pair();
      const begun = deferred<void>();
      b.serve(() => {
        begun.resolve();
        return new Promise(() => undefined);
      });
      const gone = becomes(a, b.self, false);
      const waiting = assert.rejects(a.request(b.self, number(1), 60_000), kindIs("lost"));
      await begun.promise;
      await killB();
      await waiting;
      await gone;
      await assert.rejects(a.request(b.self, number(1), 5000), kindIs("not-sent"));
    });

    void it("keeps a peer connected by itself, also after the peer restarted", async () => {
      const { a, b, addressOfB, killB, nameOfB } = await pair();
      a.keep(new Map([[b.self, [addressOfB]]]));
      const gone = becomes(a, b.self, false);
      await killB();
      await gone;
      const back = becomes(a, b.self, true);
      const again = await harness.start(nameOfB);
      assert.equal(again.transport.self, b.self);
      again.transport.serve(async (_from, body) => body);
      await back;
      assert.deepEqual(await a.request(b.self, number(3), 5000), number(3));
    });

    void it("connects to the peers of keep without a meeting", async () => {
      names += 1;
      const a = await harness.start(`a${names}`);
      const b = await harness.start(`b${names}`);
      const connected = becomes(a.transport, b.transport.self, true);
      a.transport.keep(new Map([[b.transport.self, [b.address]]]));
      await connected;
    });

    void it("says which address it could not reach", async () => {
      const { a, b, addressOfB, killB } = await pair();
      const gone = becomes(a, b.self, false);
      await killB();
      await gone;
      await assert.rejects(a.meet(addressOfB), (error: unknown) => {
        assert.ok((error as Error).message.includes(addressOfB), (error as Error).message);
        return kindIs("not-sent")(error);
      });
    });

    void it("knows of each peer when it was heard, how fast it answers, and since when it owes an answer", async () => {
      const { a, b } = await pair();
      const held = deferred<Uint8Array>();
      const begun = deferred<void>();
      b.serve(async (_from, body) => {
        if (body.length === 4) return body;
        begun.resolve();
        return held.promise;
      });
      await a.request(b.self, number(1), 5000);
      const before = performance.now();
      const owed = a.request(b.self, pattern(3), 5000);
      await begun.promise;
      const state = stateOf(a, b.self);
      assert.equal(state.connected, true);
      assert.ok(state.addresses.length > 0);
      assert.ok(state.lastHeardMs !== undefined && state.lastHeardMs <= performance.now());
      assert.ok(state.rttMs !== undefined && state.rttMs >= 0 && state.rttP95Ms !== undefined);
      assert.ok(state.waitingSinceMs !== undefined && state.waitingSinceMs >= before);
      held.resolve(number(2));
      await owed;
      assert.equal(stateOf(a, b.self).waitingSinceMs, undefined);
    });
  });
}

interface Pair {
  readonly a: Transport;
  readonly b: Transport;
  readonly addressOfB: string;
  readonly nameOfB: string;
  readonly killB: () => Promise<void>;
}

async function asksOwn(from: Transport, to: Transport, tag: number, n: number): Promise<void> {
  const answer = await from.request(to.self, number(n), 20_000);
  assert.deepEqual([...answer], [...tagged(number(n), tag)]);
}

/** Resolves at the next change of `id` to `connected`, or at once when it already is so. */
export function becomes(transport: Transport, id: NodeId, connected: boolean): Promise<void> {
  return new Promise((resolve) => {
    const stop = transport.onPeerChange((changed, now) => {
      if (changed !== id || now !== connected) return;
      stop();
      resolve();
    });
    const known = [...transport.peers()].find((peer) => peer.id === id)?.connected ?? false;
    if (known === connected) {
      stop();
      resolve();
    }
  });
}

export function kindIs(kind: TransportError["kind"]): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof TransportError, `not a TransportError: ${String(error)}`);
    assert.equal(error.kind, kind, error.message);
    return true;
  };
}

export function stateOf(transport: Transport, id: NodeId): PeerState {
  const state = [...transport.peers()].find((peer) => peer.id === id);
  assert.ok(state !== undefined, `${id} is not among the peers`);
  return state;
}

/** Bytes that tell a piece out of place. */
export function pattern(size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += 1) bytes[at] = (at * 31 + (at >>> 8) * 17 + (at >>> 16) * 7) & 0xff;
  return bytes;
}

export function number(n: number): Uint8Array {
  return Uint8Array.of(n >>> 24, n >>> 16, n >>> 8, n);
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

function tagged(body: Uint8Array, tag: number): Uint8Array {
  return Uint8Array.of(tag, ...body);
}

export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
}

export function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
