/**
 * Changes of the ring of real hosts: made as an operator makes them, and what they move.
 */
import type { MemberView, NodeStatus, PlanView, RingView } from "../../core/api.ts";
import type { PartitionIndex } from "../../core/identity.ts";
import { Ring } from "../../core/placement/ring.ts";
import { eventually } from "./eventually.ts";
import type { HostProcesses } from "./host-processes.ts";
import { getJson } from "./http-client.ts";

/** Far above any bar: it ends a trial that hangs. */
const limitMs = 600_000;

/** `POST /admin/CHANGE`. @throws Error with what the host says where it refuses */
export async function change(url: string, path: string): Promise<PlanView> {
  const response = await fetch(`${url}/admin/${path}`, { method: "POST" });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as PlanView;
}

/** The ring as one host sees it. */
export async function ringOf(url: string): Promise<Ring> {
  const { tokens, n } = await getJson<RingView>(`${url}/ring`);
  const { members } = await getJson<{ members: readonly MemberView[] }>(`${url}/members`);
  return new Ring({ n, members, assignment: tokens.map((host) => ({ host, epoch: 0 })) });
}

/** Copies of partitions that hosts hold on `after` and did not on `before`. */
export function copiesMoved(before: Ring, after: Ring): number {
  let moved = 0;
  for (let p = 0 as PartitionIndex; p < after.partitions; p++) {
    const had = before.owners(p);
    moved += after.owners(p).filter((owner) => !had.includes(owner)).length;
  }
  return moved;
}

/** No running host fills or hands off anything any more, and all see one ring. */
export function moved(hosts: HostProcesses): Promise<void> {
  return movedAt(hosts.urls.filter((_url, i) => hosts.isRunning(i)));
}

/** The same of those that are told. */
export async function movedAt(urls: readonly string[]): Promise<void> {
  await eventually(
    async () => {
      const all = await Promise.all(urls.map((url) => getJson<NodeStatus>(`${url}/status`)));
      return all.every(({ ring, partitions: { filling, handingOff, everywhere } }) => {
        const moving = filling + handingOff + everywhere.filling + everywhere.handingOff;
        return ring === all[0]!.ring && moving === 0;
      });
    },
    "all partitions to have moved",
    limitMs,
  );
}

/** Each running host has fully agreed with all co-owners since `sinceMs` (`performance.now()`), and keeps no hint. */
export async function agreedSince(hosts: HostProcesses, sinceMs: number): Promise<void> {
  const running = hosts.urls.filter((_url, i) => hosts.isRunning(i));
  await eventually(
    async () => {
      const all = await Promise.all(running.map((url) => getJson<NodeStatus>(`${url}/status`)));
      const ageMs = performance.now() - sinceMs;
      return all.every(({ hints, antiEntropy: { fullAgreementAgoMs: agoMs } }) => {
        return hints === 0 && agoMs !== null && agoMs < ageMs;
      });
    },
    "all owners to agree",
    limitMs,
  );
}
