/**
 * The network of a page, opened when it is first wanted and behind everything else: loading its code and starting it take
 * longer than opening the storage, and reads and writes do not wait for either.
 *
 * Invariant: until it is open requests are refused as `not-sent`, and what was kept, served and listened for holds from then
 * on. A failure to open is told, and tried again by itself.
 */
import { invariant } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import {
  type Clock,
  type Identity,
  type PeerState,
  type RequestHandler,
  type Stop,
  type Transport,
  TransportError,
} from "../ports.ts";
import { describe } from "../libp2p/problem.ts";
import type { PageNetwork } from "./network.ts";

export interface LateNetworkNeeds {
  /** Whose key `open` uses. */
  readonly self: NodeId;
  readonly clock: Clock;
  /** Its seeds may be relays, which are asked anew each time whom they know. */
  readonly isIntroduced: boolean;
  /** Rejects where its code cannot be loaded, or a seed is no address. */
  readonly open: () => Promise<PageNetwork>;
  /** Calls when it is worth another try at once: the network is back, the page is visible again. */
  readonly onWake: (run: () => void) => Stop;
  /** Hears why it is not open, and undefined when it is. */
  readonly onProblem: (problem: string | undefined) => void;
}

/** Code that could not be loaded is asked for again after so long, ms. */
const reopenMs = 5_000;
/** So long the first tries of all seeds may take, ms: whoever waits for them wants to know whether this page is offline. */
const firstTriesMs = 1_000;

export class LateNetwork implements Transport {
  readonly self: NodeId;
  readonly identity: Identity = {
    sign: async (input) => (await this.#wanted()).identity.sign(input),
    verify: async (who, input, signature) => (await this.#wanted()).identity.verify(who, input, signature),
  };
  readonly #needs: LateNetworkNeeds;
  /** What begins when it opens. */
  readonly #waiting = new Set<(transport: Transport) => void>();
  readonly #met = new Set<string>();
  readonly #meetings = new Map<string, Promise<NodeId>>();
  /** `clock.now()` at the first try. */
  #firstTriedMs: number | undefined;
  #kept: ReadonlyMap<NodeId, readonly string[]> = new Map();
  #opening: Promise<PageNetwork> | undefined;
  #network: PageNetwork | undefined;
  #isStopped = false;
  #stopWaiting: Stop = () => {};

  constructor(needs: LateNetworkNeeds) {
    this.self = needs.self;
    this.#needs = needs;
  }

  request(to: NodeId, body: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    if (this.#network !== undefined) return this.#network.transport.request(to, body, timeoutMs);
    return Promise.reject(new TransportError("not-sent", "the network of this page is not open"));
  }

  tell(to: NodeId, body: Uint8Array): void {
    this.#network?.transport.tell(to, body);
  }

  serve(handler: RequestHandler): Stop {
    return this.#whenOpen((transport) => transport.serve(handler));
  }

  /** The page's network dials the seeds by itself, with backoff; what this adds is that the first tries can be waited for. */
  async meet(address: string): Promise<NodeId> {
    const { transport } = await this.#wanted();
    if (!this.#needs.isIntroduced && this.#met.has(address))
      throw new TransportError("not-sent", `${address} is dialled again by itself`);
    this.#met.add(address);
    const meeting =
      this.#meetings.get(address) ?? transport.meet(address).finally(() => this.#meetings.delete(address));
    this.#meetings.set(address, meeting);
    return this.#inTime(meeting, `${address} has not answered yet`);
  }

  keep(peers: ReadonlyMap<NodeId, readonly string[]>): void {
    this.#kept = peers;
    if (this.#network !== undefined) this.#network.transport.keep(peers);
    // A failure is told by `onProblem`.
    else if (peers.size > 0) this.#wanted().catch(() => undefined);
  }

  peers(): Iterable<PeerState> {
    return this.#network?.transport.peers() ?? [];
  }

  onPeerChange(listener: (id: NodeId, connected: boolean) => void): Stop {
    return this.#whenOpen((transport) => transport.onPeerChange(listener));
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#stopWaiting();
    await this.#network?.stop();
  }

  /** Rejects as the last try did, until the next one has begun. */
  #wanted(): Promise<PageNetwork> {
    this.#opening ??= this.#open();
    return this.#opening;
  }

  async #open(): Promise<PageNetwork> {
    const { open, onProblem, self } = this.#needs;
    try {
      if (this.#isStopped) throw new Error("this page's node is closed");
      const network = await open();
      invariant(network.transport.self === self, "the network has the key of this page's identity");
      await this.#begin(network);
      onProblem(undefined);
      return network;
    } catch (error: unknown) {
      const problem = `the network of this page cannot be opened: ${describe(error)}`;
      if (!this.#isStopped) {
        onProblem(problem);
        this.#reopenLater();
      }
      throw new TransportError("not-sent", problem, { cause: error });
    }
  }

  #reopenLater(): void {
    const { clock, onWake } = this.#needs;
    const reopen = (): void => {
      this.#stopWaiting();
      this.#opening = undefined;
      this.#wanted().catch(() => undefined);
    };
    const stops = [clock.after(reopenMs, reopen), onWake(reopen)];
    this.#stopWaiting = () => {
      for (const stop of stops) stop();
    };
  }

  /** It has just been started, so no connection is there yet that a listener would miss. */
  async #begin(network: PageNetwork): Promise<void> {
    if (this.#isStopped) {
      await network.stop();
      throw new Error("closed meanwhile");
    }
    this.#network = network;
    for (const begin of this.#waiting) begin(network.transport);
    this.#waiting.clear();
    network.transport.keep(this.#kept);
  }

  #whenOpen(begin: (transport: Transport) => Stop): Stop {
    if (this.#network !== undefined) return begin(this.#network.transport);
    let stop: Stop | undefined;
    const beginLater = (transport: Transport): void => {
      stop = begin(transport);
    };
    this.#waiting.add(beginLater);
    return () => {
      this.#waiting.delete(beginLater);
      stop?.();
    };
  }

  #inTime<T>(work: Promise<T>, otherwise: string): Promise<T> {
    const { clock } = this.#needs;
    this.#firstTriedMs ??= clock.now();
    const leftMs = Math.max(0, this.#firstTriedMs + firstTriesMs - clock.now());
    return new Promise((resolve, reject) => {
      const stopTimer = clock.after(leftMs, () => reject(new TransportError("not-sent", otherwise)));
      work.then(resolve, reject).finally(stopTimer);
    });
  }
}
