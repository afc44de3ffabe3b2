/** Watches running hosts become equal; see `convergence.ts` for what that is. */
import { type Owners, roundsOf, unequalKeys } from "./convergence.ts";
import { eventually } from "./eventually.ts";
import type { HostProcesses } from "./host-processes.ts";

/** Moments, as `performance.now()` tells them. */
export interface Convergence {
  /** Local reads were equal on all owners but the one that lost its disk. */
  readonly equalAtMs: number;
  readonly allEqualAtMs: number;
  readonly hintsGoneAtMs: number;
  /**
   * All but the one that lost its disk have met each other, and from then on no round of anti-entropy between two of them
   * found a difference. Nor can roots agree before keys are equal and hints are gone, so it is no earlier than both.
   */
  readonly rootsAgreeAtMs: number;
  /** From then on no round of anti-entropy found a difference, and each host met all others. */
  readonly lastDifferenceAtMs: number;
}

/** Far above any bar: it ends a trial that hangs. */
const limitMs = 300_000;

export async function convergedAfter(hosts: HostProcesses, owners: Owners, lost: number): Promise<Convergence> {
  const [equalAtMs, allEqualAtMs, hintsGoneAtMs, othersAgreeAtMs] = await Promise.all([
    equalAt(hosts, owners, lost),
    equalAt(hosts, owners),
    hintsGoneAt(hosts),
    othersAgreeAt(hosts, lost),
  ]);
  const rootsAgreeAtMs = Math.max(equalAtMs, hintsGoneAtMs, othersAgreeAtMs);
  return { equalAtMs, allEqualAtMs, hintsGoneAtMs, rootsAgreeAtMs, lastDifferenceAtMs: await lastDifferenceAt(hosts) };
}

async function equalAt(hosts: HostProcesses, owners: Owners, except?: number): Promise<number> {
  let left = owners;
  const isEqual = async (): Promise<boolean> => {
    const unequal = await unequalKeys(hosts, left, except);
    left = new Map(unequal.map((key) => [key, owners.get(key)!]));
    return unequal.length === 0;
  };
  await eventually(isEqual, "all owners to be equal", limitMs);
  return performance.now();
}

async function hintsGoneAt(hosts: HostProcesses): Promise<number> {
  const isGone = async (): Promise<boolean> => {
    const all = await Promise.all(hosts.urls.map((_url, i) => hosts.status(i)));
    return all.every(({ hints }) => hints === 0);
  };
  await eventually(isGone, "all hints to be delivered", limitMs);
  return performance.now();
}

/** What two hosts found, whichever of them asked. */
interface Pair {
  firstMetMs: number;
  lastEqualMs: number;
  lastDifferenceMs: number;
}

/**
 * As all hosts but `except` tell of their last rounds: it is over when each pair was found equal last. Each is told of for a
 * second, but for rounds in a row with one peer, of which the last one counts.
 */
async function othersAgreeAt(hosts: HostProcesses, except: number): Promise<number> {
  const sinceMs = performance.now();
  const others = hosts.urls.flatMap((_url, i) => (i === except ? [] : [i]));
  const pairs = new Map<string, Pair>();
  const look = async (i: number): Promise<void> => {
    const { id, antiEntropy } = await hosts.status(i);
    const { peer, agoMs, outcome } = antiEntropy.lastRound ?? { peer: "", agoMs: 0, outcome: "failed" };
    const atMs = performance.now() - agoMs;
    if (atMs < sinceMs || outcome === "failed") return;
    const name = [id, peer].toSorted().join();
    const pair = pairs.get(name) ?? { firstMetMs: atMs, lastEqualMs: -Infinity, lastDifferenceMs: -Infinity };
    pairs.set(name, pair);
    if (outcome === "equal") pair.lastEqualMs = Math.max(pair.lastEqualMs, atMs);
    else pair.lastDifferenceMs = Math.max(pair.lastDifferenceMs, atMs);
  };
  const { id: lost } = await hosts.status(except);
  const met = (): Pair[] => [...pairs].flatMap(([name, pair]) => (name.split(",").includes(lost) ? [] : [pair]));
  await eventually(
    async () => {
      await Promise.all(others.map(look));
      const all = met();
      const isEqual = all.every(({ lastEqualMs, lastDifferenceMs }) => lastEqualMs > lastDifferenceMs);
      return isEqual && all.length === (others.length * (others.length - 1)) / 2;
    },
    "the others to find each other equal",
    limitMs,
  );
  return Math.max(...met().map(({ firstMetMs, lastDifferenceMs }) => Math.max(firstMetMs, lastDifferenceMs)));
}

/** A host meets its peers in turn, so as many idle rounds as there are others have met all of them. */
async function lastDifferenceAt(hosts: HostProcesses): Promise<number> {
  const seen = await Promise.all(
    hosts.urls.map(async (url) => ({ url, atMs: performance.now(), from: await roundsOf(url), isCalm: false })),
  );
  await eventually(
    async () => {
      for (const host of seen) {
        const now = await roundsOf(host.url);
        if (now.withDifferences > host.from.withDifferences)
          Object.assign(host, { atMs: performance.now(), from: now });
        host.isCalm = now.idle - host.from.idle >= hosts.size - 1;
      }
      return seen.every(({ isCalm }) => isCalm);
    },
    "anti-entropy to find no difference",
    limitMs,
  );
  return Math.max(...seen.map(({ atMs }) => atMs));
}
