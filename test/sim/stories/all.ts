/** Every story there is. */
import { actorStories } from "./actors.ts";
import { clockStories } from "./clocks.ts";
import { damageStories } from "./damage.ts";
import { deleteStories } from "./deletes.ts";
import { edgeContactStories } from "./edge-contact.ts";
import { edgeAwayStories } from "./edges-away.ts";
import { edgeStories } from "./edges.ts";
import { formerOwnerStories } from "./former-owners.ts";
import { leaseStories } from "./leases.ts";
import { moveStories } from "./moves.ts";
import { raceStories } from "./races.ts";
import { returnStories } from "./returns.ts";
import { ringsApartStories } from "./rings-apart.ts";
import { ruleStories } from "./rules.ts";
import { siblingStories } from "./siblings.ts";
import type { Story } from "./stage.ts";

export const stories: readonly Story[] = [
  ...actorStories,
  ...siblingStories,
  ...deleteStories,
  ...raceStories,
  ...moveStories,
  ...formerOwnerStories,
  ...returnStories,
  ...ringsApartStories,
  ...ruleStories,
  ...leaseStories,
  ...damageStories,
  ...clockStories,
  ...edgeStories,
  ...edgeContactStories,
  ...edgeAwayStories,
];
