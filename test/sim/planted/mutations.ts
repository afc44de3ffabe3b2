/**
 * Bugs that stores of this family have had, or that a hand could slip into: each is one place of the built core, found
 * by its text and replaced. A simulator that does not find one is blind there.
 */
import type { ProfileName } from "../profiles.ts";
import { copies } from "./copies.ts";
import { documents } from "./documents.ts";
import { edges } from "./edges.ts";
import { healing } from "./healing.ts";
import { leases } from "./leases.ts";
import { members } from "./members.ts";
import { requests } from "./requests.ts";
import { ring } from "./ring.ts";
import { values } from "./values.ts";
import { versions } from "./versions.ts";

export interface Mutation {
  readonly name: string;
  /** In the built core. */
  readonly file: string;
  /** Occurs exactly once. */
  readonly find: string;
  readonly replace: string;
  /** Of the seeds in which it is looked for, where plain ones show it too seldom. */
  readonly profile?: ProfileName;
  /** It shows where so much meets that seeds are not known to: a story tells it, which is `brokenBy` it. */
  readonly isOnlyTold?: true;
}

export const mutations: readonly Mutation[] = [
  ...versions,
  ...copies,
  ...requests,
  ...healing,
  ...members,
  ...ring,
  ...leases,
  ...edges,
  ...values,
  ...documents,
];
