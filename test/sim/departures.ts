/** What hosts write to their disks about membership: who departed stays so in that life; rings that meet fill (PROTOCOL 9). */
import { hasBit } from "../../core/bytes/bitmap.ts";
import type { NodeId } from "../../core/identity.ts";
import { isOnRing } from "../../core/membership/roster.ts";
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
    oracle.broken("who departed is a member again in its next life only", `${name} has ${about} as ${status}, then ${now.status}`);
  }
  const { secrets } = from.roster;
  if (hasFilled || secrets.length === 0 || to.roster.secrets.every((secret) => secrets.includes(secret))) return;
  const complete = ({ roster }: Membership, partition: number): boolean =>
    hasBit(roster.holdings.get(id)?.complete ?? new Uint8Array(0), partition);
  const owned = to.ring.ownedBy(id).filter((partition) => complete(from, partition));
  if (owned.length === 0 || !owned.every((partition) => complete(to, partition))) return;
  oracle.broken("a host that meets another ring fills from it", `${name} stays complete in ${owned.join()}`);
}

/** Whether another one that runs knows that this host is no member any more, and the host itself does not. */
export function isSentAway(hosts: Iterable<SimHost>, name: string): boolean {
  const all = [...hosts];
  const host = all.find((each) => each.name === name);
  const own = host && membershipOn(host.disk.view)?.roster.members.get(host.id);
  if (own === undefined || !isOnRing(own.status)) return false;
  return all.some(({ disk }) => {
    const record = membershipOn(disk.view)?.roster.members.get(own.id as NodeId);
    return record !== undefined && record.life === own.life && !isOnRing(record.status);
  });
}
