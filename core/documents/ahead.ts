/**
 * Keystrokes of others that were heard before they were stored. Whoever made them stores them; but he may be gone before
 * that, and what others have built on them since would be stored in vain.
 * Invariant: an update that is stored depends on none that is not; what stays unstored is stored by those who have it.
 */
import * as Y from "yjs";
import { Deadlines } from "../deadlines.ts";
import type { Clock, Random, Stop } from "../ports.ts";

/** Whoever made it has had his time to store it; at random, so that not all others do it at once. */
const adoptMsMin = 3_000;
const adoptMsMax = 6_000;
const waitingMax = 10_000;

interface Heard {
  readonly update: Uint8Array;
  /** Clocks of its clients after it. */
  readonly to: ReadonlyMap<number, number>;
  /** What it deletes, as far as that is not known to be stored; looked at where it does nothing else. */
  deletes: readonly Deletion[];
  readonly stop: Stop;
}

interface Deletion {
  readonly client: number;
  readonly from: number;
  /** Not included. */
  readonly to: number;
}

export class Ahead {
  readonly #clock: Clock;
  readonly #random: Random;
  /** A timer for each keystroke would take as long as applying it. */
  readonly #deadlines: Deadlines;
  readonly #adopt: (update: Uint8Array) => void;
  /** Clocks of all clients up to which everything is stored, as far as is known. */
  readonly #stored = new Map<number, number>();
  #waiting: Heard[] = [];

  constructor(deps: { readonly clock: Clock; readonly random: Random }, adopt: (update: Uint8Array) => void) {
    this.#clock = deps.clock;
    this.#deadlines = new Deadlines(deps.clock);
    this.#random = deps.random;
    this.#adopt = adopt;
  }

  heard(update: Uint8Array): void {
    const { to } = Y.parseUpdateMeta(update);
    const deletes = to.size === 0 ? deletionsIn(update) : [];
    if (this.#isStored({ to, deletes }) || this.#waiting.length >= waitingMax) return;
    const ms = adoptMsMin + this.#random.next() * (adoptMsMax - adoptMsMin);
    const stop = this.#deadlines.add(this.#clock.now() + ms, () => {
      this.#waiting = this.#waiting.filter((each) => each !== heard);
      this.#adopt(update);
    });
    const heard = { update, to, deletes, stop };
    this.#waiting.push(heard);
  }

  stored(update: Uint8Array): void {
    for (const [client, clock] of Y.parseUpdateMeta(update).to) {
      this.#stored.set(client, Math.max(clock, this.#stored.get(client) ?? 0));
    }
    const stored = this.#waiting.some(({ deletes }) => deletes.length > 0) ? deletionsIn(update) : [];
    this.#waiting = this.#waiting.filter((heard) => {
      heard.deletes = without(heard.deletes, stored);
      if (!this.#isStored(heard)) return true;
      heard.stop();
      return false;
    });
  }

  /** What has to be stored with these updates of client `own`, for they build on it. */
  below(updates: readonly Uint8Array[], own: number): readonly Uint8Array[] {
    if (this.#waiting.length === 0) return [];
    const isUnstored = (client: number, clock: number): boolean =>
      client !== own && clock > (this.#stored.get(client) ?? 0);
    // A client's own structs build on those before them, too.
    const builds = updates.some(
      (update) =>
        idsIn(update).some(({ client, clock }) => isUnstored(client, clock + 1)) ||
        [...Y.parseUpdateMeta(update).from].some(([client, clock]) => isUnstored(client, clock)),
    );
    return builds ? this.#waiting.map(({ update }) => update) : [];
  }

  end(): void {
    for (const { stop } of this.#waiting) stop();
    this.#waiting = [];
    this.#deadlines.stop();
  }

  #isStored({ to, deletes }: Pick<Heard, "to" | "deletes">): boolean {
    return deletes.length === 0 && [...to].every(([client, clock]) => clock <= (this.#stored.get(client) ?? 0));
  }
}

/** Whether the document holds all that the update builds on: else it would wait in it, for ever if its author vanishes. */
export function hasBaseOf(doc: Y.Doc, update: Uint8Array): boolean {
  const { from, to } = Y.parseUpdateMeta(update);
  const clockOf = (client: number): number => Y.getState(doc.store, client);
  return (
    [...from].every(([client, clock]) => clock <= clockOf(client)) &&
    idsIn(update).every(({ client, clock }) => clock < Math.max(clockOf(client), to.get(client) ?? 0))
  );
}

function deletionsIn(update: Uint8Array): Deletion[] {
  return [...Y.decodeUpdate(update).ds.clients].flatMap(([client, items]) =>
    items.map(({ clock, len }) => ({ client, from: clock, to: clock + len })),
  );
}

function without(deletes: readonly Deletion[], stored: readonly Deletion[]): readonly Deletion[] {
  return stored.reduce(
    (left, { client, from, to }) =>
      left.flatMap((each) => {
        if (each.client !== client || each.to <= from || each.from >= to) return [each];
        const parts = [
          { ...each, to: from },
          { ...each, from: to },
        ];
        return parts.filter((part) => part.from < part.to);
      }),
    deletes,
  );
}

/** What its structs are placed by. */
export function idsIn(update: Uint8Array): Y.ID[] {
  return Y.decodeUpdate(update).structs.flatMap((struct) => {
    if (!(struct instanceof Y.Item)) return [];
    const { origin, rightOrigin, parent } = struct;
    return [origin, rightOrigin, parent].filter((id): id is Y.ID => id instanceof Y.ID);
  });
}
