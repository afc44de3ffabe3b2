/** Faults to play with. Each is real: signals to processes, closed connections. */
import { useEffect } from "preact/hooks";
import type { Control, HostAction, HostState, HostView } from "../model/control.ts";
import { type Lab, type NetworkMode, slowMs } from "../model/lab.ts";
import { useObservable } from "./hooks.ts";

export function LabView({ lab }: { readonly lab: Lab }) {
  return (
    <section class="page wide-page" aria-labelledby="lab-title">
      <h1 id="lab-title">Break things</h1>
      <p>Everything here is done for real. Go back to the shelves meanwhile: the cart goes on.</p>
      <Network lab={lab} />
      {lab.control === undefined ? (
        <p class="note">The hosts of this shop run elsewhere. Where `npm start` runs, they can be stopped here.</p>
      ) : (
        <Hosts control={lab.control} />
      )}
    </section>
  );
}

const modes: readonly (readonly [mode: NetworkMode, name: string, about: string])[] = [
  ["on", "Connected", "This device talks to the hosts over WebSockets."],
  ["slow", "Slow", `Each request waits ${slowMs / 1_000} seconds before it leaves.`],
  ["off", "Cut off", "All connections are closed, and none is made. Changes wait on this device."],
];

function Network({ lab }: { readonly lab: Lab }) {
  const network = useObservable(lab.network);
  return (
    <section aria-labelledby="network-title">
      <h2 id="network-title">The network of this device</h2>
      <p class="actions" role="group" aria-labelledby="network-title">
        {modes.map(([mode, name]) => (
          <button
            key={mode}
            class="quiet"
            type="button"
            aria-pressed={mode === network}
            onClick={() => lab.setNetwork(mode)}
          >
            {name}
          </button>
        ))}
      </p>
      <p class="about">{modes.find(([mode]) => mode === network)?.[2]}</p>
    </section>
  );
}

function Hosts({ control }: { readonly control: Control }) {
  const hosts = useObservable(control.hosts);
  const problem = useObservable(control.problem);
  useEffect(() => control.look(), [control]);
  return (
    <section aria-labelledby="hosts-title">
      <h2 id="hosts-title">The hosts</h2>
      <ul class="hosts">
        {hosts.map((host) => (
          <HostCard key={host.number} control={control} host={host} />
        ))}
      </ul>
      <button type="button" onClick={() => void control.addHost()}>
        Add a host
      </button>
      {problem !== undefined && (
        <p class="note" role="alert">
          {problem}
        </p>
      )}
    </section>
  );
}

const actions: Readonly<Record<HostState, readonly (readonly [action: HostAction, name: string])[]>> = {
  starting: [["kill", "Kill"]],
  running: [
    ["pause", "Pause"],
    ["kill", "Kill"],
    ["leave", "Let it leave"],
  ],
  paused: [
    ["resume", "Go on"],
    ["kill", "Kill"],
  ],
  stopped: [
    ["restart", "Start again"],
    ["remove", "Remove for good"],
  ],
  leaving: [["kill", "Kill"]],
};

const stateWords: Readonly<Record<HostState, string>> = {
  starting: "starting",
  running: "running",
  paused: "paused (SIGSTOP)",
  stopped: "dead",
  leaving: "handing its data over",
};

function HostCard({ control, host: { number, state, id } }: { readonly control: Control; readonly host: HostView }) {
  return (
    <li class={`host ${state}`}>
      <h3>Host {number}</h3>
      <p>
        <span class="dot" aria-hidden="true" />
        {stateWords[state]}
        {id !== null && <code title={id}> …{id.slice(-6)}</code>}
      </p>
      <p class="actions">
        {actions[state].map(([action, name]) => (
          <button key={action} class="quiet" type="button" onClick={() => void control.act(number, action)}>
            {name}
            <span class="hidden"> host {number}</span>
          </button>
        ))}
      </p>
    </li>
  );
}
