/** Puts and gets of this cart, each with the replicas that took part. */
import type { Explanation } from "everwrite";
import type { ShopModel } from "../model/shop-model.ts";
import type { Passage } from "../model/traffic.ts";
import { shortDot } from "./causality.tsx";
import { useObservable } from "./hooks.ts";

/** Of hosts, by their ids. */
export interface Naming {
  readonly name: (id: string) => string;
  readonly colourOf: (id: string) => string;
}

interface TrafficProps extends Naming {
  readonly model: ShopModel;
  readonly explanation: Explanation | undefined;
}

export function TrafficView({ model, explanation, name, colourOf }: TrafficProps) {
  const session = useObservable(model.session);
  const passages = useObservable(session.traffic.passages);
  return (
    <section aria-labelledby="traffic-title">
      <h2 id="traffic-title">Puts and gets as they happen</h2>
      <p class="about">
        Of this cart, newest first. ✓ acknowledged or answered; coloured: has that version now; dashed: is away.
      </p>
      <p>
        <button class="quiet" type="button" onClick={() => void session.read()}>
          Read this cart from a quorum
        </button>
      </p>
      {passages.length === 0 && <p class="empty">None since the page was opened: add something, here or elsewhere.</p>}
      <div role="log" aria-labelledby="traffic-title">
        <ul class="writes">
          {passages.map((passage) => (
            <li key={passage.number} class={passage.kind}>
              <span>
                <strong>{passage.kind === "heard" ? "Another device" : passage.what}</strong>
                {wordsOf(passage, explanation, name)}
              </span>
              <Parts passage={passage} explanation={explanation} name={name} colourOf={colourOf} />
            </li>
          ))}
        </ul>
      </div>
    </section>
  );
}

function wordsOf(passage: Passage, explanation: Explanation | undefined, name: Naming["name"]): string {
  const { kind, what, dot, hosts, hinted = [], note } = passage;
  const named = (ids: readonly string[]): string => ids.map(name).join(", ");
  if (kind === "heard") {
    const at = holdersOf(dot, explanation);
    return ` (${shortDot(dot!)}): ${what}${at.length > 0 ? `; ${named(at)} ${at.length === 1 ? "has" : "have"} it` : ""}`;
  }
  if (hosts === undefined) return ": under way";
  if (kind === "get") return ` ${note}${hosts.length > 0 ? `: ${named(hosts)} answered` : ""}`;
  const keepers = hinted.map((hint) => `; ${name(hint.at)} keeps it for ${name(hint.for)}`).join("");
  return `: ${note ?? `acknowledged by ${named(hosts)}`}${keepers}`;
}

/** Who has the version now; nobody where another has replaced it. */
function holdersOf(dot: string | undefined, explanation: Explanation | undefined): readonly string[] {
  return explanation?.siblings.find((sibling) => sibling.dot === dot)?.at ?? [];
}

interface PartsProps extends Omit<TrafficProps, "model"> {
  readonly passage: Passage;
}

/** A mark for each replica: full where it took part, open where it has the version since, dashed where it is away. */
function Parts({ passage, explanation, name, colourOf }: PartsProps) {
  const { hosts = [], hinted = [], dot } = passage;
  const holders = holdersOf(dot, explanation);
  const replicas = (explanation?.preferenceList ?? []).filter(
    ({ id, role }) => role === "owner" || hosts.includes(id) || holders.includes(id),
  );
  return (
    <span class="parts" aria-hidden="true">
      {replicas.map(({ id, alive }) => {
        const kept = hinted.filter((hint) => hint.at === id).map((hint) => name(hint.for));
        const part = hosts.includes(id) ? "took" : holders.includes(id) ? "has" : alive ? "none" : "gone";
        return (
          <span key={id} class={`part ${part}`} style={{ "--host": colourOf(id) }}>
            {name(id)}
            {kept.length > 0 && ` for ${kept.join(" and ")}`}
          </span>
        );
      })}
    </span>
  );
}
