/** A page on the network, for the tests of it: it answers requests with what it was asked, and asks hosts and other pages. */
import { openPageNetwork, type PageNetwork } from "../../../core/browser/network.ts";
import { systemClock, systemRandom } from "../../../core/libp2p/system-ports.ts";
import { onWake } from "../../../core/browser/wake.ts";
import type { NodeId } from "../../../core/identity.ts";
import type { Clock } from "../../../core/ports.ts";
import { defaultTransportLimits } from "../../../core/libp2p/limits.ts";
import { makeKey } from "../../../core/libp2p/identity.ts";
import type { TransportProblem } from "../../../core/libp2p/problem.ts";
import { expose } from "../expose.ts";

export interface Opening {
  readonly meetPages?: boolean;
  readonly hostOf?: string;
  /** Pauses between two dials never end, once they are long. */
  readonly givesUp?: boolean;
}

let network: PageNetwork | undefined;
/** Texts heard by gossip. */
const heard: string[] = [];
const problems: TransportProblem[] = [];
let wakings = 0;
/** Dials that were given up. */
let givenUp = 0;
/** Ids of peers whose connection ended. */
const losses: string[] = [];

function opened(): PageNetwork {
  if (network === undefined) throw new Error("the network is not open");
  return network;
}

/** What the network sets for so long are pauses between two dials, and nothing else. */
const givingUp: Clock = {
  ...systemClock,
  after(ms, run) {
    if (ms <= 1_000 || ms >= defaultTransportLimits.redialMsMax) return systemClock.after(ms, run);
    givenUp += 1;
    return () => undefined;
  },
};

const functions = {
  async open(seeds: readonly string[], { meetPages = true, hostOf, givesUp = false }: Opening = {}): Promise<string> {
    const key = await makeKey();
    network = await openPageNetwork({
      key,
      seeds,
      meetPages,
      ...(hostOf === undefined ? {} : { hostOf }),
      clock: givesUp ? givingUp : systemClock,
      random: systemRandom,
      onProblem: (problem) => problems.push(problem),
    });
    network.transport.serve(async (_from, body) => body);
    network.transport.onPeerChange((id, connected) => connected || losses.push(id));
    network.host?.gossip.subscribe(async (_from, body) => heard.push(new TextDecoder().decode(body)) > 0);
    return network.transport.self;
  },
  /** The code and text of the error, or nothing. */
  async failureToConnect(timeoutMs: number): Promise<{ code: string; message: string } | undefined> {
    try {
      await opened().connected(timeoutMs);
      return undefined;
    } catch (error) {
      const { code, message } = error as Error & { code: string };
      return { code, message };
    }
  },
  addresses: () => opened().addresses(),
  seeds: () => opened().seeds(),
  meet: (address: string) => opened().transport.meet(address),
  keep(peers: Readonly<Record<string, readonly string[]>>): void {
    opened().transport.keep(new Map(Object.entries(peers)) as Map<NodeId, readonly string[]>);
  },
  async ask(id: string, body: readonly number[]): Promise<number[]> {
    return [...(await opened().transport.request(id as NodeId, Uint8Array.from(body), 20_000))];
  },
  /** Sends `bytes` bytes: whether the same came back. */
  async echo(id: string, bytes: number, timeoutMs = 20_000): Promise<boolean> {
    const body = Uint8Array.from({ length: bytes }, (_, n) => n % 251);
    const answer = await opened().transport.request(id as NodeId, body, timeoutMs);
    return answer.length === bytes && answer.every((byte, n) => byte === n % 251);
  },
  async requestsPerSecond(id: string, bytes: number, inFlight: number, ms: number): Promise<number> {
    const { transport } = opened();
    const body = new Uint8Array(bytes).fill(7);
    const beginMs = performance.now();
    let done = 0;
    const asking = async (): Promise<void> => {
      for (; performance.now() < beginMs + ms; done += 1) await transport.request(id as NodeId, body, 10_000);
    };
    await Promise.all(Array.from({ length: inFlight }, asking));
    return (done * 1_000) / (performance.now() - beginMs);
  },
  publish: (text: string) => opened().host?.gossip.publish(new TextEncoder().encode(text)),
  heard: () => heard,
  peer(id: string) {
    return [...opened().transport.peers()].find((peer) => peer.id === id);
  },
  losses: () => losses,
  problems: () => problems,
  watchWaking(): void {
    onWake(systemClock, () => (wakings += 1));
  },
  wakings: () => wakings,
  givenUp: () => givenUp,
  /** What the page has loaded. */
  scripts: () => performance.getEntriesByType("resource").map(({ name }) => name),
};

export type Functions = typeof functions;

expose(functions);
