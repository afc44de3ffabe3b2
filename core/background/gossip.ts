/**
 * Tells all hosts at once what this node changed in the membership, and hears what they changed. Only membership goes
 * this way, and never a secret: whoever can reach a host may listen.
 * Invariants: what is heard is admitted as in an exchange; what is lost arrives by exchange.
 */
import { DecodeError } from "../bytes/codec.ts";
import type { Cluster } from "../cluster/cluster.ts";
import type { Exchange } from "../cluster/exchange.ts";
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import { RosterMessage, rosterMessage } from "../membership/exchange.ts";
import type { Roster, RosterPart } from "../membership/roster.ts";
import { type Gossip, gossipBytesMax, type Stop } from "../ports.ts";
import type { Tasks } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";

export interface GossipDeps {
  readonly cluster: Cluster;
  readonly exchange: Exchange;
  readonly gossip: Gossip;
  readonly tasks: Tasks;
  readonly telemetry: Telemetry;
}

/** Changes come in bursts (a join is three): one message tells them. */
const gatherMs = 20;

export function spreadByGossip(deps: GossipDeps): Stop {
  const { cluster, gossip, tasks } = deps;
  let told: Roster | undefined;
  let isGathering = false;
  const publish = (): void => {
    isGathering = false;
    tasks.run("gossip membership", async () => {
      // On the disk before it is said: see `exchange.ts`.
      await cluster.save();
      const body = bodyOf(cluster, changesSince(told, cluster));
      told = cluster.roster;
      if (body !== undefined) await gossip.publish(body);
    });
  };
  const gather = (): void => {
    if (isGathering) return;
    isGathering = true;
    tasks.after(gatherMs, publish);
  };
  cluster.onChange((origin) => {
    if (origin === "own") gather();
  });
  gather();
  return gossip.subscribe((from, body) => hear(deps, from, body));
}

/** What this node vouches for; others tell their own. */
function changesSince(before: Roster | undefined, { roster, self }: Cluster): RosterPart {
  const members = [...roster.members].filter(
    ([id, record]) => record.proof.by === self && record !== before?.members.get(id),
  );
  const held = roster.holdings.get(self);
  return {
    members: new Map(members),
    ...(held === undefined || held === before?.holdings.get(self) ? {} : { holdings: new Map([[self, held]]) }),
    ...(roster.assignment === before?.assignment ? {} : { assignment: roster.assignment }),
    ...(roster.changes === before?.changes ? {} : { changes: roster.changes.slice(-1) }),
  };
}

/** Undefined: nothing to tell, or too much for gossip. The assignment of many tokens is left to exchanges. */
function bodyOf({ roster }: Cluster, part: RosterPart): Uint8Array | undefined {
  if (part.members?.size === 0 && part.holdings === undefined && part.assignment === undefined) return undefined;
  const { assignment: _left, ...rest } = part;
  const bodies = [part, rest].map((each) => RosterMessage.encode(rosterMessage(roster, each)));
  return bodies.find((body) => body.length <= gossipBytesMax);
}

async function hear({ exchange, telemetry }: GossipDeps, from: NodeId, body: Uint8Array): Promise<boolean> {
  try {
    const incoming = RosterMessage.decode(body);
    if (incoming.secrets.length > 0) throw new DecodeError("Roster.secrets: gossip carries none");
    return await exchange.take(from, incoming, "gossip");
  } catch (error: unknown) {
    if (!(error instanceof DecodeError || error instanceof StoreError)) throw error;
    telemetry.event({ kind: "bad-frame", from, reason: `gossip: ${error.message}` });
    return false;
  }
}
