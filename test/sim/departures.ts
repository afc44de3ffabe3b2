/** What hosts write to their disks about membership: who departed stays so in that life; rings that meet fill (PROTOCOL 9). */
import { hasBit } from "../../core/bytes/bitmap.ts";
import { mergeMarks } from "../../core/membership/forgetting-marks.ts";
import { isOnRing } from "../../core/membership/roster.ts";
import type { KeyHistory } from "./history.ts";
import type { SimHost } from "./host.ts";
import { type Membership, membershipOn } from "./rows.ts";
import type { World } from "./world.ts";

/** Call when a host writes its membership anew. `hasFilled`: it said since it wrote it last that it had filled something. */
export function checkMembership(
  { oracle }: World,
  { id, name }: SimHost,
  { from, to, hasFilled }: { readonly from: Membership; readonly to: Membership; readonly hasFilled: boolean },
): void {
  oracle.checks += 1;
  for (const { id: about, life, status } of from.roster.members.values()) {
    const now = to.roster.members.get(about);
    if (isOnRing(status) || now === undefined || now.life > life || !isOnRing(now.status)) continue;
    oracle.broken(
      "who departed is a member again in its next life only",
      `${name} has ${about} as ${status}, then ${now.status}`,
    );
  }
  const { secrets } = from.roster;
  if (hasFilled || secrets.length === 0 || to.roster.secrets.every((secret) => secrets.includes(secret))) return;
  const complete = ({ roster }: Membership, partition: number): boolean =>
    hasBit(roster.holdings.get(id)?.complete ?? new Uint8Array(0), partition);
  const owned = to.ring.ownedBy(id).filter((partition) => complete(from, partition));
  if (owned.length === 0 || !owned.every((partition) => complete(to, partition))) return;
  oracle.broken("a host that meets another ring fills from it", `${name} stays complete in ${owned.join()}`);
}

/** Whether it takes itself for a member, and another one that it takes for one does not: what that one forgets it is not asked. */
function isOutside(hosts: Iterable<SimHost>, name: string): boolean {
  const all = [...hosts];
  const host = all.find((each) => each.name === name);
  const members = host && membershipOn(host.disk.view)?.roster.members;
  const own = members?.get(host!.id);
  if (own === undefined || !isOnRing(own.status)) return false;
  return all.some(({ id, disk }) => {
    const theirs = membershipOn(disk.view)?.roster.members;
    // An empty disk takes nobody for a member, and forgets nothing either.
    if (theirs === undefined || !isOnRing(members?.get(id)?.status ?? "left")) return false;
    const record = theirs.get(own.id);
    return record === undefined || (record.life === own.life && !isOnRing(record.status));
  });
}

/**
 * Whether an older copy of its disk was put back and it has not heard yet of something that another one says was forgotten:
 * it meets that one before its data counts (PROTOCOL 9), and may have until then what the others do not (seed 702153).
 */
function isOldCopy(hosts: Iterable<SimHost>, name: string): boolean {
  const all = [...hosts];
  const host = all.find((each) => each.name === name);
  const marks = host?.hasOldCopy ? membershipOn(host.disk.view)?.roster.forgettingMarks : undefined;
  if (marks === undefined) return false;
  return all.some(({ disk }) => {
    const theirs = membershipOn(disk.view)?.roster.forgettingMarks ?? [];
    return [...theirs].some(([partition, each]) => {
      const ours = marks.get(partition) ?? [];
      return mergeMarks(ours, each) !== ours;
    });
  });
}

/**
 * These events, or what superseded them, went from all clocks while this host was outside: it cannot know of what superseded
 * them (seed clocks-66), also by a context that was given inside after that and names them no more (seed deletes-910001).
 */
export function isNewsTo(
  hosts: Iterable<SimHost>,
  name: string,
  { history, names }: { readonly history: KeyHistory; readonly names: readonly string[] },
): boolean {
  const { events, forgotten } = history;
  const isForgotten = (each: string): boolean =>
    [each, ...events.get(each)!.supersededBy.map((by) => by.name)].some((event) => forgotten.has(event));
  return names.every(isForgotten) && mayHaveWhatIsGone(hosts, name);
}

/** What others have forgotten comes back to nobody by it: it is judged as it returns. */
export function mayHaveWhatIsGone(hosts: Iterable<SimHost>, name: string): boolean {
  return [isOutside, isOldCopy, hasDeparted].some((is) => is(hosts, name));
}

/**
 * Whether it knows that it is no member: it answers nobody, and where something was forgotten since, what it has is set aside
 * before it comes back. A disk that kept what it had rejected shows so at the next start (seed 17002357).
 */
function hasDeparted(hosts: Iterable<SimHost>, name: string): boolean {
  const host = [...hosts].find((each) => each.name === name);
  const status = host && membershipOn(host.disk.view)?.roster.members.get(host.id)?.status;
  return status !== undefined && !isOnRing(status);
}
