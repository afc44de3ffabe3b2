/** One run: start, safety phase under faults, heal, liveness phase within a bound of simulated time, last judgement. */
import { Clients } from "./clients.ts";
import { backUp, inject } from "./faults/faults.ts";
import { stand, stopped } from "./cluster.ts";
import { healAndJudge } from "./liveness.ts";
import { Documents } from "./documents/documents.ts";
import { Devices } from "./edges/devices.ts";
import { Sessions } from "./edges/sessions.ts";
import type { Violation } from "./oracle.ts";
import { raceReaps } from "./reap-races.ts";
import type { Scenario } from "./scenario.ts";
import { Applications } from "./values/applications.ts";
import { World } from "./world.ts";

export interface Report {
  readonly seed: string;
  readonly hash: string;
  readonly violation: Violation | undefined;
  readonly log: readonly string[];
  readonly edges: number;
  readonly simulatedMs: number;
  readonly events: number;
  readonly messages: number;
  readonly operations: number;
  readonly acknowledged: number;
  readonly reads: number;
  readonly checks: number;
  /** Accepted writes of edges that were found at hosts in the end. */
  readonly delivered: number;
  /** Acknowledged updates of documents that were looked for in the end. */
  readonly updates: number;
  readonly healMs: number;
  readonly entriesCut: number;
  /** Keys whose clocks were cut by force: what they must be is not known exactly any more. */
  readonly inexactKeys: number;
  /** Deleted keys that hosts have forgotten, and those of them while there were faults. */
  readonly reaped: { readonly keys: number; readonly underFaults: number };
  readonly faults: Readonly<Record<string, number>>;
}

/** What a run does: a swarm's two phases, or a story. */
export type Plot = (world: World, clients: Clients) => Promise<void>;

export async function simulate(
  scenario: Scenario,
  { echo = false, plot = safetyThenLiveness }: { readonly echo?: boolean; readonly plot?: Plot } = {},
): Promise<Report> {
  const world = new World(scenario, { echo });
  const clients = new Clients(world);
  let over = false;
  const driven = plot(world, clients)
    .catch((error: unknown) => {
      if (error !== stopped) world.oracle.broken("the simulator works", String((error as Error)?.stack ?? error));
    })
    .finally(() => {
      over = true;
    });
  await world.schedule.run(Infinity, () => {
    if (world.schedule.isStuck) world.oracle.broken("nobody is busy without end", world.schedule.tail.at(-1) ?? "");
    return over || world.oracle.violation !== undefined;
  });
  if (over) await driven;
  return reportOf(world, clients);
}

function reportOf(world: World, clients: Clients): Report {
  const { scenario, schedule, oracle, network, healMs, entriesCut, reaped } = world;
  return {
    seed: scenario.seed,
    hash: schedule.hash,
    violation: oracle.violation,
    log: oracle.violation === undefined ? [] : schedule.tail,
    edges: scenario.edges,
    simulatedMs: schedule.nowMs,
    events: schedule.eventsRun,
    messages: network.messages,
    operations: clients.counts.issued,
    acknowledged: clients.counts.acknowledged,
    reads: clients.counts.read,
    checks: oracle.checks,
    delivered: world.delivered,
    updates: world.updates,
    healMs,
    entriesCut,
    inexactKeys: [...oracle.keys].filter((key) => oracle.history(key).truncated).length,
    reaped: { ...reaped },
    faults: Object.fromEntries(world.faults),
  };
}

async function safetyThenLiveness(world: World, clients: Clients): Promise<void> {
  const { applications: plan, racesReaps, sessions: sessionEdges, writesDocuments } = world.scenario;
  const applications = plan && new Applications(world, plan);
  const documents = writesDocuments && new Documents(world);
  const edges = new Devices(world, documents);
  const sessions = sessionEdges === undefined ? undefined : new Sessions(world, sessionEdges);
  await stand(world);
  edges.start();
  sessions?.start();
  applications?.start();
  documents?.start();
  if (racesReaps) raceReaps(world, clients);
  await safety(world, clients);
  edges.calm();
  sessions?.calm();
  applications?.calm();
  await documents?.calm();
  await healAndJudge(world, clients, async () => {
    await edges.deliver();
    await sessions?.deliver();
    await applications?.deliver();
    documents?.judge();
  });
}

/** The faults and the clients of the scenario, until its time is over. */
export async function safety(world: World, clients: Clients): Promise<void> {
  const { scenario, schedule } = world;
  for (const fault of scenario.faults) {
    schedule.after(fault.atMs, `fault ${fault.kind}`, () => inject(world, fault));
    if (fault.kind === "restore-old") schedule.after(fault.atMs * fault.amount, "backup", () => backUp(world, fault));
  }
  for (const operation of scenario.operations) {
    schedule.after(operation.atMs, "client", () => clients.start(operation));
  }
  await world.sleep(scenario.safetyMs);
}
