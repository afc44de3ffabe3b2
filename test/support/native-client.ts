/**
 * A client of the native protocol: a libp2p peer that is no member and sends reads and writes to hosts in turn.
 * Hosts that it has lost it skips, and dials again.
 */
import "../../node-host/polyfill.ts";
import { StoreError } from "../../core/errors.ts";
import { libp2pTransport } from "../../core/libp2p/transport.ts";
import type { NodeId } from "../../core/identity.ts";
import { TransportError } from "../../core/ports.ts";
import { call, type Method, methods } from "../../core/rpc/rpc.ts";
import { nodeLibp2p } from "../../node-host/libp2p-node.ts";
import type { KeyStore } from "./key-store.ts";
import { realClock } from "./real-clock.ts";

const timeoutMs = 10_000;

export interface NativeClient extends KeyStore {
  /** Requests that one host refused before it began and the next one got. */
  readonly passedOn: number;
  /** One more host, which gets its turns from now on. @throws TransportError it cannot be reached */
  meet(address: string): Promise<void>;
}

/** `passesOn`: as applications do; otherwise a refusal is a failure. */
export async function nativeClient(
  addresses: readonly string[],
  { passesOn = false }: { readonly passesOn?: boolean } = {},
): Promise<NativeClient> {
  const libp2p = await nodeLibp2p({ listen: [] });
  const transport = libp2pTransport({ libp2p, clock: realClock });
  await transport.start();
  const hosts = new Map<NodeId, string[]>();
  const meet = async (address: string): Promise<void> => void hosts.set(await transport.meet(address), [address]);
  for (const address of addresses) await meet(address);
  transport.keep(hosts);

  let connected: NodeId[] = [];
  const update = (): void => {
    connected = [...transport.peers()].flatMap((peer) => (peer.connected && hosts.has(peer.id) ? [peer.id] : []));
  };
  transport.onPeerChange(update);
  update();
  let turn = 0;
  const next = (): NodeId => {
    const host = connected[turn++ % connected.length];
    if (host === undefined) throw new Error("no host is connected");
    return host;
  };
  let passedOn = 0;
  const ask = async <Request, Response>(method: Method<Request, Response>, request: Request): Promise<Response> => {
    for (let tries = 1; ; tries++) {
      try {
        return await call(transport, next(), method, request, timeoutMs);
      } catch (error: unknown) {
        if (!passesOn || !isUntouched(error) || tries >= connected.length) throw error;
        passedOn += 1;
      }
    }
  };

  return {
    get passedOn() {
      return passedOn;
    },
    async get(key) {
      const { siblings, context } = await ask(methods.read, { key });
      return { bodies: siblings.map(({ body }) => body), context };
    },
    async put(key, body, context, how) {
      const request = { key, body, folds: [], ...how, ...(context === undefined ? {} : { context }) };
      return (await ask(methods.write, request)).context;
    },
    async meet(address) {
      await meet(address);
      transport.keep(hosts);
      update();
    },
    stop: async () => {
      await transport.stop();
      await libp2p.stop();
    },
  };
}

/** Even a write certainly did nothing: the host was not reached, or is starting, stopping or no member. */
function isUntouched(error: unknown): boolean {
  if (error instanceof TransportError) return error.kind === "not-sent";
  return error instanceof StoreError && (error.code === "not-ready" || error.code === "not-member");
}
