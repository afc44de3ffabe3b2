/**
 * What a node needs that is no member, such as an edge: who is on the ring, who has which token, who holds what. Without
 * the secrets, which members alone know, and without what only they need; so its digest is equal on both sides.
 */
import type { Roster } from "./roster.ts";

const known = new WeakMap<Roster, Roster>();

/** One object for one roster: digests are kept with it. */
export function publicRoster(roster: Roster): Roster {
  let part = known.get(roster);
  if (part === undefined) {
    part = { ...roster, secrets: [], changes: [], questions: [], forgettingMarks: new Map() };
    known.set(roster, part);
  }
  return part;
}
