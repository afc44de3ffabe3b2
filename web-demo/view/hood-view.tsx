/** Under the hood: this cart on the ring, its replicas, and what the hosts do for it, as they tell it. */
import type { Explanation, NodeStatus } from "everwrite";
import { useEffect, useState } from "preact/hooks";
import type { Control, HostView } from "../model/control.ts";
import { Hood, nameOf } from "../model/hood.ts";
import type { Lab } from "../model/lab.ts";
import type { ShopModel } from "../model/shop-model.ts";
import type { AskedCart } from "../store/cart-bucket.ts";
import { Causality, shortDot } from "./causality.tsx";
import { useObservable } from "./hooks.ts";
import { RingPicture } from "./ring-picture.tsx";

const colours = ["var(--p-warm)", "var(--p-cool)", "var(--p-leaf)", "var(--p-sun)", "var(--p-rose)", "var(--p-wood)"];

export function HoodView({ model, lab: { control, ring } }: { readonly model: ShopModel; readonly lab: Lab }) {
  if (control !== undefined && ring === "hosts") return <LiveHood model={model} control={control} />;
  const name = (id: string): string => (id === model.visitorId ? "this page" : `…${id.slice(-6)}`);
  return (
    <section class="page wide-page" aria-labelledby="hood-title">
      <h1 id="hood-title">Under the hood</h1>
      <Lineage model={model} />
      <Writes model={model} name={name} />
      <Reads model={model} />
      <p class="note">
        {ring === "browsers"
          ? "The hosts of this shop are the pages that have it open, and this is one of them."
          : "The hosts of this shop run elsewhere: what they do can be seen where `npm start` runs."}
      </p>
    </section>
  );
}

function LiveHood({ model, control }: { readonly model: ShopModel; readonly control: Control }) {
  const [hood] = useState(() => new Hood(control));
  const { id, settings } = useObservable(useObservable(model.session).state);
  const { isKnown, ring, explanation, statuses } = useObservable(hood.state);
  const hosts = useObservable(control.hosts);
  const key = `${model.shop.carts(settings.rule).name}/${id}`;
  useEffect(() => hood.look(key), [hood, key]);
  const name = (host: string): string => nameOf(host, hosts);
  const colourOf = (host: string): string => {
    const number = hosts.find((each) => each.id === host)?.number ?? 0;
    return colours[(number + colours.length - 1) % colours.length]!;
  };
  return (
    <section class="page wide-page" aria-labelledby="hood-title">
      <h1 id="hood-title">Under the hood</h1>
      <p>
        The key of this cart is <code>{key}</code>
        {explanation !== undefined && (
          <>
            . Its MD5, <code>{explanation.position.slice(0, 8)}…</code>, falls into partition {explanation.partition}
          </>
        )}
        . The first {ring?.n ?? model.copies} hosts on the walk from there own it.
      </p>
      <div class="hood">
        {ring === undefined ? (
          <p class="empty">{isKnown ? "No host answers." : "Asking the hosts …"}</p>
        ) : (
          <RingPicture ring={ring} explanation={explanation} colourOf={colourOf} nameOf={name} />
        )}
        <div class="hood-side">
          <Replicas explanation={explanation} name={name} colourOf={colourOf} />
          <Writes model={model} name={name} />
          <Reads key={key} model={model} />
        </div>
      </div>
      <Lineage model={model} />
      <Members statuses={statuses} hosts={hosts} name={name} colourOf={colourOf} />
    </section>
  );
}

interface Naming {
  readonly name: (id: string) => string;
  readonly colourOf: (id: string) => string;
}

function Swatch({ colour }: { readonly colour: string }) {
  return <i class="swatch" style={{ background: colour }} aria-hidden="true" />;
}

