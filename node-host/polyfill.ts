/**
 * What Node 20 lacks for libp2p; import this before anything of libp2p. Delete it when Node 22 is the minimum.
 *
 * - `Promise.withResolvers`: called by libp2p's own packages.
 * - a global `WebSocket`: its WebSocket transport dials with it. Listening needs nothing.
 */
// @ts-expect-error ws carries no types
import { WebSocket as UntypedWebSocket } from "ws";

interface Resolvers<T> {
  promise: Promise<T>;
  resolve: (value: T | PromiseLike<T>) => void;
  reject: (reason?: unknown) => void;
}

const platformPromise = Promise as unknown as { withResolvers?: <T>() => Resolvers<T> };
platformPromise.withResolvers ??= function withResolvers<T>(): Resolvers<T> {
  let resolve!: Resolvers<T>["resolve"];
  let reject!: Resolvers<T>["reject"];
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
};

/** Of `ws`, what differs from a platform's. */
interface EmittingWebSocket {
  on(event: "error", listener: () => void): void;
}
const EmittingWebSocket = UntypedWebSocket as new (url: string, protocols?: string | string[]) => EmittingWebSocket;

/** As on other platforms, a failure that nobody listens for ends nothing: a dial that was given up has no listener left. */
class NodeWebSocket extends EmittingWebSocket {
  constructor(url: string, protocols?: string | string[]) {
    super(url, protocols);
    this.on("error", () => {});
  }
}

const platform = globalThis as { WebSocket?: unknown };
platform.WebSocket ??= NodeWebSocket;
