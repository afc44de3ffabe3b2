/**
 * plan, join, leave, remove, rebalance: a change of the ring, what it moves, and how far it is.
 * A change is shown before it is made, and made only on the ring that was shown.
 */
import { type Command, Argument } from "commander";
import type { AwayFill, NodeStatus, PlanView } from "../../core/api.ts";
import { HttpClient } from "./client.ts";
import { bytesText, CliError, durationText, type Io, shortId, table } from "./terminal.ts";
import { clientVerb, type CommonFlags, print, withClient } from "./verb.ts";

interface RingFlags extends CommonFlags {
  readonly force?: true;
  /** `--no-wait` */
  readonly wait?: boolean;
}

type Change = PlanView["change"];

const pollMs = 500;
/** Often enough for a host that ends a moment after it has left. */
const leavePollMs = 100;
/** A host that stutters, or starts anew, is back by then. */
const awayPatienceMs = 3_000;
const askMs = 2_000;

/** How the showing of a change ended. */
type End = { readonly state: "done" | "begun" } | { readonly state: "waiting"; readonly waitsFor: readonly AwayFill[] };

export function addRingVerbs(program: Command, io: Io): void {
  const planVerb = clientVerb(program, "plan", {
    about: "what a change of the ring would move, without making it",
    examples: ["plan join 12D3KooW…", "plan rebalance"],
  });
  planVerb
    .addArgument(new Argument("<change>").choices(["join", "leave", "remove", "rebalance"]))
    .argument("[id]", "the host that it is for; leave: this host, where it is not given")
    .option("--force", "remove: although the host answers")
    .action((change: Change, id: string | undefined, flags: RingFlags) =>
      withClient(io, flags, async (client) => {
        const plan = await planOf(client, change, { id, ...flags });
        print(io, flags, plan, () => planText(plan));
      }),
    );
  changeVerb(program, "join <id>", "give a host its share of the ring", ["join 12D3KooW…"]).action(
    (id: string, flags: RingFlags) => runChange(io, "join", { id, ...flags }),
  );
  changeVerb(program, "leave", "take the host that is asked out of the cluster: it hands its data over, then it ends", [
    "leave --http http://10.0.0.3:7070",
  ]).action((flags: RingFlags) => runChange(io, "leave", flags));
  changeVerb(program, "remove <id>", "take a host that is dead for good out of the cluster", ["remove 12D3KooW…"])
    .option("--force", "although it answers")
    .action((id: string, flags: RingFlags) => runChange(io, "remove", { id, ...flags }));
  changeVerb(program, "rebalance", "even out what the hosts hold", ["rebalance"]).action((flags: RingFlags) =>
    runChange(io, "rebalance", flags),
  );
}

function changeVerb(program: Command, usage: string, about: string, examples: readonly string[]): Command {
  return clientVerb(program, usage, { about, examples }).option("--no-wait", "do not wait until the data has moved");
}

type Target = RingFlags & { readonly id?: string | undefined };

function planOf(client: HttpClient, change: Change, { id, force }: Target): Promise<PlanView> {
  return client.json<PlanView>("POST", "/admin/plan", { query: { change, id, force } });
}

async function runChange(io: Io, change: Change, target: Target): Promise<void> {
  await withClient(io, target, async (client) => {
    const plan = await planOf(client, change, target);
    if (!target.json) io.stdout.write(`${planText(plan)}\n`);
    const path = target.id === undefined ? `/admin/${change}` : `/admin/${change}/${encodeURIComponent(target.id)}`;
    const done = await client.json<PlanView>("POST", path, { query: { ring: plan.ring, force: target.force } });
    if (done.tokens === 0 && done.withheld === 0 && (change === "join" || change === "rebalance")) {
      print(io, target, { ...done, state: "done" }, () => "nothing to change: each host has its share");
      return;
    }
    const end: End =
      target.wait === false
        ? { state: "begun" }
        : await follow(io, client, { plan: done, isQuiet: target.json === true });
    print(io, target, { ...done, ...end }, () => sentenceOf(end));
    if (end.state === "waiting") throw new CliError("the change is made, but not all of its data could move yet");
  });
}

function sentenceOf(end: End): string {
  if (end.state !== "waiting")
    return { done: "done", begun: "the change goes on by itself: `everwrite status` tells how far it is" }[end.state];
  const lines = end.waitsFor.map(
    ({ id, filling }) => `${id} does not answer: ${filling} partitions wait to be filled there`,
  );
  return [...lines, "that goes on by itself when it is back; if it is dead for good: `everwrite remove ID`"].join("\n");
}

