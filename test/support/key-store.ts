/**
 * The least that a load needs of a store, whatever the protocol: read with a context, write with one.
 */
import { kv } from "./http-client.ts";

export interface PutHow {
  readonly kind: "lww";
  readonly ttlMs: number;
}

export interface KeyStore {
  get(key: string): Promise<{ readonly bodies: readonly Uint8Array[]; readonly context?: string | undefined }>;
  /** The context of a value that is alone now; undefined: read before writing again. */
  put(key: string, body: Uint8Array, context?: string, how?: PutHow): Promise<string | undefined>;
  stop(): Promise<void>;
}

/** Over HTTP, through the hosts in turn; one that cannot be reached is an error of that request. */
export function httpStore(urls: readonly string[]): KeyStore {
  const hosts = urls.map(kv);
  let turn = 0;
  const next = () => hosts[turn++ % hosts.length]!;
  return {
    async get(key) {
      const { status, context, json } = await next().get(key);
      if (status !== 200 && json.error?.code !== "not-found")
        throw new Error(`GET ${key}: ${status} ${json.error?.code}`);
      return { bodies: (json.siblings ?? []).map(({ value, encoding }) => Buffer.from(value, encoding)), context };
    },
    async put(key, body, context) {
      const { status, json } = await next().put(key, body, { context });
      if (status !== 200) throw new Error(`PUT ${key}: ${status} ${json.error?.code}`);
      return json.context ?? undefined;
    },
    stop: async () => {},
  };
}
