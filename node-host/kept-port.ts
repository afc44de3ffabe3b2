/**
 * A port that was free once, kept: others remember where they met this host, and a cluster whose processes all end and
 * start again would else not find itself.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

export const anyPort = loopback(0);

export class KeptPort {
  readonly #path: string;

  constructor(data: string) {
    this.#path = join(data, "p2p-port");
  }

  /** On loopback; port 0, any, the first time. */
  async address(): Promise<string> {
    const text = await readFile(this.#path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return "0";
      throw error;
    });
    const port = Number(text.trim());
    return loopback(Number.isInteger(port) && port >= 0 && port < 65_536 ? port : 0);
  }

  /** Of the addresses that are listened on. */
  async keep(addresses: readonly string[]): Promise<void> {
    const port = addresses.map((address) => /^\/ip4\/127\.0\.0\.1\/tcp\/([0-9]+)/.exec(address)?.[1]).find(Boolean);
    if (port !== undefined) await writeFile(this.#path, `${port}\n`);
  }
}

function loopback(port: number): string {
  return `/ip4/127.0.0.1/tcp/${port}`;
}
