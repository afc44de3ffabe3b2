/**
 * How a write becomes a version: its dot, its stamp, its kind, and what it drops (PROTOCOL 3).
 * Runs within the key's queue, on all that the node holds of the key: so a vector entry covers all events that it claims.
 */
import { actorOfWriteId, type WriteId } from "../causality/actor.ts";
import { type HybridClock, type Stamp, stampOfMs, stampToMs } from "../causality/hybrid-clock.ts";
import {
  applyWrite,
  type Coverage,
  covers,
  type Dot,
  highestStamp,
  isUpdate,
  kindOfWrite,
  type LiveValue,
  mint,
  stampOfRenewal,
  type Versioned,
} from "../causality/version-set.ts";
import type { NodeConfig } from "../config.ts";
import { StoreError } from "../errors.ts";
import type { Key, NodeId } from "../identity.ts";
import { checkUpdate } from "../limits.ts";
import type { LocatedKey } from "../placement/locate.ts";
import type { Clock } from "../ports.ts";
import { edgeOwnEventsMax } from "../rpc/edge-messages.ts";
import type { Telemetry } from "../telemetry.ts";
import type { Holdings } from "./holdings.ts";
import { tellLwwLosers } from "./lww-losers.ts";

/** A write as the client asked it; the dot and the stamp come from here. */
export interface WriteEvent {
  readonly coverage: Coverage;
  readonly value: Pick<LiveValue, "kind" | "tombstone" | "contentType" | "body" | "expiresAtMs">;
  readonly writeId?: WriteId;
  /** It may have been minted before under its write id: without that it would be a second event. */
  readonly again?: boolean;
  /** Updates that are contained in this one. */
  readonly folds?: readonly Dot[];
  /** It only lets live on what it has seen. */
  readonly renews?: boolean;
  /** Owners that are away and have no stand-in: kept for them here, in the same batch. */
  readonly hintsFor: readonly NodeId[];
}

/** A write that an edge has minted: it is taken as it is. */
export interface EdgeEvent {
  readonly coverage: Coverage;
  readonly arrived: LiveValue;
  readonly folds: readonly Dot[];
  /** Of an update: its actor's last event on the key before it, or 0. */
  readonly previous: number;
  /** It may have been forgotten since it was first sent: it counts only where it is still covered. */
  readonly onlyCovered?: boolean;
  readonly hintsFor: readonly NodeId[];
}

export interface Minted {
  /** The state it was minted on itself, when the write id names an event that is covered already. */
  readonly state: Versioned;
  readonly dot: Dot;
  readonly stamp: number;
  /** The write id could not be used. */
  readonly writeIdIgnored: boolean;
}

export interface MinterDeps {
  readonly holdings: Holdings;
  readonly clock: Clock;
  readonly hybridClock: HybridClock;
  readonly telemetry: Telemetry;
}

export class Minter {
  readonly #deps: MinterDeps;
  readonly #config: NodeConfig;

