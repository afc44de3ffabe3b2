/** A process with one transport, for the tests that kill one. It answers an empty body never, everything else with itself. */
import { nodeLibp2p } from "../../node-host/libp2p-node.ts";
import { libp2pTransport } from "../../core/libp2p/transport.ts";
import { realClock } from "../support/real-clock.ts";

const libp2p = await nodeLibp2p({ listen: ["/ip4/127.0.0.1/tcp/0"] });
const transport = libp2pTransport({ libp2p, clock: realClock });
transport.serve((_from, body) => (body.length === 0 ? new Promise(() => undefined) : Promise.resolve(body)));
await transport.start();
process.on("disconnect", () => process.exit());
process.send?.(String(libp2p.getMultiaddrs()[0]));
