/**
 * A client of the native protocol: a libp2p peer that is no member and sends reads and writes to hosts in turn.
 * Hosts that it has lost it skips, and dials again.
 */
import "../../node-host/polyfill.ts";
import { libp2pTransport } from "../../core/libp2p/transport.ts";
import type { NodeId } from "../../core/identity.ts";
import { call, methods } from "../../core/rpc/rpc.ts";
import { nodeLibp2p } from "../../node-host/libp2p-node.ts";
import type { KeyStore } from "./key-store.ts";
import { realClock } from "./real-clock.ts";

const timeoutMs = 10_000;

export async function nativeClient(addresses: readonly string[]): Promise<KeyStore> {
  const libp2p = await nodeLibp2p({ listen: [] });
  const transport = libp2pTransport({ libp2p, clock: realClock });
  await transport.start();
  const hosts = new Map<NodeId, string[]>();
  for (const address of addresses) hosts.set(await transport.meet(address), [address]);
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

  return {
    async get(key) {
      const { siblings, context } = await call(transport, next(), methods.read, { key }, timeoutMs);
      return { bodies: siblings.map(({ body }) => body), context };
    },
    async put(key, body, context) {
      const request = { key, body, ...(context === undefined ? {} : { context }) };
      return (await call(transport, next(), methods.write, request, timeoutMs)).context;
    },
    stop: async () => {
      await transport.stop();
      await libp2p.stop();
    },
  };
}
