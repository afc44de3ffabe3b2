/**
 * Failure domains of a list of hosts, as small numbers that the inner loops of placement compare.
 * Hosts with the same label share a number; a host without one is a domain of its own: nothing says that it fails with others.
 */
import type { PlacedMember } from "../membership/member.ts";

export interface Domains {
  /** Zone and device group of host i. */
  readonly zone: readonly number[];
  readonly group: readonly number[];
  readonly zones: number;
  readonly groups: number;
  /** Host i is a Node process with files, not a page. */
  readonly isNode: readonly boolean[];
  readonly hasNode: boolean;
}

export function domainsOf(hosts: readonly PlacedMember[]): Domains {
  const zone = numbered(hosts.map((host) => host.zone));
  const group = numbered(hosts.map((host) => host.deviceGroup));
  const isNode = hosts.map((host) => host.kind === "host");
  return {
    zone: zone.of,
    zones: zone.count,
    group: group.of,
    groups: group.count,
    isNode,
    hasNode: isNode.includes(true),
  };
}

function numbered(labels: readonly string[]): { of: number[]; count: number } {
  const known = new Map<string, number>();
  let count = 0;
  const of = labels.map((label) => {
    const number = known.get(label) ?? count++;
    if (label !== "") known.set(label, number);
    return number;
  });
  return { of, count };
}
