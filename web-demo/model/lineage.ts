/**
 * Which version of a cart replaced which, as this device saw it: a small graph of causes.
 * Versions without a way between them are concurrent: nobody who wrote one had seen the other.
 */

export interface Version {
  /** `actor:counter`, the name of the write. */
  readonly dot: string;
  /** Versions that it replaced. */
  readonly parents: readonly string[];
  /** What was in it. */
  readonly label: string;
  readonly isLive: boolean;
}

const shownMax = 12;

/** `live`: all versions that are there now. */
export function grow(
  versions: readonly Version[],
  live: readonly { readonly dot: string; readonly label: string }[],
): readonly Version[] {
  const liveDots = new Set(live.map(({ dot }) => dot));
  const known = new Set(versions.map(({ dot }) => dot));
  const replaced = versions.filter(({ dot, isLive }) => isLive && !liveDots.has(dot)).map(({ dot }) => dot);
  const fresh = live
    .filter(({ dot }) => !known.has(dot))
    .map(({ dot, label }) => ({ dot, label, parents: replaced, isLive: true }));
  const older = versions.map((version) =>
    version.isLive === liveDots.has(version.dot) ? version : { ...version, isLive: liveDots.has(version.dot) },
  );
  return [...older, ...fresh].slice(-shownMax);
}

/** How many steps of replacing lead to each version, by dot. */
export function depths(versions: readonly Version[]): ReadonlyMap<string, number> {
  const depth = new Map<string, number>();
  for (const { dot, parents } of versions) {
    depth.set(dot, Math.max(-1, ...parents.map((parent) => depth.get(parent) ?? -1)) + 1);
  }
  return depth;
}
