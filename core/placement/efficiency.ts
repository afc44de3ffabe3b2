/**
 * How evenly a ring spreads its load.
 */
import type { Ring } from "./ring.ts";
import { fairShares, sum } from "./shares.ts";

/** Mean/max of load per fair share (the paper's load balancing efficiency, 6.2, for unequal hosts too); 1 is perfect. */
export interface Efficiency {
  readonly primary: number;
  readonly replica: number;
}

export function efficiencyOf(ring: Ring): Efficiency {
  const shares = fairShares(ring.hosts, ring.n);
  // With N hosts or fewer each owns everything, whatever its share.
  const replicaShares = ring.hosts.length <= ring.n ? shares.map(() => 1) : shares;
  return {
    primary: meanToMax(
      ring.hosts.map((host) => ring.tokensOf(host.id).length),
      shares,
    ),
    replica: meanToMax(
      ring.hosts.map((host) => ring.ownedBy(host.id).length),
      replicaShares,
    ),
  };
}

/** Total load over total share is the mean per share; the busiest host decides how much of the whole can be used. */
function meanToMax(loads: readonly number[], shares: readonly number[]): number {
  if (loads.length === 0) return 1;
  const max = Math.max(...loads.map((load, host) => load / shares[host]!));
  return sum(loads) / sum(shares) / max;
}
