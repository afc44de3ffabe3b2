/** A page that is a host on the ring, for the tests of it. */
import type { PageHost } from "../../../core/browser/host.ts";
import { openStore } from "../../../core/browser/index.ts";
import { openIndexedDbStorage } from "../../../core/browser/indexeddb-storage.ts";
import { loadPageIdentity } from "../../../core/browser/page-identity.ts";
import type { PageHostSettings } from "../../../core/browser/page-options.ts";
import { systemClock, systemRandom } from "../../../core/libp2p/system-ports.ts";
import type { Storage } from "../../../core/ports.ts";
import { RecordStore } from "../../../core/storage/record-store.ts";
import type { StoreEvent } from "../../../core/telemetry.ts";
import { expose } from "../expose.ts";
import { atRate, watchLongTasks } from "../speed.ts";

let running: (PageHost & { readonly storage: Storage }) | undefined;
let startedWith: readonly [name: string, seeds: readonly string[], settings?: PageHostSettings] | undefined;
const events: StoreEvent[] = [];
const longTasks = watchLongTasks();
/** By key: the context that its last put gave. */
const written = new Map<string, string | null>();

function host(): PageHost {
  if (running === undefined) throw new Error("no host is open");
  return running;
}

const functions = {
  /** Begins only. */
  async start(...wanted: NonNullable<typeof startedWith>): Promise<string> {
    startedWith = wanted;
    const [name, seeds, settings = {}] = wanted;
    const { startPageHost } = await import("../../../core/browser/host.ts");
    const storage = await openIndexedDbStorage({ name });
    const { key } = await loadPageIdentity(new RecordStore(storage), "host");
    const telemetry = { event: (event: StoreEvent) => void events.push(event) };
    const ports = { clock: systemClock, random: systemRandom, telemetry, storage };
    const started = await startPageHost({ name, seeds, ...settings, ...ports, key });
    running = { ...started, storage };
    started.ready.catch((error: unknown) => console.error(String(error)));
    return started.network.transport.self;
  },
  startAgain: () => functions.start(...startedWith!),
  status: () => host().node.status(),
  ring: () => host().node.ring(),
  addresses: () => host().network.addresses(),
  peers: () => [...host().network.transport.peers()],
  events: () => events,
  async put(bucket: string, name: string, value: string, w: number, timeoutMs = 10_000): Promise<readonly string[]> {
    const options = { timeoutMs, w };
    const { receipt } = await host().node.put(bucket, name, new TextEncoder().encode(value), options);
    return receipt.durable;
  },
  async get(bucket: string, name: string, r: number, timeoutMs = 10_000): Promise<string[]> {
    const options = { timeoutMs, r };
    const { siblings } = await host().node.get(bucket, name, options);
    return siblings.map(({ body }) => new TextDecoder().decode(body));
  },
  /** Opens one as applications do, and closes it. The code and text of the error, or nothing. */
  async failureToOpen(
    name: string,
    seeds: readonly string[],
    settings: PageHostSettings & { readonly timeoutMs: number },
  ): Promise<{ code: string; message: string } | undefined> {
    try {
      await (await openStore({ name, seeds, role: "host", ...settings })).close();
      return undefined;
    } catch (error) {
      const { code, message } = error as Error & { code: string };
      return { code, message };
    }
  },
  /** As an edge's page does: see `store-speed.ts`. */
  write(perSecond: number, ms: number, bytes: number, reads = true): Promise<number[]> {
    const { node } = host();
    const body = new Uint8Array(bytes).fill(7);
    return atRate(perSecond, ms, async () => {
      const name = `k${Math.floor(Math.random() * 1_000)}`;
      const context = reads ? (await node.get("load", name)).context : (written.get(name) ?? null);
      written.set(name, (await node.put("load", name, body, context === null ? {} : { context })).context);
    });
  },
  dispatch(type: "freeze" | "resume"): void {
    document.dispatchEvent(new Event(type));
  },
  longTasks,
  async stop(): Promise<void> {
    await running?.stop();
    await running?.storage.close();
    running = undefined;
  },
};

export type Functions = typeof functions;

expose(functions);
