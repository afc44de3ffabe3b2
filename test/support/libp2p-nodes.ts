/** Real nodes on loopback for tests: started by name, killed, restarted under the same identity and address. */
import { generateKeyPair } from "@libp2p/crypto/keys";
import type { Libp2p, PrivateKey } from "@libp2p/interface";
import type { TransportLimits } from "../../core/libp2p/limits.ts";
import type { TransportProblem } from "../../core/libp2p/problem.ts";
import { libp2pTransport, type Libp2pTransport } from "../../core/libp2p/transport.ts";
import { nodeLibp2p } from "../../node-host/libp2p-node.ts";
import { realClock } from "./real-clock.ts";

export interface TestNode {
  readonly libp2p: Libp2p;
  readonly transport: Libp2pTransport;
  readonly address: string;
  readonly problems: TransportProblem[];
}

export class Libp2pNodes implements AsyncDisposable {
  readonly #listen: string;
  readonly #limits: Partial<TransportLimits>;
  readonly #keys = new Map<string, PrivateKey>();
  readonly #addresses = new Map<string, string>();
  readonly #nodes = new Map<string, TestNode>();

  constructor(listen = "/ip4/127.0.0.1/tcp/0", limits: Partial<TransportLimits> = {}) {
    this.#listen = listen;
    this.#limits = limits;
  }

  async start(name: string, limits: Partial<TransportLimits> = {}): Promise<TestNode> {
    const privateKey = this.#keys.get(name) ?? (await generateKeyPair("Ed25519"));
    this.#keys.set(name, privateKey);
    const libp2p = await nodeLibp2p({
      privateKey,
      listen: [this.#addresses.get(name) ?? this.#listen],
    });
    const address = String(libp2p.getMultiaddrs()[0]);
    this.#addresses.set(name, address.replace(/\/p2p\/.*$/, ""));
    const problems: TransportProblem[] = [];
    const transport = libp2pTransport(
      { libp2p, clock: realClock, onProblem: (problem) => problems.push(problem) },
      { graceMs: 200, ...this.#limits, ...limits },
    );
    await transport.start();
    const node = { libp2p, transport, address, problems };
    this.#nodes.set(name, node);
    return node;
  }

  /** As near to a killed process as one process can come: the sockets are reset. */
  async kill(name: string): Promise<void> {
    const node = this.#nodes.get(name);
    if (node === undefined) return;
    this.#nodes.delete(name);
    for (const connection of node.libp2p.getConnections()) connection.abort(new Error("killed"));
    await Promise.all([node.transport.stop(), node.libp2p.stop()]);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#nodes.keys()].map((name) => this.kill(name)));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
