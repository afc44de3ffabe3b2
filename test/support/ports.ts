/**
 * Ports of this machine for the hosts of a test, which other tests at the same time and later ones of the same process do
 * not get: also while nobody listens on them, before a host starts and while it is down.
 * A process claims a block of ports by listening on the first of them, so its end frees the block, however it ends.
 */
import { randomInt } from "node:crypto";
import { createServer, type Server } from "node:net";

/** Above what programs are usually found at, below what systems give to connections (32768 and more). */
const firstPort = 10_000;
const blocks = 218;
const blockSize = 100;

let current: { readonly base: number; used: number } | undefined;
let claiming: Promise<void> = Promise.resolve();

/** Given to nobody else while this process lives. */
export function freePort(): Promise<number> {
  const port = claiming.then(nextPort);
  claiming = port.then(
    () => {},
    () => {},
  );
  return port;
}

async function nextPort(): Promise<number> {
  for (;;) {
    if (current === undefined || current.used === blockSize) current = { base: await claimBlock(), used: 1 };
    const port = current.base + current.used++;
    // Another program may have it, or a host that outlived its test.
    const server = await listen(port);
    if (server === undefined) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

/** Its first port. */
async function claimBlock(): Promise<number> {
  const start = randomInt(blocks);
  for (let i = 0; i < blocks; i++) {
    const base = firstPort + ((start + i) % blocks) * blockSize;
    const claim = await listen(base);
    if (claim === undefined) continue;
    claim.unref();
    return base;
  }
  throw new Error("no port is free");
}

/** undefined: somebody else does. */
function listen(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", () => resolve(undefined));
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}
