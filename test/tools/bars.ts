/**
 * What the bars of a trial's figures say. A short run happens on busy machines, so a missed bar of a timing is told in
 * it but not counted. Keeps: what must hold (losses, complaints, memory) counts in every run, and a timing that is no
 * finite number is no timing: nothing was answered, and that counts too.
 */
import type { Figure } from "./trial.ts";

export interface MissedBar {
  /** Figure, value and what was asked. */
  readonly text: string;
  readonly isCounted: boolean;
}

/** Whatever is measured in these says as much of the machine as of us; `x` is one rate in times of another. */
const unitsOfTime: ReadonlySet<string> = new Set(["us", "ms", "s", "/s", "x"]);

export function missedBars(figures: readonly Figure[], short: boolean): MissedBar[] {
  return figures.flatMap(({ name, value, unit, bar }) => {
    if (bar === undefined) return [];
    // Written so that NaN, which is no answer, misses every bar.
    const isMet = "atLeast" in bar ? value >= bar.atLeast : value <= bar.atMost;
    if (isMet) return [];
    const asked = "atLeast" in bar ? `at least ${bar.atLeast}` : `at most ${bar.atMost}`;
    const isCounted = !short || !unitsOfTime.has(unit) || !Number.isFinite(value);
    return [{ text: `${name}: ${[value, unit].join(" ").trimEnd()}, ${asked} asked`, isCounted }];
  });
}
