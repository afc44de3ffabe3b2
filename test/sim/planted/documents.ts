/** Planted bugs: what updates of Yjs documents would get wrong: what a fold drops, what an update claims, and in which order they come. */
import type { Mutation } from "./mutations.ts";

export const documents: readonly Mutation[] = [
  {
    name: "an update replaces its writer's earlier ones, whether or not it folds them",
    profile: "documents",
    file: "causality/version-set.js",
    find: "return isUpdate(event) && isUpdate(value) ? isFolded(value) :",
    replace: "return isUpdate(event) && isUpdate(value) ? isFolded(value) || value.dot.actor === event.dot.actor :",
  },
  {
    name: "a fold takes all updates of the writers that it names",
    profile: "documents",
    file: "causality/version-set.js",
    find: "folds.some((fold) => compareDots(fold, dot) === 0)",
    replace: "folds.some((fold) => fold.actor === dot.actor)",
  },
  {
    name: "an update drops what its writer has seen",
    profile: "documents",
    file: "causality/version-set.js",
    find: "isUpdate(value) ? isFolded(value) : covers(context.vector, value.dot);",
    replace:
      "isUpdate(value) ? isFolded(value) || covers(context.vector, value.dot) : covers(context.vector, value.dot);",
  },
  {
    name: "an update claims what its writer has seen",
    profile: "documents",
    file: "causality/version-set.js",
    find: "const seen = isUpdate(event) ? [own] :",
    replace: "const seen = false ? [own] :",
  },
  {
    name: "an edge's update is taken before the one that it follows",
    profile: "documents",
    file: "replica/minter.js",
    find: "if (!covers(held.vector, { ...minted.dot, counter: event.previous }))",
    replace: "if (false)",
  },
  {
    name: "an edge does not tell which update comes before",
    profile: "documents",
    file: "edge/own-actor.js",
    find: "known.vector.find((entry) => entry.actor === actor)?.counter ?? 0;",
    replace: "0;",
  },
  {
    name: "an update that hosts want under another name keeps its own",
    profile: "documents",
    file: "edge/local.js",
    find: "await outbox.become(renamed(self, outbox.of(located.key), write, name));",
    replace:
      "await outbox.become(renamed(self, outbox.of(located.key), write, { event: write.row.event, dot: write.dot }));",
  },
  {
    name: "an edge's update that waits gives way to the next, which does not contain it",
    profile: "documents",
    file: "edge/new-dots.js",
    find: "isUpdate(next.value) && next.folds.some((fold) => isSame(fold, dot));",
    replace: "isUpdate(next.value);",
  },
];
