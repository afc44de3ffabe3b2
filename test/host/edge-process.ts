/**
 * A process with one edge, for the tests that kill it: data directory and seeds as arguments, orders and answers as
 * messages. Each order is a line of `EdgeOrder`; what a put resolves with is told the moment it does.
 */
import { join } from "node:path";
import { EdgeNode } from "../../core/index.ts";
import { libp2pIdentity } from "../../core/libp2p/identity.ts";
import { libp2pTransport } from "../../core/libp2p/transport.ts";
import { openClassicStorage } from "../../node-host/classic-storage.ts";
import { loadIdentity } from "../../node-host/identity-file.ts";
import { nodeLibp2p } from "../../node-host/libp2p-node.ts";
import { systemClock, systemRandom } from "../../core/libp2p/system-ports.ts";

/** `id` comes back with the answer. */
export type EdgeOrder =
  | {
      readonly id: number;
      readonly do: "put";
      readonly name: string;
      readonly value: string;
      readonly context?: string;
      readonly kind?: "lww";
      readonly ttlMs?: number;
    }
  | { readonly id: number; readonly do: "conflicts" }
  | { readonly id: number; readonly do: "get"; readonly name: string }
  | { readonly id: number; readonly do: "flush" }
  | { readonly id: number; readonly do: "facts" };

export interface EdgeReply {
  readonly id: number;
  readonly values?: readonly string[];
  readonly dot?: string;
  readonly context?: string | null;
  readonly source?: string;
  readonly localOnly?: boolean;
  readonly connected?: boolean;
  readonly pending?: number;
  /** Dots of what this edge has told as discarded. */
  readonly conflicts?: readonly string[];
  readonly error?: string;
}

const [data = "", ...seeds] = process.argv.slice(2);
const privateKey = await loadIdentity(`${data}.key`);
const libp2p = await nodeLibp2p({ privateKey, listen: [] });
const transport = libp2pTransport({ libp2p, clock: systemClock });
await transport.start();
const edge = new EdgeNode(
  {
    clock: systemClock,
    random: systemRandom,
    storage: await openClassicStorage({ directory: join(data, "store") }),
    transport,
    identity: libp2pIdentity(privateKey),
    telemetry: { event: () => {} },
  },
  { cluster: "everwrite", seeds },
);
const conflicts: string[] = [];
edge.onConflict(({ discardedDot }) => conflicts.push(discardedDot));
await edge.start();

async function carryOut(order: EdgeOrder): Promise<Omit<EdgeReply, "id">> {
  if (order.do === "put") {
    const { id: _id, do: _do, name: _name, value: _value, ...options } = order;
    const { dot, context, receipt } = await edge.put("edge", order.name, Buffer.from(order.value), options);
    return { dot, context, localOnly: receipt.localOnly };
  }
  if (order.do === "get") {
    const { siblings, context, source } = await edge.get("edge", order.name);
    return { values: siblings.map(({ body }) => Buffer.from(body).toString()).toSorted(), context, source };
  }
  if (order.do === "conflicts") return { conflicts };
  if (order.do === "flush") await edge.flush();
  const { connected, pending } = edge.facts();
  return { connected, pending };
}

process.on("disconnect", () => process.exit());
process.on("message", (order: EdgeOrder) => {
  carryOut(order).then(
    (answer) => process.send?.({ id: order.id, ...answer }),
    (error: unknown) => process.send?.({ id: order.id, error: String(error) }),
  );
});
process.send?.({ id: 0 });
