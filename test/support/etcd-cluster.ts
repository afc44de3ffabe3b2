/**
 * Three etcd processes on loopback, as they come: every put is on the disk of a majority before it is acknowledged.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { isEtcdLeader } from "./etcd-client.ts";
import { eventually } from "./eventually.ts";
import { freePort } from "./ports.ts";

/** Found on the PATH. */
const program = "etcd";

export class EtcdCluster {
  /** The leader's comes first. */
  readonly endpoints: readonly string[];
  readonly #processes: readonly ChildProcess[];

  private constructor(endpoints: readonly string[], processes: readonly ChildProcess[]) {
    this.endpoints = endpoints;
    this.#processes = processes;
  }

  static async start(folder: string): Promise<EtcdCluster> {
    const nodes: { name: string; client: string; peer: string }[] = [];
    for (const name of ["etcd-1", "etcd-2", "etcd-3"]) {
      nodes.push({
        name,
        client: `http://127.0.0.1:${await freePort()}`,
        peer: `http://127.0.0.1:${await freePort()}`,
      });
    }
    const members = nodes.map(({ name, peer }) => `${name}=${peer}`).join(",");
    const processes = nodes.map(({ name, client, peer }) => {
      const flags = {
        name,
        "data-dir": join(folder, name),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": members,
        "initial-cluster-state": "new",
        "log-level": "error",
        "quota-backend-bytes": "4000000000",
      };
      const args = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value]);
      return spawn(program, args, { stdio: "ignore" });
    });
    const leaders: string[] = [];
    const cluster = new EtcdCluster([], processes);
    try {
      await eventually(async () => {
        for (const { client } of nodes) if (await isEtcdLeader(client).catch(() => false)) leaders.push(client);
        return leaders.length > 0;
      }, "etcd to choose a leader");
    } catch (error: unknown) {
      await cluster.stop();
      throw error;
    }
    const others = nodes.flatMap(({ client }) => (client === leaders[0] ? [] : [client]));
    return new EtcdCluster([leaders[0]!, ...others], processes);
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#processes.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const gone = once(child, "exit");
        child.kill("SIGKILL");
        await gone;
      }),
    );
  }
}
