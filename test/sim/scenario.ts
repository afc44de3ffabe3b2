/**
 * What a seed stands for: a cluster, what its clients do and what goes wrong, drawn before anything runs. A scenario is
 * data, so that a failing one can be made smaller and a story can be written by hand.
 */
import type { NodeConfig, QuorumSpec } from "../../core/config.ts";
import type { PlacedMember } from "../../core/membership/member.ts";
import type { Fault } from "./faults/draw.ts";

export type ContextChoice = "latest" | "stale" | "none" | "forged" | "other-key" | "cut-short";

export interface Operation {
  readonly atMs: number;
  /** `update`: a get and, with its context, a put. */
  readonly verb: "get" | "local" | "put" | "delete" | "update";
  readonly client: number;
  /** Index, modulo those that are ready. */
  readonly host: number;
  readonly key: number;
  readonly context: ContextChoice;
  readonly quorum: QuorumSpec;
  readonly pw?: QuorumSpec;
  readonly bytes: number;
  readonly lww: boolean;
  readonly ttlMs?: number;
  /** With a write id, and tried again so often while it is not acknowledged. */
  readonly repeats: number;
  readonly withId: boolean;
  readonly ifAbsent: boolean;
  readonly returnSiblings: boolean;
}

/** Of the simulator's own clients. */
export const plainOperation: Operation = {
  atMs: 0,
  verb: "get",
  client: 0,
  host: 0,
  key: 0,
  context: "none",
  quorum: "quorum",
  bytes: 20,
  lww: false,
  repeats: 0,
  withId: false,
  ifAbsent: false,
  returnSiblings: false,
};

/** Applications that use the Store, beside the clients. */
export interface ApplicationsPlan {
  /** Edges; each host has an application too. */
  readonly edges: number;
  /** Changes by all together. */
  readonly changes: number;
  /** Of each kind of value. */
  readonly keys: number;
  /** Which kinds of values they use. */
  readonly kinds: readonly ApplicationValue[];
  /** Between two changes of one application, ms, drawn from nought to twice it. */
  readonly pauseMs: number;
  /** Changes before which something befalls an edge, 0..1. */
  readonly mishaps: number;
}

export const applicationValues = ["counter", "cart", "set", "union"] as const;
export type ApplicationValue = (typeof applicationValues)[number];

/** What a host says of its machine. */
export type Site = Pick<PlacedMember, "zone" | "deviceGroup" | "capacity">;

export const plainSite: Site = { zone: "", deviceGroup: "", capacity: 100 };

export interface Scenario {
  readonly seed: string;
  readonly hosts: number;
  readonly n: number;
  readonly partitions: number;
  readonly config: Partial<NodeConfig>;
  readonly delayMs: readonly [number, number];
  readonly silentMs: number;
  readonly redialMsMax: number;
  /** After healing everything is deleted, and what is forgotten then is written anew. */
  readonly endsInDeletes: boolean;
  /** Some reaps meet a write to one of their keys. */
  readonly racesReaps: boolean;
  /** The longest that a message may be late. */
  readonly lateMsMax: number;
  readonly skewMs: number;
  /** Which hosts, in the order in which they are made, are browser hosts, and their lease. */
  readonly browsers: readonly number[];
  readonly leaseMs: number;
  /** Of the hosts, in the order in which they are made; plain ones where there are none. */
  readonly sites?: readonly Site[];
  /** Edges that take part, each with an application. */
  readonly edges: number;
  readonly joinsAtOnce: boolean;
  readonly gossips: boolean;
  /** After healing somebody rebalances the ring. */
  readonly evensOut: boolean;
  /** After healing the cluster is cut once more, between these hosts and the others: both sides must go on. */
  readonly apart: readonly number[];
  readonly safetyMs: number;
  readonly operations: readonly Operation[];
  readonly faults: readonly Fault[];
  readonly applications?: ApplicationsPlan;
  /** So many edges, with clocks of their own, use sessions; hosts do, too. */
  readonly sessions?: number;
  /** Hosts and edges write updates of documents, and edges nothing else. */
  readonly writesDocuments?: true;
  /** Edges fold updates that no host has yet, too, also by what they have read a while ago. */
  readonly foldsUnsent?: true;
}

/** All happens in this many times the time, each for as long as before. */
export function stretched(scenario: Scenario, times: number): Scenario {
  const later = <T extends { readonly atMs: number }>(list: readonly T[]): T[] =>
    list.map((each) => ({ ...each, atMs: each.atMs * times }));
  const { safetyMs, operations, faults } = scenario;
  return { ...scenario, safetyMs: safetyMs * times, operations: later(operations), faults: later(faults) };
}
