/** Every story there is. */
import { actorStories } from "./actors.ts";
import { clockStories } from "./clocks.ts";
import { damageStories } from "./damage.ts";
import { siblingStories } from "./siblings.ts";
import type { Story } from "./stage.ts";

export const stories: readonly Story[] = [...actorStories, ...siblingStories, ...damageStories, ...clockStories];
