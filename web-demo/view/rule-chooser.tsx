/** How several versions of the cart become one, and what it just did. */
import type { CartSession } from "../model/cart-session.ts";
import { type RuleName, ruleNames } from "../store/settings.ts";
import { useObservable } from "./hooks.ts";

const rules: Readonly<Record<RuleName, { readonly name: string; readonly about: string }>> = {
  union: {
    name: "Union of carts",
    about: "All that is in any version, as in Amazon's paper. Nothing added is lost; what was taken out can come back.",
  },
  siblings: {
    name: "You decide",
    about:
      "Versions that were written without knowledge of each other are shown side by side: siblings. You merge them.",
  },
  crdt: {
    name: "CRDT cart",
    about: "A value that knows what its writer had seen: nothing added is lost, and what was taken out stays out.",
  },
  lww: {
    name: "Last write wins",
    about: "The version with the later clock stays, the other is dropped. Simple, and it loses what was in it.",
  },
};

export function RuleChooser({ session }: { readonly session: CartSession }) {
  const { settings, happenings } = useObservable(session.state);
  return (
    <div class="rules">
      <h2>When two versions of this cart meet</h2>
      <label>
        <span class="hidden">Merge rule of this cart</span>
        <select value={settings.rule} onChange={(event) => void session.setRule(event.currentTarget.value as RuleName)}>
          {ruleNames.map((rule) => (
            <option key={rule} value={rule}>
              {rules[rule].name}
            </option>
          ))}
        </select>
      </label>
      <p class="about">{rules[settings.rule].about}</p>
      <ul class="happenings" aria-live="polite">
        {happenings.map(({ number, kind, text }) => (
          <li key={number} class={kind}>
            {text}
          </li>
        ))}
      </ul>
    </div>
  );
}