/** Until nothing moves any more, or Ctrl-C: what was begun goes on without this command. Of hosts that are away no end is in sight. */
async function follow(
  io: Io,
  client: HttpClient,
  { plan, isQuiet }: { readonly plan: PlanView; readonly isQuiet: boolean },
): Promise<End> {
  const isTold = io.stderr.isTTY === true && !isQuiet;
  const interruption = new AbortController();
  const interrupt = (): void => interruption.abort();
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  const startedMs = performance.now();
  let most = 1;
  let stillMs: number | undefined;
  let last: NodeStatus | undefined;
  try {
    while (!interruption.signal.aborted) {
      const status = await statusOf(client, plan.change === "leave");
      if (status === "gone") {
        if (await hasLeft(plan.host, last)) return { state: "done" };
        throw endedEarly(plan.host);
      }
      last = status;
      if (plan.change === "leave" && statusIn(status, plan.host) === "up") throw stays(plan.host, status);
      const { filling, handingOff, away } = status.partitions.everywhere;
      const left = filling + handingOff;
      most = Math.max(most, left);
      const isLeaving = plan.change === "leave" && statusIn(status, plan.host) === "leaving";
      if (left === 0 && !isLeaving && away.length === 0) return { state: "done" };
      stillMs = left === 0 && !isLeaving ? (stillMs ?? performance.now()) : undefined;
      if (stillMs !== undefined && performance.now() - stillMs >= awayPatienceMs) {
        return { state: "waiting", waitsFor: away };
      }
      if (isTold) io.stderr.write(`\r\u001b[K${progressText(plan, 1 - left / most, performance.now() - startedMs)}`);
      await new Promise((resolve) => setTimeout(resolve, plan.change === "leave" ? leavePollMs : pollMs));
    }
    return { state: "begun" };
  } finally {
    if (isTold) io.stderr.write("\r\u001b[K");
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}

/** A host that leaves ends when it is done: then nobody answers. */
async function statusOf(client: HttpClient, mayEnd: boolean): Promise<NodeStatus | "gone"> {
  try {
    return await client.json<NodeStatus>("GET", "/status");
  } catch (error: unknown) {
    if (mayEnd && error instanceof CliError) return "gone";
    throw error;
  }
}

/** It has said so itself, or its death says nothing: then the others are asked, where they can be reached from here. */
async function hasLeft(host: string | null, last: NodeStatus | undefined): Promise<boolean> {
  const isLeft = (status: NodeStatus): boolean => statusIn(status, host) === "left";
  if (last === undefined) return false;
  if (isLeft(last)) return true;
  const others = last.members.filter(({ id, http, alive }) => id !== host && alive && http !== "");
  const told = others.map(async ({ http }) => {
    const client = new HttpClient(http);
    try {
      return isLeft(await client.json<NodeStatus>("GET", "/status", { silentMs: askMs }));
    } catch {
      return false; // it may listen for its own machine alone
    } finally {
      client.close();
    }
  });
  return (await Promise.all(told)).includes(true);
}

function statusIn({ members }: NodeStatus, host: string | null): string | undefined {
  return members.find(({ id }) => id === host)?.status;
}

function stays(host: string | null, { notices }: NodeStatus): CliError {
  return new CliError(`${host} does not leave any more: ${notices.join("; ")}`);
}

function endedEarly(host: string | null): CliError {
  return new CliError(
    `${host} answers no more, and nobody says that it has left: keep its data and start it again, then it goes on leaving. ` +
      "`everwrite members --http URL` asks another host",
  );
}

/** Exported for the tests. Keys and bytes are those of the plan, as far as partitions have moved. */
export function progressText(
  { keys, bytes }: Pick<PlanView, "keys" | "bytes">,
  share: number,
  spentMs: number,
): string {
  const left = share > 0 ? `, about ${durationText(spentMs / share - spentMs)} left` : "";
  const moved = `about ${Math.round(keys * share)} of ${keys} keys, ${bytesText(Math.round(bytes * share))} of ${bytesText(bytes)}`;
  return `${Math.floor(100 * share)} %: ${moved}${left}`;
}

function planText(plan: PlanView): string {
  const { change, host, tokens, withheld, partitionsChanged, partitionsCopied, keys, bytes, balance } = plan;
  const lines = [
    `${change}${host === null ? "" : ` ${host}`}: ${tokens} tokens change hands, on the ring ${plan.ring}`,
    `${partitionsChanged} partitions get other owners; ${partitionsCopied} copies are made: about ${keys} keys, ${bytesText(bytes)}`,
    `balance (mean / max): tokens ${percent(balance.tokens.before)} -> ${percent(balance.tokens.after)}, replicas ${percent(balance.replicas.before)} -> ${percent(balance.replicas.after)}`,
  ];
  if (withheld > 0) {
    const again = change === "rebalance" ? "; then rebalance again" : "";
    lines.push(
      `${withheld} tokens have to wait: partitions are filling, or nobody who could take them answers${again}`,
    );
  }
  const rows = plan.hosts.map(({ id, tokens: own, replicas }) => [
    shortId(id),
    own.before,
    own.after,
    replicas.before,
    replicas.after,
  ]);
  return [...lines, "", table([["HOST", "TOKENS", "AFTER", "PARTITIONS", "AFTER"], ...rows])].join("\n");
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
