/** What is added to Node 20 behaves as what later versions bring. */
import "../../node-host/polyfill.ts";
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { it } from "node:test";
import { freePort } from "../support/ports.ts";

it("a WebSocket that fails while nobody listens for its errors ends no process", async () => {
  const refused = new WebSocket(`ws://127.0.0.1:${await freePort()}`);
  await closed(refused);
  // Libp2p stops listening when a dial takes too long; the other side may break it off later.
  const silent = createServer((socket) => void socket.once("data", () => socket.resetAndDestroy())).listen(
    0,
    "127.0.0.1",
  );
  await once(silent, "listening");
  const { port } = silent.address() as { port: number };
  const reset = new WebSocket(`ws://127.0.0.1:${port}`);
  await closed(reset);
  assert.deepEqual([refused.readyState, reset.readyState], [WebSocket.CLOSED, WebSocket.CLOSED]);
  silent.close();
});

function closed(socket: WebSocket): Promise<void> {
  return new Promise((resolve) => socket.addEventListener("close", () => resolve(), { once: true }));
}
