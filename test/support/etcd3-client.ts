/**
 * etcd as an application in Node would use it: through `etcd3`, its usual npm package.
 * No dependency of ours: whoever measures with it installs it in a folder of its own, and this file types the little
 * that is used of it.
 */
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import { promisify } from "node:util";
import type { KeyStore } from "./key-store.ts";

/** The one that the bars of our trials were set with. */
const etcd3 = "etcd3@1.1.2";
const installTimeoutMs = 60_000;

interface Etcd3 {
  put(key: string): { value(body: Buffer): PromiseLike<unknown> };
  /** Linearizable unless asked otherwise. */
  get(key: string): { buffer(): Promise<Buffer | null> };
  close(): void;
}

/** Rejects with what npm said, or when it takes a minute. */
export async function installEtcd3(folder: string, signal: AbortSignal): Promise<void> {
  const quiet = ["--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
  // With `--prefix`, or npm would look for a package.json upwards and install into the project.
  const args = ["install", "--prefix", folder, ...quiet, "--fetch-retries=1", etcd3];
  await promisify(execFile)("npm", args, { signal, timeout: installTimeoutMs });
}

export function etcd3Client(hosts: readonly string[], folder: string): KeyStore {
  const { Etcd3 } = createRequire(join(folder, "from-here.js"))("etcd3") as {
    Etcd3: new (options: { hosts: readonly string[] }) => Etcd3;
  };
  const client = new Etcd3({ hosts });
  return {
    async get(key) {
      const body = await client.get(key).buffer();
      return { bodies: body === null ? [] : [body] };
    },
    async put(key, body) {
      await client.put(key).value(Buffer.from(body));
      return undefined;
    },
    stop: async () => client.close(),
  };
}
