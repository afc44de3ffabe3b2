/**
 * What a key's states must be, computed without vectors being joined or values merged: an event is live in a state that
 * knows it unless the state knows an event whose writer had seen it. So a state's vector and the list of all events ever
 * made determine its live values exactly; whatever else a node stores or answers is wrong. Where vectors are cut with
 * everyone's agreement, the events of what was cut count as known to all from then on.
 */
import { compareDots, covers, type Dot, type LiveValue } from "../../core/causality/version-set.ts";
import { contentTypeOf, type Write } from "./write.ts";

/** One minted write. */
export interface Event {
  readonly name: string;
  readonly dot: Dot;
  readonly write: Write;
  /** Minted twice under one write id, it has two records: of those that were seen, the one that wins. */
  value: LiveValue;
  /** Its records expire at different times. */
  expiryVaries: boolean;
  /** Events whose writers had seen this one. */
  readonly supersededBy: Event[];
  /** Updates that contain this one. Where one of them came first, this one may be live beside it. */
  readonly foldedBy: Event[];
  /** A host has reaped a state that knew it: nobody has to know it any more. */
  reaped: boolean;
  /** Such a state had dropped it: it must never be live again. */
  gone: boolean;
}

export class KeyHistory {
  readonly events = new Map<string, Event>();
  /** Of the longest vector seen. */
  entriesMax = 0;
  hasLww = false;
  /** Its clock was cut by force: what a vector covers is no longer the whole history, and things may come back. */
  truncated = false;
  /** Events that vectors cover no more, because everybody knows them: their entries were cut with everyone's agreement. */
  readonly forgotten = new Set<string>();
  readonly #cut: Dot[] = [];

  add(write: Write, value: LiveValue): Event {
    const event: Event = {
      name: nameOf(value.dot),
      dot: value.dot,
      write,
      value,
      expiryVaries: false,
      supersededBy: [],
      foldedBy: [],
      reaped: false,
      gone: false,
    };
    for (const other of this.events.values()) {
      if (covers(write.context, other.dot)) other.supersededBy.push(event);
      if (covers(other.write.context, event.dot)) event.supersededBy.push(other);
      if (folds(write, other)) other.foldedBy.push(event);
      if (folds(other.write, event)) event.foldedBy.push(other);
    }
    this.events.set(event.name, event);
    return event;
  }

  /** An entry was cut: all its events are known for ever. */
  forget(entry: Dot): void {
    const { actor, counter } = entry;
    this.#cut.push(entry);
    for (const { name, dot } of this.events.values()) {
      if (dot.actor === actor && dot.counter <= counter) this.forgotten.add(name);
    }
  }

  isReaped({ events }: Write): boolean {
    return [...events].some((name) => this.events.get(name)?.reaped);
  }

  /** Whether copies may rightly lack it. */
  isForgiven(write: Write): boolean {
    return this.truncated || this.isReaped(write);
  }

  /** Whether an entry was cut that covered it; also of one that no disk has ever held. */
  isCut({ actor, counter }: Dot): boolean {
    return this.#cut.some((entry) => entry.actor === actor && counter <= entry.counter);
  }

  /** Whether whoever has this vector knows the event. */
  knows(vector: readonly Dot[], { name, dot }: Event): boolean {
    return this.forgotten.has(name) || covers(vector, dot);
  }

  /** Whether a state that knows it may hold it or not: an update that others contain. */
  isFolded(name: string): boolean {
    return (this.events.get(name)?.foldedBy.length ?? 0) > 0;
  }

  /** Names of the events that a state with this vector must hold as live values. */
  liveOf(vector: readonly Dot[]): ReadonlySet<string> {
    const live = new Set<string>();
    let lww: Event | undefined;
    for (const event of this.events.values()) {
      if (!covers(vector, event.dot)) continue;
      if (event.value.kind === "lww") {
        if (lww === undefined || isLater(event, lww)) lww = event;
      } else if (![...event.supersededBy, ...event.foldedBy].some((other) => this.knows(vector, other))) {
        live.add(event.name);
      }
    }
    if (lww !== undefined) live.add(lww.name);
    return live;
  }
}

function folds(write: Write, { name, write: other }: Event): boolean {
  return write.folds.has(name) || write.folds.has(contentTypeOf(other.id));
}

/** lww values fold by stamp, whatever was seen. */
function isLater(a: Event, b: Event): boolean {
  return (a.value.stamp - b.value.stamp || compareDots(a.dot, b.dot)) > 0;
}

export function nameOf({ actor, counter }: Dot): string {
  return `${actor}:${counter}`;
}
