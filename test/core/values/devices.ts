/** Devices that change one value and hear of each other now and then: a store's replicas without the store. */
import fc from "fast-check";
import { Pens } from "../../../core/store/pens.ts";
import type { ConflictRule } from "../../../core/values/conflict-rules.ts";
import type { Pen } from "../../../core/values/dots.ts";

/** What happens at a device: it changes its value, or merges that of another one into it, or starts anew with what it has. */
export type Step<Change> =
  | { readonly kind: "change"; readonly at: number; readonly change: Change }
  | { readonly kind: "hear"; readonly at: number; readonly from: number }
  | { readonly kind: "restart"; readonly at: number };

export function stepsOf<Change>(changes: fc.Arbitrary<Change>, count = 40): fc.Arbitrary<readonly Step<Change>[]> {
  const at = fc.nat(2);
  return fc.array(
    fc.oneof(
      { weight: 5, arbitrary: fc.record({ kind: fc.constant("change" as const), at, change: changes }) },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant("hear" as const), at, from: at }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("restart" as const), at }) },
    ),
    { maxLength: count },
  );
}

/** Pens whose writers are numbered; on a day that the test says. */
export function pensOf(name: number, today: () => number = () => 20_000): Pens {
  let drawn = 0;
  const random = {
    next: () => 0,
    bytes: () => Uint8Array.from([name >> 8, name & 255, 0, 0, drawn >> 8, drawn++ & 255]),
  };
  const clock = { now: () => 0, wallTime: () => today() * 86_400_000, after: () => () => {} };
  return new Pens({ clock, random });
}

export class Devices<T> {
  readonly values: T[];
  readonly #rule: ConflictRule<T>;
  #pens: Pen[];
  #starts = 0;

  constructor(rule: ConflictRule<T>, count = 3) {
    this.#rule = rule;
    this.values = Array.from({ length: count }, () => rule.empty!);
    this.#pens = this.values.map(() => this.#freshPen());
  }

  #freshPen(): Pen {
    return pensOf(this.#starts++).of("key");
  }

  play<Change>(steps: readonly Step<Change>[], apply: (value: T, change: Change, at: number) => T): void {
    for (const step of steps) {
      const { at } = step;
      if (step.kind === "restart") this.#pens[at] = this.#freshPen();
      else if (step.kind === "hear") this.values[at] = this.merged([this.values[at]!, this.values[step.from]!]);
      else this.change(at, (value) => apply(value, step.change, at));
    }
  }

  change(at: number, change: (value: T) => T): void {
    const present = this.values[at]!;
    this.values[at] = this.#rule.seal!(change(present), present, this.#pens[at]!);
  }

  merged(values: readonly T[] = this.values): T {
    return this.#rule.resolve(values.map((value, i) => ({ value, timeMs: 0, dot: `a:${i + 1}` })))!;
  }
}

/** Values that may be siblings. */
export function siblingsOf<T, Change>(
  rule: ConflictRule<T>,
  changes: fc.Arbitrary<Change>,
  apply: (value: T, change: Change) => T,
): fc.Arbitrary<readonly T[]> {
  return stepsOf(changes, 20).map((steps) => {
    const devices = new Devices(rule);
    devices.play(steps, apply);
    return devices.values;
  });
}