function Replicas({ explanation, name, colourOf }: Naming & { readonly explanation: Explanation | undefined }) {
  return (
    <section aria-labelledby="replicas-title">
      <h2 id="replicas-title">What each replica has</h2>
      <div class="scroll" tabIndex={0} role="group" aria-labelledby="replicas-title">
        <table class="facts">
          <thead>
            <tr>
              <th scope="col">Host</th>
              <th scope="col">Role</th>
              <th scope="col">Live versions</th>
              <th scope="col">Its clock</th>
            </tr>
          </thead>
          <tbody>
            {explanation?.preferenceList.map(({ id, role, alive, holding, dots, clock, upToDate }) => (
              <tr key={id} data-host={id} class={alive ? "" : "gone"}>
                <th scope="row">
                  <Swatch colour={colourOf(id)} />
                  {name(id)}
                </th>
                <td>
                  {role}
                  {alive
                    ? holding === "hint"
                      ? ", holds a hint"
                      : holding === "filling"
                        ? ", filling"
                        : ""
                    : ", away"}
                </td>
                <td>{dots?.map(shortDot).join(" ") ?? "no answer"}</td>
                <td>
                  {clock?.map(({ actor, counter }) => `${actor.slice(0, 4)}:${counter}`).join(" ")}
                  {upToDate === false && " (behind)"}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/** Of this device: who had each write when it was acknowledged. */
function Writes({ model, name }: { readonly model: ShopModel } & Pick<Naming, "name">) {
  const entries = useObservable(useObservable(model.session).changes.entries);
  return (
    <section aria-labelledby="writes-title">
      <h2 id="writes-title">Writes of this device</h2>
      {entries.length === 0 && <p class="empty">None yet.</p>}
      <ul class="writes">
        {entries.map(({ number, what, receipt }) => (
          <li key={number}>
            <strong>{what}</strong>
            {receipt === undefined
              ? ": under way"
              : receipt.localOnly
                ? ": kept on this device, no host could be asked"
                : `: acknowledged by ${receipt.durable.map(name).join(", ")}`}
            {receipt?.hinted.map((hint) => `; ${name(hint.at)} keeps it for ${name(hint.for)}`).join("")}
          </li>
        ))}
      </ul>
    </section>
  );
}

/** A subscription keeps this device's copy current; here the hosts are asked at the press of a button. */
function Reads({ model }: { readonly model: ShopModel }) {
  const session = useObservable(model.session);
  const [answer, setAnswer] = useState("");
  const read = async (): Promise<void> => {
    const beginMs = performance.now();
    setAnswer("Asking …");
    const told = await askedWords(model.shop.carts(session.state.value.settings.rule).ask(session.id));
    setAnswer(`${Math.round(performance.now() - beginMs)} ms: ${told}`);
  };
  return (
    <section aria-labelledby="reads-title">
      <h2 id="reads-title">A read</h2>
      <p>
        <button class="quiet" type="button" onClick={() => void read()}>
          Read this cart from a quorum
        </button>
      </p>
      <p class="reads" role="status">
        {answer}
      </p>
    </section>
  );
}

async function askedWords(asking: Promise<AskedCart>): Promise<string> {
  try {
    const { versions, source, degraded } = await asking;
    const count = versions === 1 ? "one version" : `${versions} versions`;
    if (source === "local") return `${count}, of this device's own copy: no quorum of hosts answered`;
    return `${count}, from ${degraded ? "fewer replicas than R asks for: newer ones may exist" : "a quorum of its hosts"}`;
  } catch (error: unknown) {
    return error instanceof Error ? error.message : String(error);
  }
}

function Lineage({ model }: { readonly model: ShopModel }) {
  const { lineage } = useObservable(useObservable(model.session).state);
  return (
    <section aria-labelledby="lineage-title">
      <h2 id="lineage-title">Versions of this cart</h2>
      <p class="about">
        Each box is a write, named by its actor and counter. A line leads from what its writer had seen. Two live boxes
        are siblings: neither writer knew of the other.
      </p>
      <Causality versions={lineage} />
    </section>
  );
}

interface MembersProps extends Naming {
  readonly statuses: ReadonlyMap<number, NodeStatus>;
  readonly hosts: readonly HostView[];
}

function Members({ statuses, hosts, name, colourOf }: MembersProps) {
  return (
    <section aria-labelledby="members-title">
      <h2 id="members-title">The hosts, and what they do in the background</h2>
      <div class="scroll" tabIndex={0} role="group" aria-labelledby="members-title">
        <table class="facts wide">
          <thead>
            <tr>
              <th scope="col">Host</th>
              <th scope="col">Sees alive</th>
              <th scope="col">Owns</th>
              <th scope="col">Filling, handing off</th>
              <th scope="col">Hints it keeps</th>
              <th scope="col">Merkle trees compared</th>
            </tr>
          </thead>
          <tbody>
            {hosts.map(({ number, id, state }) => {
              const status = statuses.get(number);
              return (
                <tr key={number} class={status === undefined ? "gone" : ""}>
                  <th scope="row">
                    <Swatch colour={id === null ? "transparent" : colourOf(id)} />
                    Host {number}
                  </th>
                  {status === undefined ? (
                    <td colSpan={5}>{state}</td>
                  ) : (
                    <>
                      <td data-name="Sees alive">{aliveIn(status)}</td>
                      <td data-name="Owns">{status.partitions.owned} partitions</td>
                      <td data-name="Filling, handing off">{transfersOf(status)}</td>
                      <td data-name="Hints it keeps">
                        {status.hintsFor.map((hint) => `${hint.count} for ${name(hint.for)}`).join(", ") || "none"}
                      </td>
                      <td data-name="Merkle trees compared">{comparedBy(status)}</td>
                    </>
                  )}
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function aliveIn({ members }: NodeStatus): string {
  const hosts = members.filter(({ status }) => status === "up" || status === "leaving");
  return `${hosts.filter(({ alive }) => alive).length} of ${hosts.length}`;
}

function transfersOf({ partitions, transfers }: NodeStatus): string {
  const running = transfers.filling ?? transfers.handingOff;
  const percent = running === undefined ? "" : ` (${Math.round(running.percent)} %)`;
  return `${partitions.filling}, ${partitions.handingOff}${percent}`;
}

/** What it cost, beside what there is to compare. */
function comparedBy({ antiEntropy: { rounds, bytes, keysPulled, keysPushed }, storage }: NodeStatus): string {
  const kB = (count: number): string => `${Math.ceil(count / 1_000)} kB`;
  return `${rounds} rounds of ${kB(storage.bytes)} for ${kB(bytes)} in all; ${keysPulled + keysPushed} keys mended`;
}
