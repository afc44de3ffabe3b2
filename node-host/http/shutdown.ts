/**
 * A server that stops promptly: requests under way may finish, but nobody is waited for in vain.
 */
import type { Server } from "node:http";
import type { Socket } from "node:net";

/** Longer than a put with its hints; after it the client sees a cut connection, which it must be ready for anyway. */
const GRACE_MS = 5_000;

/** Returns what to call when the server begins to close. */
export function promptShutdown(server: Server): () => void {
  // Browsers and pools connect ahead of need; Node counts a connection without any request as busy, not as idle.
  const unused = new Set<Socket>();
  server.on("connection", (socket) => {
    unused.add(socket);
    socket.once("close", () => unused.delete(socket));
  });
  server.on("request", ({ socket }) => unused.delete(socket));
  return () => {
    for (const socket of unused) socket.destroy();
    const force = setTimeout(() => server.closeAllConnections(), GRACE_MS).unref();
    server.once("close", () => clearTimeout(force));
  };
}
