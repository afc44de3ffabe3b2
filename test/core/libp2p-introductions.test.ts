import assert from "node:assert/strict";
import { test } from "node:test";
import type { Connection, Libp2p } from "@libp2p/interface";
import { askForIntroduction, serveIntroductions } from "../../core/libp2p/introductions.ts";
import { systemClock, systemRandom } from "../../core/libp2p/system-ports.ts";

/** One end of a stream between two that are in this process. */
class StreamEnd extends EventTarget {
  other!: StreamEnd;

  static pair(): [StreamEnd, StreamEnd] {
    const [near, far] = [new StreamEnd(), new StreamEnd()];
    Object.assign(near, { other: far });
    Object.assign(far, { other: near });
    return [near, far];
  }

  send(data: Uint8Array): void {
    queueMicrotask(() => this.other.dispatchEvent(Object.assign(new Event("message"), { data })));
  }

  async close(): Promise<void> {
    queueMicrotask(() => this.other.dispatchEvent(new Event("remoteCloseWrite")));
  }

  abort(): void {}
}

test("a relay lists nobody whose connection ended before its question was read: nothing would remove it", async () => {
  let onStream: (stream: StreamEnd, connection: object) => void = () => undefined;
  const libp2p = Object.assign(new EventTarget(), {
    handle: async (_protocol: string, handler: typeof onStream) => void (onStream = handler),
  });
  await serveIntroductions(libp2p as unknown as Libp2p, { clock: systemClock, random: systemRandom });
  const ask = async (id: string, status: "open" | "closed", standing: "host" | "visitor") => {
    const [near, far] = StreamEnd.pair();
    onStream(far, { remotePeer: id, status });
    const connection = { newStream: async () => near } as unknown as Connection;
    return (await askForIntroduction(connection, { cluster: "shop", standing })).hosts;
  };
  await ask("there", "open", "host");
  await ask("gone", "closed", "host");
  assert.deepEqual(await ask("asker", "open", "visitor"), ["there"]);
});
