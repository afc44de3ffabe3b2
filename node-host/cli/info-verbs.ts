/**
 * status, members, ring, explain, explain-peer: what a host knows, in tables.
 */
import type { Command } from "commander";
import type {
  Explanation,
  MemberView,
  NodeStatus,
  PeerExplanation,
  RingView,
  TransferProgress,
} from "../../core/api.ts";
import { isoTime } from "../http/json.ts";
import { keyPath } from "./client.ts";
import { bytesText, durationText, type Io, shortId, styled, table } from "./terminal.ts";
import { clientVerb, type CommonFlags, print, withClient } from "./verb.ts";

/** Of the changes of the ring; `--json` has all. */
const changesShown = 20;

export function addInfoVerbs(program: Command, io: Io): void {
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- names the form of the answer at each call
  const ask = async <T>(flags: CommonFlags, path: string, text: (answer: T) => string): Promise<void> =>
    withClient(io, flags, async (client) => {
      const answer = await client.json<T>("GET", path);
      print(io, flags, answer, () => text(answer));
    });

  clientVerb(program, "status", { about: "how the host is, and whom it knows", examples: ["status"] }).action(
    (flags: CommonFlags) => ask<NodeStatus>(flags, "/status", (status) => statusText(io, status)),
  );

  clientVerb(program, "members", {
    about: "the members of the cluster, as the host sees them",
    examples: ["members"],
  }).action((flags: CommonFlags) =>
    ask<Pick<NodeStatus, "members">>(flags, "/members", ({ members }) => membersTable(members, (id) => id)),
  );

  clientVerb(program, "ring", {
    about: "who holds which part of the hash space, and what was changed of that",
    examples: ["ring", "ring --partitions", "ring --json"],
  })
    .option("--partitions", "each partition: its first owner, and when all owners last equalled the host that is asked")
    .action((flags: CommonFlags & { readonly partitions?: true }) =>
      withClient(io, flags, async (client) => {
        const ring = await client.json<OldRingView>("GET", "/ring");
        const text = flags.partitions
          ? partitionsTable(ring)
          : ringText(ring, (await client.json<NodeStatus>("GET", "/status")).partitions.owned);
        print(io, flags, ring, () => text);
      }),
    );

  clientVerb(program, "explain", {
    about: "where a key lives: its partition, its owners and stand-ins, and what each holds",
    examples: ["explain carts/alice"],
  })
    .argument("<bucket/key>")
    .action((key: string, flags: CommonFlags) =>
      ask<Explanation>(flags, keyPath("/explain", key), (explanation) => explanationText(io, explanation)),
    );

  clientVerb(program, "explain-peer", {
    about: "why the host can, or cannot, talk to another",
    examples: ["explain-peer 12D3KooW…"],
  })
    .argument("<id>")
    .action((id: string, flags: CommonFlags) =>
      ask<PeerExplanation>(flags, `/explain-peer/${encodeURIComponent(id)}`, peerText),
    );
}

function statusText(io: Io, status: NodeStatus): string {
  const { partitions, storage } = status;
  const state = status.ready ? styled(io, "green", "ready") : styled(io, "yellow", "not ready");
  const free = storage.freeBytes === undefined ? "" : `, ${bytesText(storage.freeBytes)} free`;
  const facts: [string, string][] = [
    ["host", `${status.id}, ${state}, up ${durationText(status.uptimeMs)}`],
    ["cluster", `${status.cluster}, N=${status.n} R=${status.r} W=${status.w}, ring ${status.ring}`],
    ["partitions", `${partitions.owned} owned, ${partitions.filling} filling, ${partitions.handingOff} handing off`],
    ...Object.entries(status.transfers).map(([name, progress]): [string, string] => [
      name === "filling" ? "filling" : "handing off",
      transferText(progress),
    ]),
    ...hintFacts(status),
    ["compared", comparedText(status)],
    ...tombstoneFacts(status),
    ["storage", `${storage.state}, ${status.keys} keys, ${bytesText(storage.bytes)}${free}`],
  ];
  if (storage.corruptRecords > 0) facts.push(["damaged", `${storage.corruptRecords} records`]);
  for (const directory of storage.setAside) facts.push(["set aside", directory]);
  for (const notice of status.notices) facts.push(["notice", styled(io, "yellow", notice)]);
  const width = Math.max(...facts.map(([name]) => name.length));
  const lines = facts.map(([name, value]) => `${styled(io, "dim", name.padEnd(width))}  ${value}`);
  return [...lines, "", membersTable(status.members, shortId)].join("\n");
}

