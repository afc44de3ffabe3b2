/** Under the hood: this cart on the ring, its replicas, and what the hosts do for it, as they tell it. */
import type { Explanation, NodeStatus } from "everwrite";
import { useEffect, useState } from "preact/hooks";
import { type Hood, hoodOfHosts, hoodOfPages, nameOf, type SeenHost } from "../model/hood.ts";
import type { Lab } from "../model/lab.ts";
import type { ShopModel } from "../model/shop-model.ts";
import { Causality, shortDot } from "./causality.tsx";
import { useObservable } from "./hooks.ts";
import { RingPicture } from "./ring-picture.tsx";
import { type Naming, TrafficView } from "./traffic-view.tsx";

const colours = ["var(--p-warm)", "var(--p-cool)", "var(--p-leaf)", "var(--p-sun)", "var(--p-rose)", "var(--p-wood)"];

export function HoodView({ model, lab: { control, ring } }: { readonly model: ShopModel; readonly lab: Lab }) {
  const [hood] = useState(() =>
    ring === "browsers" ? hoodOfPages(model.shop) : control === undefined ? undefined : hoodOfHosts(control),
  );
  if (hood !== undefined) return <LiveHood model={model} hood={hood} />;
  return (
    <section class="page wide-page" aria-labelledby="hood-title">
      <h1 id="hood-title">Under the hood</h1>
      <Lineage model={model} />
      <TrafficView model={model} explanation={undefined} name={(id) => nameOf(id, [])} colourOf={() => "var(--soft)"} />
      <p class="note">The hosts of this shop run elsewhere: what they do can be seen where `npm start` runs.</p>
    </section>
  );
}

function LiveHood({ model, hood }: { readonly model: ShopModel; readonly hood: Hood }) {
  const { id, settings } = useObservable(useObservable(model.session).state);
  const { isKnown, ring, explanation, hosts } = useObservable(hood.state);
  const key = `${model.shop.carts(settings.rule).name}/${id}`;
  useEffect(() => hood.look(key), [hood, key]);
  const name = (host: string): string => nameOf(host, hosts);
  const colourOf = (host: string): string => {
    const at = hosts.findIndex((each) => each.id === host);
    return at === -1 ? "var(--soft)" : colours[at % colours.length]!;
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
          <TrafficView model={model} explanation={explanation} name={name} colourOf={colourOf} />
          <Replicas explanation={explanation} name={name} colourOf={colourOf} />
        </div>
      </div>
      <Lineage model={model} />
      <Members hosts={hosts} name={name} colourOf={colourOf} />
    </section>
  );
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

function Members({ hosts, name, colourOf }: Naming & { readonly hosts: readonly SeenHost[] }) {
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
              <th scope="col">Storage</th>
              <th scope="col">Merkle trees compared</th>
            </tr>
          </thead>
          <tbody>
            {hosts.map((host) => (
              <tr key={host.name} class={host.status === undefined ? "gone" : ""}>
                <th scope="row">
                  <Swatch colour={host.id === null ? "transparent" : colourOf(host.id)} />
                  {host.name}
                </th>
                {host.status === undefined ? (
                  <td colSpan={6}>{host.state}</td>
                ) : (
                  <MemberFacts status={host.status} name={name} />
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function MemberFacts({ status, name }: Pick<Naming, "name"> & { readonly status: NodeStatus }) {
  return (
    <>
      <td data-name="Sees alive">{aliveIn(status)}</td>
      <td data-name="Owns">{status.partitions.owned} partitions</td>
      <td data-name="Filling, handing off">{transfersOf(status)}</td>
      <td data-name="Hints it keeps">
        {status.hintsFor.map((hint) => `${hint.count} for ${name(hint.for)}`).join(", ") || "none"}
      </td>
      <td data-name="Storage">{storageOf(status)}</td>
      <td data-name="Merkle trees compared">{comparedBy(status)}</td>
    </>
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

function storageOf({ storage: { state, bytes } }: NodeStatus): string {
  return state === "ok" ? kB(bytes) : `${state}, keeps nothing new`;
}

/** What it cost, beside what there is to compare. */
function comparedBy({ antiEntropy: { rounds, bytes, keysPulled, keysPushed }, storage }: NodeStatus): string {
  return `${rounds} rounds over ${kB(storage.bytes)}: ${kB(bytes)} sent in all, ${keysPulled + keysPushed} keys mended`;
}

function kB(bytes: number): string {
  return `${Math.ceil(bytes / 1_000)} kB`;
}