  constructor(deps: MinterDeps, config: NodeConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /**
   * @throws StoreError `too-many-siblings`, `clock-skew`, `value-too-large`, `precondition-failed`, `bad-request`,
   *   `outcome-unknown` (a repeat that cannot be told from a new event), before anything was minted
   */
  mint(located: LocatedKey, held: Versioned, event: WriteEvent | EdgeEvent): Minted {
    if ("arrived" in event) return this.#take(located.key, held, event);
    const { coverage, value } = event;
    const kind = kindOfWrite(held, coverage, value.kind);
    if (isUpdate(value)) this.#checkUpdate(located.key, { held, kind, body: value.body, folds: event.folds ?? [] });
    const stamp =
      event.renews === true
        ? stampOfRenewal(held, coverage)
        : this.#deps.hybridClock.tick(this.#deps.clock.wallTime(), coverage.stamp, highestStamp(held));
    const named =
      event.writeId === undefined ? undefined : { actor: actorOfWriteId(located.key, event.writeId), counter: 1 };
    if (named !== undefined && covers(held.vector, named)) {
      return { state: held, dot: named, stamp, writeIdIgnored: false };
    }
    // A vector at the limit may have been cut already, and have forgotten that it covered the event of this id.
    const usable = kind !== "lww" && held.vector.length < this.#config.clockEntriesMax;
    if (named !== undefined && !usable && event.again === true) {
      const why = kind === "lww" ? "lww values" : "a clock at its limit";
      throw new StoreError(
        "outcome-unknown",
        `whether ${located.key} was written is not known: ${why} have no write ids`,
      );
    }
    const dot = usable && named !== undefined ? named : this.#deps.holdings.nextDot(located.partition);
    // A body may be a view of a buffer that many requests share: what is kept must not keep that alive.
    const body = new Uint8Array(value.body);
    const state = mint(held, coverage, { ...value, body, kind, dot, stamp }, event.folds);
    this.#checkSiblings(located.key, held, state);
    const writer = { vector: coverage.vector, values: [] };
    tellLwwLosers(this.#deps.telemetry, located.key, [held, writer], state);
    return { state, dot, stamp, writeIdIgnored: named !== undefined && dot !== named };
  }

  /** Applied like a mint; the same event again changes nothing. */
  #take(key: Key, held: Versioned, event: EdgeEvent): Minted {
    const { coverage, arrived: minted, folds, onlyCovered = false } = event;
    const isRepeat = covers(held.vector, minted.dot);
    if (onlyCovered && !isRepeat) {
      throw new StoreError("not-ready", `this host does not know an old write of ${key}, others may`);
    }
    if (isUpdate(minted) && !isRepeat) {
      const kind = kindOfWrite(held, coverage, minted.kind);
      this.#checkUpdate(key, { held, kind, body: minted.body, folds });
      // Its entry in the vector covers the events before it, so it must not come before them.
      if (!covers(held.vector, { ...minted.dot, counter: event.previous }))
        throw new StoreError("precondition-failed", `this host lacks an update of ${key} that this one follows`);
    }
    const arrived = isRepeat ? minted : this.#believable(key, minted, [coverage.stamp, highestStamp(held)]);
    const wallMs = this.#deps.clock.wallTime();
    this.#deps.hybridClock.observe(arrived.stamp, wallMs);
    const state = applyWrite(held, coverage, { ...arrived, body: new Uint8Array(arrived.body) }, wallMs, folds);
    this.#checkSiblings(key, held, state);
    const writer = { vector: coverage.vector, values: [arrived] };
    tellLwwLosers(this.#deps.telemetry, key, [held, writer], state);
    return { state, dot: arrived.dot, stamp: arrived.stamp, writeIdIgnored: false };
  }

  /** @throws StoreError `bad-request`, `value-too-large` */
  #checkUpdate(key: Key, update: Parameters<typeof checkUpdate>[2]): void {
    const bytes = checkUpdate(this.#config, key, update);
    if (bytes > this.#config.valueBytesWarn) this.#deps.telemetry.event({ kind: "value-large", key, bytes });
  }

  /**
   * A wrong clock must not win over everybody's: a stamp further ahead of this host's clock than the drift bound is refused
   * where it enters, unless what the write has seen or replaces is as far ahead (PROTOCOL 3, *lww*); that it may exceed by
   * one for each event of its chain. Where it is this host's clock that is wrong, another host takes the write. The stamp of
   * other kinds decides nothing, so no write is refused for it: it is brought within the bound.
   */
  #believable(key: Key, value: LiveValue, floors: readonly Stamp[]): LiveValue {
    const wallMs = this.#deps.clock.wallTime();
    const { clockDriftMaxMs } = this.#config;
    const latest = Math.max(stampOfMs(wallMs + clockDriftMaxMs), Math.max(...floors) + edgeOwnEventsMax);
    if (value.stamp <= latest) return value;
    if (value.kind !== "lww") return { ...value, stamp: latest };
    const aheadMs = stampToMs(value.stamp) - Math.floor(wallMs);
    const text = `a write of ${key} is stamped ${aheadMs} ms ahead of this host's clock; ${clockDriftMaxMs} ms are allowed`;
    throw new StoreError("clock-skew", text);
  }

  /** A write may always leave fewer values or bytes than it found; one that adds must stay below the limits. */
  #checkSiblings(key: Key, before: Versioned, after: Versioned): void {
    const count = after.values.length;
    const bytes = bytesOf(after.values);
    if (count <= before.values.length && bytes <= bytesOf(before.values)) return;
    const seen = siblingsOf(after);
    if (seen >= this.#config.siblingsWarn) {
      this.#deps.telemetry.event({ kind: "siblings-many", key, siblings: seen });
    }
    if (count <= this.#config.siblingsMax && bytes <= this.#config.siblingBytesMax) return;
    throw new StoreError(
      "too-many-siblings",
      `${key} would have ${count} concurrent values (${bytes} bytes): read it and write the merged value with its context`,
    );
  }
}

/** A document is one sibling, however many updates it has. */
function siblingsOf({ values }: Versioned): number {
  const updates = values.filter(isUpdate).length;
  return values.length - Math.max(0, updates - 1);
}

function bytesOf(values: readonly LiveValue[]): number {
  return values.reduce((sum, { body }) => sum + body.length, 0);
}
