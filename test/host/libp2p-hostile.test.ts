/** A stranger that speaks to a node over a raw stream: what does not keep to the format is cut off, and harms nobody else. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import type { Stream } from "@libp2p/interface";
import { multiaddr } from "@multiformats/multiaddr";
import { requestProtocol } from "../../core/rpc/frames.ts";
import { nodeLibp2p } from "../../node-host/libp2p-node.ts";
import { equal, pattern } from "../conformance/transport.ts";
import { Libp2pNodes, type TestNode } from "../support/libp2p-nodes.ts";

function frame(kind: number, ...rest: number[]): Uint8Array {
  const length = rest.length + 5;
  return Uint8Array.of(0, 0, length >>> 8, length & 255, kind, 0, 0, 0, 1, ...rest);
}

describe("a hostile peer", () => {
  const nodes = new Libp2pNodes(undefined, { silentMs: 500, pingMs: 50 });
  after(() => nodes.close());
  let names = 0;

  /** A good node with a good friend, and a raw stream into it from a stranger. */
  async function attacked(): Promise<{
    good: TestNode;
    stream: Stream;
    harmless: () => Promise<void>;
    end: () => Promise<void>;
  }> {
    names += 1;
    const [good, friend] = await Promise.all([nodes.start(`good-${names}`), nodes.start(`friend-${names}`)]);
    good.transport.serve(async (_from, body) => body);
    await friend.transport.meet(good.address);
    const stranger = await nodeLibp2p({ listen: [] });
    const connection = await stranger.dial(multiaddr(good.address));
    const stream = await connection.newStream(requestProtocol);
    stream.addEventListener("message", () => undefined);
    const harmless = async (): Promise<void> => {
      const echo = await friend.transport.request(good.transport.self, pattern(1000), 5000);
      assert.ok(equal(echo, pattern(1000)));
    };
    const end = async (): Promise<void> => stranger.stop();
    return { good, stream, harmless, end };
  }

  const attacks: readonly [string, Uint8Array][] = [
    ["garbage", pattern(5000).fill(0xa7)],
    ["a frame of 4 GiB", Uint8Array.of(255, 255, 255, 255, 1)],
    ["pieces of a body that was never begun", frame(5, 1, 2, 3)],
    ["pieces of nothing", Buffer.concat([frame(1, 0, 0, 9, 9, 0, 0, 9, 9, 1), frame(5)])],
    ["answers to nothing", frame(2, 0, 0, 0, 1, 1)],
  ];
  for (const [name, bytes] of attacks) {
    it(`that sends ${name} is cut off and counted, and harms no other`, async () => {
      const { good, stream, harmless, end } = await attacked();
      const closed = new Promise((resolve) => stream.addEventListener("close", resolve));
      stream.send(bytes);
      await harmless();
      await closed;
      assert.deepEqual(
        good.problems.map(({ kind }) => kind),
        ["bad-frames"],
      );
      await harmless();
      await end();
    });
  }

  it("that asks and never reads is cut off once it has taken no bytes for a while", async () => {
    const { good, stream, harmless, end } = await attacked();
    stream.pause();
    const closed = new Promise((resolve) => stream.addEventListener("close", resolve));
    const body = pattern(60_000);
    for (let id = 0; id < 200; id += 1) {
      const header = Uint8Array.of(
        0,
        0,
        (body.length + 13) >>> 8,
        (body.length + 13) & 255,
        1,
        0,
        0,
        id >>> 8,
        id & 255,
      );
      const budgetAndTotal = Uint8Array.of(0, 0, 255, 255, 0, 0, body.length >>> 8, body.length & 255);
      if (!stream.send(Buffer.concat([header, budgetAndTotal, body]))) await stream.onDrain().catch(() => undefined);
      if (stream.status !== "open") break;
    }
    await harmless();
    await closed;
    assert.ok(
      good.problems.some(({ kind }) => kind === "silent"),
      JSON.stringify(good.problems),
    );
    await harmless();
    await end();
  });
});