function hintFacts({ hintsFor }: NodeStatus): [string, string][] {
  if (hintsFor.length === 0) return [["hints", "none"]];
  return hintsFor.map(({ for: id, count, bytes, oldestMs }) => [
    "hints",
    `${count} for ${shortId(id)} (${bytesText(bytes)}), the oldest ${durationText(oldestMs)} old`,
  ]);
}

function tombstoneFacts({ tombstones: { waiting, why } }: NodeStatus): [string, string][] {
  if (waiting === 0) return [];
  const reasons = why.length === 0 ? "" : `: ${why.join("; ")}`;
  return [["tombstones", `${waiting} kept until all members may forget them${reasons}`]];
}

/** How equal the copies here are to the others', and what it took. */
function comparedText({ antiEntropy, partitions }: NodeStatus): string {
  const { rounds, failed, keysPushed, keysPulled, bytes, lastRound, partitionsAgreed, fullAgreementAgoMs } =
    antiEntropy;
  if (partitions.owned === 0) return "nothing: no partition is owned";
  const agreed =
    fullAgreementAgoMs === null
      ? `${partitionsAgreed} of ${partitions.owned} partitions equal to all other owners since the start`
      : `all equal to all other owners ${durationText(fullAgreementAgoMs)} ago or later`;
  if (lastRound === undefined) return agreed;
  const last = `the last with ${shortId(lastRound.peer)} ${ago(lastRound.agoMs)}: ${lastRound.outcome}`;
  const repaired = `${keysPulled} keys repaired here, ${keysPushed} elsewhere, ${bytesText(bytes)}`;
  return `${agreed}; ${rounds} rounds (${failed} failed), ${last}; ${repaired}`;
}

function transferText({ percent: share, keys, bytes, leftMs }: TransferProgress): string {
  const left = leftMs === null ? "" : `, about ${durationText(leftMs)} left`;
  return `${share} %, ${keys} keys and ${bytesText(bytes)} copied${left}`;
}

function membersTable(members: NodeStatus["members"], nameOf: (id: string) => string): string {
  return table([
    ["MEMBER", "STATUS", "REACHED", "ZONE", "CAPACITY", "TOKENS", "KIND", "LEASE", "HTTP", "ADDRESSES"],
    ...members.map(({ id, status, kind, lease, alive, zone, capacity, tokens, http, addresses }) => [
      nameOf(id),
      status,
      alive ? "yes" : "no",
      zone || "-",
      capacity,
      tokens,
      kind,
      lease === undefined ? "-" : leaseText(lease, alive),
      http || "-",
      addresses.join(" "),
    ]),
  ]);
}

function leaseText({ ms, leftMs }: NonNullable<MemberView["lease"]>, isReached: boolean): string {
  return isReached ? durationText(ms) : `${durationText(leftMs)} left`;
}

/** A host of an older release tells neither changes nor agreements. */
type NewInRingView = "changes" | "agreedAgoMs";
type OldRingView = Omit<RingView, NewInRingView> & Partial<Pick<RingView, NewInRingView>>;

