/**
 * A record whose fields are changed one by one: changes of different fields never meet, of those of one field at the same time
 * all are kept until one sees them (multi-value registers), and the last by the clocks is what is shown.
 */
import { field as required, type Message, message, text, varint } from "../bytes/codec.ts";
import type { ConflictRule } from "./conflict-rules.ts";
import { type Dotted, dottedCodec, type Entry, isUnsealed, join, nothingDotted, put, remove, seal } from "./dotted.ts";
import { MergingValue, mergingRule } from "./merging.ts";

/** A value in JSON, and when it was written by the writer's clock, ms since 1970. */
interface Written {
  readonly json: string;
  readonly timeMs: number;
}

/**
 * A record, as of when it was read. Values are JSON's.
 *
 * @example
 * const profiles = store.bucket<Registers<Profile>>("profiles", { conflict: registers() });
 * await profiles.update("alice", (profile) => profile.set("city", "Oslo"));
 */
export class Registers<Fields extends object> extends MergingValue<Dotted<Written>> {
  /** Of several that were written at the same time the last by the writers' clocks. */
  get<Name extends keyof Fields & string>(field: Name): Fields[Name] | undefined {
    return this.all(field)[0];
  }

  /** All that were written at the same time and not replaced since, the last first. */
  all<Name extends keyof Fields & string>(field: Name): readonly Fields[Name][] {
    const written = (this.state.entries.get(field) ?? []).toSorted(byTime);
    return written.map(({ payload }) => JSON.parse(payload.json) as Fields[Name]);
  }

  /** In place of all values that are there now. @throws TypeError for what JSON has no form for */
  set<Name extends keyof Fields & string>(field: Name, value: Fields[Name]): Registers<Fields> {
    const json: string | undefined = JSON.stringify(value);
    if (json === undefined) throw new TypeError(`JSON has no form for ${typeof value}; to remove a field use delete()`);
    // The time is known when it is written.
    return new Registers(put(this.state, field, { json, timeMs: 0 }, () => true));
  }

  delete(field: keyof Fields & string): Registers<Fields> {
    return new Registers(remove(this.state, field));
  }

  toJSON(): Partial<Fields> {
    const names = [...this.state.entries.keys()] as (keyof Fields & string)[];
    return Object.fromEntries(names.map((name) => [name, this.get(name)])) as Partial<Fields>;
  }
}

/** What is changed while another deletes it stays. */
export function registers<Fields extends object>(): ConflictRule<Registers<Fields>> {
  return mergingRule({
    name: "registers",
    codec,
    empty: nothingDotted,
    of: (state: Dotted<Written>) => new Registers<Fields>(state),
    join,
    seal: (state, pen) => seal(state, pen, ({ json }, { timeMs }) => ({ json, timeMs })),
  });
}

/** Latest first; one that was not written yet is the latest. */
function byTime(a: Entry<Written>, b: Entry<Written>): number {
  if (isUnsealed(a) !== isUnsealed(b)) return isUnsealed(a) ? -1 : 1;
  return b.payload.timeMs - a.payload.timeMs || (a.writer < b.writer ? 1 : -1);
}

const jsonBytesMax = 1 << 20;
const writtenMessage: Message<Written> = message("Written", {
  json: required(1, text(jsonBytesMax)),
  timeMs: required(2, varint),
});

const codec = dottedCodec("application/x-everwrite-registers", writtenMessage, (_, { json }) => {
  JSON.parse(json); // throws for what is none
  return true;
});
