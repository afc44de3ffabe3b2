/** Two browsers that wrote one key while they were offline, and are connected again. Their pages are `pages/store.ts`. */
import assert from "node:assert/strict";
import { eventually } from "../support/eventually.ts";
import type { Tab } from "./chromium.ts";
import type { Functions } from "./pages/store.ts";

type StoreTab = Tab<Functions>;

/**
 * Both see the same two siblings, which hold `values`; one makes one value of them. How long after it began to the other
 * sees that, ms.
 */
export async function msToJoin(
  [one, two]: readonly [StoreTab, StoreTab],
  key: string,
  values: readonly string[],
): Promise<number> {
  const tabs = [one, two];
  const last = async (tab: StoreTab) => (await tab.call("told")).findLast((each) => each.key === key);
  const sees = (tab: StoreTab, wanted: readonly string[], what: string): Promise<void> =>
    eventually(async () => (await last(tab))?.values.toSorted().join() === wanted.join(), what);

  for (const tab of tabs) await tab.call("subscribe", key);
  for (const tab of tabs) await sees(tab, values, "both siblings");
  const dots = await Promise.all(tabs.map(async (tab) => (await tab.call("dots", key)).toSorted()));
  assert.deepEqual(dots[0], dots[1]);
  const joinedMs = await one.call("join", key);
  await sees(two, [values.join(" and ")], "what the other made of them");
  return (await last(two))!.atMs - joinedMs;
}
