/**
 * What came of versions of a cart that met, in words: the point of the demo.
 */
import { articleOf, inShelfOrder } from "../catalogue.ts";
import { type Cart, quantityOf } from "../store/cart.ts";
import type { RuleName } from "../store/settings.ts";

export interface Happening {
  readonly number: number;
  readonly kind: "merged" | "siblings" | "returned" | "lost";
  readonly text: string;
}

const shownMax = 4;
const rememberedMax = 200;

const unionForgets =
  "it was taken out here while another device, which did not know, changed its version. A union cannot tell what was taken " +
  "out from what was never there. The paper accepts that (4.4): rather an item too many than one lost.";

const whyReturned: Readonly<Record<RuleName, string>> = {
  union: unionForgets,
  siblings: unionForgets,
  crdt: "another device added it while it was taken out here, and adding wins.",
  lww: "the version that won still had it.",
};

export class Happenings {
  /** Dot -> the version of that name, to tell what was in one that lost. */
  readonly #known = new Map<string, Cart>();
  /** Taken out on this device, and not put back by it. */
  readonly #removed = new Set<string>();
  #told: readonly Happening[] = [];
  #lastMet = "";
  #number = 0;

  remember(dot: string, cart: Cart | undefined): void {
    if (cart === undefined) return;
    this.#known.delete(dot);
    this.#known.set(dot, cart);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= rememberedMax) break;
      this.#known.delete(oldest);
    }
  }

  removed(article: string): void {
    this.#removed.add(article);
  }

  added(article: string): void {
    this.#removed.delete(article);
  }

  /** `before`, `now`: what was and is shown. Undefined: there is nothing to tell. */
  met(rule: RuleName, versions: readonly Cart[], before: Cart, now: Cart): readonly Happening[] | undefined {
    const isNew = (article: string): boolean => quantityOf(before, article) === 0 && quantityOf(now, article) > 0;
    const returned = [...this.#removed].filter(isNew);
    for (const article of returned) this.#removed.delete(article);
    const key = versions.map(contents).toSorted().join(" | ");
    if (versions.length < 2 || key === this.#lastMet) return undefined;
    this.#lastMet = key;
    const listed = versions.map((version) => `[${contents(version)}]`).join(" and ");
    if (rule === "siblings") {
      return this.#tell(
        "siblings",
        `${listed} were written without knowledge of each other. Both are kept: you decide.`,
      );
    }
    const how = rule === "crdt" ? "each knows what its writer had seen, so together they are" : "the union of them is";
    this.#tell("merged", `${listed} met, and ${how} [${contents(now)}].`);
    if (returned.length > 0) {
      const names = returned.map((article) => articleOf(article).name).join(", ");
      this.#tell("returned", `${names} came back: ${whyReturned[rule]}`);
    }
    return this.#told;
  }

  /** Under last write wins. */
  lost(dot: string): readonly Happening[] {
    const cart = this.#known.get(dot);
    const what = cart === undefined ? "a version that this device has not seen" : `[${contents(cart)}]`;
    return this.#tell("lost", `The later write won, and ${what} is gone: nobody will see it again.`);
  }

  #tell(kind: Happening["kind"], text: string): readonly Happening[] {
    this.#number += 1;
    this.#told = [{ number: this.#number, kind, text }, ...this.#told].slice(0, shownMax);
    return this.#told;
  }
}

/** "2 Tea, Lamp" */
export function contents({ lines }: Cart): string {
  if (lines.length === 0) return "empty";
  return inShelfOrder(lines)
    .map(({ article, quantity }) => `${quantity > 1 ? `${quantity} ` : ""}${articleOf(article).name}`)
    .join(", ");
}
