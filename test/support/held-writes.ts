/** A link on which writes stall, and nothing else does. */
import { edgeMethods } from "../../core/rpc/edge-methods.ts";
import type { MemoryTransport } from "../core/memory-transport.ts";

const { edgeWrite } = edgeMethods;

interface Held {
  /** The updates that were to be sent. */
  readonly sent: Uint8Array[];
  readonly go: () => void;
}

/** What the edge writes to hosts waits until `go`. */
export function holdWrites(transport: MemoryTransport): Held {
  const request = transport.request.bind(transport);
  const sent: Uint8Array[] = [];
  let go = (): void => {};
  const going = new Promise<void>((resolve) => (go = resolve));
  transport.request = async (to, body, timeoutMs) => {
    if (body[0] !== edgeWrite.number) return request(to, body, timeoutMs);
    sent.push(edgeWrite.request.decode(body, 1).value.body);
    await going;
    return request(to, body, timeoutMs);
  };
  return { sent, go: () => go() };
}
