/** Planted bugs: what updates, and values that merge by themselves, would get wrong. */
import type { Mutation } from "./mutations.ts";

export const values: readonly Mutation[] = [
  {
    name: "an update whose answer was lost is made anew: a counter counts it twice",
    profile: "values",
    file: "store/update.js",
    find: `return await tries.untilDone((limits) => node.put(bucket, name, body, { ...options, ...limits }));
    }
    catch (error) {
`,
    replace: `return await node.put(bucket, name, body, options);
    }
    catch (error) {
        if (passingCodes.has(error.code)) return undefined;
`,
  },
  {
    name: "a set forgets what the other side has seen",
    profile: "values",
    file: "values/dotted.js",
    find: "return normal(joinSeen(a.seen, b.seen), entries);",
    replace: "return normal(a.seen, entries);",
  },
  {
    name: "what one side has removed comes back from the other",
    profile: "values",
    file: "values/dotted.js",
    find: "const ofLeft = left.filter((entry) => !hasSeen(b.seen, entry));",
    replace: "const ofLeft = left.filter((entry) => !onBoth.includes(entry));",
  },
  {
    name: "a merge drops a sibling",
    profile: "values",
    file: "store/read.js",
    find: "return rule.resolve(decoded);",
    replace: "return rule.resolve(decoded.slice(0, 2));",
  },
  {
    name: "a writer is used again on a value that lacks its last change",
    profile: "values",
    file: "store/pens.js",
    find: "seen.writers.get(last.writer) === last.counter",
    replace: "true",
  },
  {
    name: "a change of an older value takes back what came since",
    profile: "values",
    file: "values/merging.js",
    find: "join(present.state, value.state)",
    replace: "value.state",
  },
  {
    name: "a counter takes the earlier sum of a writer",
    profile: "values",
    file: "values/counter.js",
    find: "(b.seen.writers.get(writer) ?? 0) > (a.seen.writers.get(writer) ?? 0) ? b : a",
    replace: "(b.seen.writers.get(writer) ?? 0) > (a.seen.writers.get(writer) ?? 0) && a.sums.has(writer) ? a : b",
  },
  {
    name: "an update writes beside what it has read",
    profile: "values",
    file: "store/update.js",
    find: "...(read.context === undefined ? {} : { context: read.context }),",
    replace: "",
  },
];
