/**
 * A client of the native protocol: a libp2p peer that is no member and sends reads and writes to hosts in turn.
 */
import "../../node-host/polyfill.ts";
import { libp2pTransport } from "../../core/libp2p/transport.ts";
import type { NodeId } from "../../core/identity.ts";
import { call, methods } from "../../core/rpc/rpc.ts";
import { nodeLibp2p } from "../../node-host/libp2p-node.ts";
import { realClock } from "./real-clock.ts";

export interface NativeClient {
  put(key: string, body: Uint8Array, options?: { readonly w?: string; readonly context?: string }): Promise<unknown>;
  get(
    key: string,
    options?: { readonly r?: string },
  ): Promise<{ readonly siblings: readonly { readonly body: Uint8Array }[] }>;
  stop(): Promise<void>;
}

const timeoutMs = 10_000;

export async function nativeClient(addresses: readonly string[]): Promise<NativeClient> {
  const libp2p = await nodeLibp2p({ listen: [] });
  const transport = libp2pTransport({ libp2p, clock: realClock });
  await transport.start();
  const hosts: NodeId[] = [];
  for (const address of addresses) hosts.push(await transport.meet(address));
  let turn = 0;
  const next = (): NodeId => hosts[turn++ % hosts.length]!;
  return {
    put: (key, body, { w, context } = {}) => {
      const request = { key, body, ...(w === undefined ? {} : { w }), ...(context === undefined ? {} : { context }) };
      return call(transport, next(), methods.write, request, timeoutMs);
    },
    get: (key, { r } = {}) =>
      call(transport, next(), methods.read, { key, ...(r === undefined ? {} : { r }) }, timeoutMs),
    stop: async () => {
      await transport.stop();
      await libp2p.stop();
    },
  };
}
