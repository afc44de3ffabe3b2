/**
 * What became of the replicas that do not count for a request, so that a missed quorum says why.
 */
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";

export interface Failure {
  readonly node: NodeId;
  readonly error: unknown;
}

/** `, 1 refused, 2 unreachable, 1 silent`, without what is none. `away`: hosts that were known to be, and so not asked. */
export function othersText(
  failures: readonly Failure[],
  { away, silent }: { readonly away: readonly NodeId[]; readonly silent: number },
): string {
  const refused = new Set(failures.flatMap(({ node, error }) => (error instanceof StoreError ? [node] : [])));
  const unreachable = new Set([...failures.map(({ node }) => node), ...away].filter((node) => !refused.has(node)));
  const parts = [
    [refused.size, "refused"],
    [unreachable.size, "unreachable"],
    [silent, "silent"],
  ] as const;
  return parts.map(([count, what]) => (count === 0 ? "" : `, ${count} ${what}`)).join("");
}
