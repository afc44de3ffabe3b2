/**
 * The transport of one run of a node. Invariant: a run that is over hears nothing more, for whatever it still waits for
 * fails. The node may run anew by then, under the same name and on the same storage (after a lapse): what the former run
 * learned late would be strange to it, and have the new one's data set aside as an old copy (seed 601301).
 */
import { type Transport, TransportError } from "../ports.ts";
import type { Tasks } from "../tasks.ts";

export function transportOfRun(transport: Transport, run: Pick<Tasks, "isOver">): Transport {
  const over = (kind: TransportError["kind"]): TransportError =>
    new TransportError(kind, "this run of the node is over");
  const heard = <T>(answer: T): T => {
    if (run.isOver) throw over("lost");
    return answer;
  };
  return {
    self: transport.self,
    request: (to, body, timeoutMs) =>
      run.isOver ? Promise.reject(over("not-sent")) : transport.request(to, body, timeoutMs).then(heard),
    tell: (to, body) => transport.tell(to, body),
    serve: (handler) => transport.serve(handler),
    meet: (address) => transport.meet(address).then(heard),
    keep: (peers) => transport.keep(peers),
    peers: () => transport.peers(),
    onPeerChange: (listener) => transport.onPeerChange(listener),
  };
}
