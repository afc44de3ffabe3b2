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
  /** From then on no round of anti-entropy found a difference, and each host met all others. */
  readonly lastDifferenceAtMs: number;
}

/** Far above any bar: it ends a trial that hangs. */
const limitMs = 300_000;

export async function convergedAfter(hosts: HostProcesses, owners: Owners, lost: number): Promise<Convergence> {
  const [equalAtMs, allEqualAtMs, hintsGoneAtMs] = await Promise.all([
    equalAt(hosts, owners, lost),
    equalAt(hosts, owners),
    hintsGoneAt(hosts),
  ]);
  return { equalAtMs, allEqualAtMs, hintsGoneAtMs, lastDifferenceAtMs: await lastDifferenceAt(hosts) };
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