function ringText(ring: OldRingView, owned: number): string {
  const { fingerprint, partitions, n, tokens, efficiency, changes = [] } = ring;
  const counts = new Map<string, number>();
  for (const id of tokens) counts.set(id ?? "(nobody)", (counts.get(id ?? "(nobody)") ?? 0) + 1);
  return [
    `ring ${fingerprint}: ${partitions} partitions, N=${n}`,
    `balance (mean / max): ${percent(efficiency.primary)} of tokens, ${percent(efficiency.replica)} of replicas`,
    ...agreedLine(ring, owned),
    "",
    table([["HOST", "TOKENS", "SHARE"], ...[...counts].map(([id, count]) => [id, count, percent(count / partitions)])]),
    "",
    table([
      ["CHANGED", "BY", "WHAT", "FOR", "TOKENS"],
      ...changes
        .slice(-changesShown)
        .map(({ atMs, by, verb, subject, tokens: moved }) => [
          isoTime(atMs),
          shortId(by),
          verb,
          shortId(subject),
          moved,
        ]),
    ]),
  ].join("\n");
}

/** The last full agreement of the partitions of the host that was asked. */
function agreedLine({ agreedAgoMs }: OldRingView, owned: number): string[] {
  if (agreedAgoMs === undefined || owned === 0) return [];
  const ages = agreedAgoMs.flatMap((age) => age ?? []);
  const oldest = ages.length === 0 ? "" : `, the longest ago ${ago(Math.max(...ages))}`;
  const never = owned > ages.length ? `; ${owned - ages.length} never since the start` : "";
  return [`last full agreement: of ${ages.length} of ${owned} partitions here${oldest}${never}`];
}

function partitionsTable({ tokens, agreedAgoMs = [] }: OldRingView): string {
  const rows = tokens.map((id, partition) => {
    const age = agreedAgoMs[partition] ?? undefined;
    return [partition, id === null ? "(nobody)" : shortId(id), age === undefined ? "-" : ago(age)];
  });
  return table([["PARTITION", "FIRST", "AGREED"], ...rows]);
}

function explanationText(io: Io, explanation: Explanation): string {
  const { key, position, partition, agreedAgoMs, siblings, preferenceList } = explanation;
  const rows = preferenceList.map(({ id, role, alive, zone, holding, dots, upToDate, agreedAgoMs: agreed }) => [
    shortId(id),
    role,
    alive ? "yes" : "no",
    zone || "-",
    holding ?? "(no answer)",
    upToDate === undefined ? "-" : upToDate ? "yes" : "no",
    agreed === undefined ? "-" : ago(agreed),
    dots?.join(" ") || "-",
  ]);
  const values = siblings.map(
    ({ dot, deleted, at }) => `${deleted ? "deleted" : "value"} ${dot} is at ${at.map(shortId).join(", ")}`,
  );
  return [
    `${styled(io, "bold", key)} has position ${position} in partition ${partition}`,
    ...(agreedAgoMs === null
      ? []
      : [`all owners of the partition were equal to the host that was asked ${ago(agreedAgoMs)}`]),
    ...(values.length === 0 ? ["no value"] : values),
    "",
    table([["HOST", "ROLE", "REACHED", "ZONE", "HOLDS", "NEWEST", "EQUAL", "VALUES"], ...rows]),
  ].join("\n");
}

function peerText(peer: PeerExplanation): string {
  return [
    `${peer.id}: ${peer.verdict}`,
    `member: ${peer.member ? "yes" : "no"}; connected: ${peer.connected ? "yes" : "no"} ${peer.addresses.join(" ")}`.trimEnd(),
    `round trip: ${roundTrip(peer.rttMs)}, p95 ${roundTrip(peer.rttP95Ms)}; last heard ${ago(peer.lastHeardAgoMs)}, last exchange ${ago(peer.lastExchangeAgoMs)}`,
    peer.ring === undefined
      ? "its ring is not known"
      : `ring ${peer.ring}: ${peer.agrees ? "as ours" : "differs from ours"}`,
  ].join("\n");
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

function ago(ms: number | undefined): string {
  return ms === undefined ? "never" : `${durationText(ms)} ago`;
}

function roundTrip(ms: number | undefined): string {
  return ms === undefined ? "?" : `${ms.toFixed(1)} ms`;
}
