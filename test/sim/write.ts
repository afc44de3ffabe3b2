/** One write of a client, however often it is tried, and what became of it. */
import { decodeUtf8, encodeUtf8 } from "lib0/string";
import type { Dot } from "../../core/causality/version-set.ts";
import type { NodeId } from "../../core/identity.ts";

export interface Write {
  readonly id: number;
  readonly key: string;
  readonly verb: "put" | "delete";
  readonly body: Uint8Array;
  /** What its writer had seen. */
  readonly context: readonly Dot[];
  /** Of an update of a document: names of the updates that are contained in it; of unsent ones their content types, for they get others. */
  readonly folds: ReadonlySet<string>;
  /** It was sent with a context that no host has given for this key. */
  readonly forged: boolean;
  readonly ttlMs: number | undefined;
  readonly writeId: string | undefined;
  readonly startedMs: number;
  /** Names of its events: one, unless a repeat could not use its write id. */
  readonly events: Set<string>;
  /** A disk rejected it and kept it. */
  revived: boolean;
  /** How each try ended. */
  readonly outcomes: string[];
  /** Hosts that let their copy go because nobody needs it for W: see `sparing`. */
  readonly sparedBy: Set<NodeId>;
  /** Where the copies are now that hosts handed on, by the host that had it first: see `moveCopy`. */
  readonly movedTo: Map<NodeId, NodeId>;
  /** Copies lost with disks since it was minted. */
  copiesLost: number;
  ack: Ack | undefined;
  /** All copies that it ever had are lost, by faults that no store survives. */
  lost: boolean;
}

export interface Ack {
  readonly atMs: number;
  /** W. */
  readonly needed: number;
  readonly durable: readonly NodeId[];
}

/** One that begins now. */
export function newWrite(
  asked: Pick<Write, "id" | "key" | "verb" | "body" | "context" | "startedMs"> &
    Partial<Pick<Write, "forged" | "ttlMs" | "writeId" | "folds">>,
): Write {
  const { forged = false, ttlMs, writeId, folds = new Set(), ...rest } = asked;
  return {
    ...rest,
    folds,
    forged,
    ttlMs,
    writeId,
    events: new Set(),
    revived: false,
    outcomes: [],
    sparedBy: new Set(),
    movedTo: new Map(),
    copiesLost: 0,
    ack: undefined,
    lost: false,
  };
}

/** Puts and deletes name themselves by their content type, so that a value found anywhere tells who wrote it. */
export function contentTypeOf(id: number): string {
  return `sim/${id}`;
}

export function idOfContentType(contentType: string): number | undefined {
  const id = /^sim\/(\d+)$/.exec(contentType)?.[1];
  return id === undefined ? undefined : Number(id);
}

/** A body that is right only for this write. */
export function bodyOf(id: number, bytes: number): Uint8Array {
  const head = encodeUtf8(`write ${id}.`);
  const body = new Uint8Array(Math.max(head.length, bytes));
  for (let i = 0; i < body.length; i++) body[i] = (id * 31 + i * 7) & 255;
  body.set(head);
  return body;
}

/** "write 7" of the body of write 7. */
export function textOf(body: Uint8Array): string {
  return decodeUtf8(body.subarray(0, body.indexOf(46)));
}

/**
 * Call when `from` lets go of its copy, which `holders` have: it counts as that of one of them which had none of the copies
 * in the receipt, if there is one; else it is one with theirs.
 */
export function moveCopy({ ack, movedTo }: Write, from: NodeId, holders: readonly NodeId[]): void {
  const places = new Set((ack?.durable ?? [...movedTo.keys()]).map((host) => movedTo.get(host) ?? host));
  if (ack !== undefined && !places.has(from)) return;
  const to = holders.find((host) => !places.has(host)) ?? holders[0];
  if (to === undefined) return;
  for (const [host, place] of movedTo) if (place === from) movedTo.set(host, to);
  if (!movedTo.has(from)) movedTo.set(from, to);
}

/**
 * As many as the receipt names, where they are now; of these, those that were to spare beyond W may have been let go. Where
 * a host takes over from another, both may be named, and one copy is left (seed 7007892).
 */
export function copiesPromised({ ack, sparedBy, movedTo }: Write): number {
  if (ack === undefined) return 0;
  const kept = ack.durable.filter((host) => !sparedBy.has(host));
  return Math.max(ack.needed, new Set(kept.map((host) => movedTo.get(host) ?? host)).size);
}
