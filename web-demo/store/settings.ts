/** What belongs to a cart beside what is in it. Shared with it, so that all devices follow one rule. */

export const ruleNames = ["union", "siblings", "crdt", "lww"] as const;

/** How several versions of a cart become one. */
export type RuleName = (typeof ruleNames)[number];

export interface CartSettings {
  readonly name: string;
  readonly rule: RuleName;
}

export const defaultSettings: CartSettings = { name: "My cart", rule: "union" };

const nameLengthMax = 60;

/** @throws TypeError */
export function checkSettings(value: unknown): CartSettings {
  const { name, rule } = (value ?? {}) as { name?: unknown; rule?: unknown };
  if (typeof name !== "string" || name.length > nameLengthMax) throw new TypeError("a cart has a short name");
  const known = ruleNames.find((each) => each === rule);
  if (known === undefined) throw new TypeError(`no such rule: ${String(rule)}`);
  return { name, rule: known };
}
