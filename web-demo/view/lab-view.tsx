/** Faults to play with. Each is real: signals to processes, closed connections, refused writes. */
import { useEffect } from "preact/hooks";
import type { Control, HostAction, HostState, HostView } from "../model/control.ts";
import { dayMs, type Lab, type NetworkMode, slowMs } from "../model/lab.ts";
import { useObservable } from "./hooks.ts";
import { linkToRing } from "./opening.tsx";

export function LabView({ lab }: { readonly lab: Lab }) {
  const { control, ring } = lab;
  useEffect(() => control?.look(), [control]);
  return (
    <section class="page wide-page" aria-labelledby="lab-title">
      <h1 id="lab-title">Break things</h1>
      <p>Everything here is done for real. Go back to the shelves meanwhile: the cart goes on.</p>
      <div class="faults">
        <Network lab={lab} />
        <Room lab={lab} />
        <Time lab={lab} />
      </div>
      {ring === "hosts" &&
        (control === undefined ? (
          <p class="note">The hosts of this shop run elsewhere. Where `npm start` runs, they can be stopped here.</p>
        ) : (
          <Hosts control={control} />
        ))}
      {lab.hasRelays && (ring === "hosts" ? <WayToBrowsers /> : <BrowsersAlone control={control} />)}
    </section>
  );
}

/** Name on the button, what it means, what it does. */
interface Choice {
  readonly name: string;
  readonly about: string;
  readonly isChosen: boolean;
  readonly choose: () => void;
}

function Choices({ id, title, choices }: { id: string; title: string; choices: readonly Choice[] }) {
  return (
    <section class="fault" aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      <p class="actions" role="group" aria-labelledby={id}>
        {choices.map(({ name, isChosen, choose }) => (
          <button key={name} class="quiet" type="button" aria-pressed={isChosen} onClick={choose}>
            {name}
          </button>
        ))}
      </p>
      <p class="about" role="status">
        {choices.find(({ isChosen }) => isChosen)?.about}
      </p>
    </section>
  );
}

const modes: readonly (readonly [mode: NetworkMode, name: string, about: string])[] = [
  ["on", "Connected", "This device talks to the others."],
  ["slow", "Slow", `Each request waits ${slowMs / 1_000} seconds before it leaves.`],
  ["off", "Cut off", "All connections are closed, and none is made. Changes wait on this device."],
];

function Network({ lab }: { readonly lab: Lab }) {
  const { network } = useObservable(lab.faults);
  const choices = modes.map(([mode, name, about]) => {
    return { name, about, isChosen: mode === network, choose: () => lab.setNetwork(mode) };
  });
  return <Choices id="network-title" title="The network of this device" choices={choices} />;
}

function Room({ lab }: { readonly lab: Lab }) {
  const { isFull } = useObservable(lab.faults);
  const full =
    "Its storage takes no byte more. A change that cannot be kept is refused, and says so: better than to lose it later. What is " +
    "there can be read, and is sent.";
  const choices = [
    {
      name: "Room",
      about: "What you change is stored here first.",
      isChosen: !isFull,
      choose: () => lab.setFull(false),
    },
    { name: "Full", about: full, isChosen: isFull, choose: () => lab.setFull(true) },
  ];
  return <Choices id="room-title" title="The storage of this device" choices={choices} />;
}

function Time({ lab }: { readonly lab: Lab }) {
  const { aheadMs } = useObservable(lab.faults);
  const days = aheadMs / dayMs;
  return (
    <section class="fault" aria-labelledby="time-title">
      <h2 id="time-title">The clock of this device</h2>
      <p class="actions" role="group" aria-labelledby="time-title">
        <button class="quiet" type="button" onClick={() => lab.letADayPass()}>
          Let a day pass
        </button>
        <button class="quiet" type="button" disabled={aheadMs === 0} onClick={() => lab.setClockRight()}>
          Set it right
        </button>
      </p>
      <p class="about" role="status">
        {days === 0
          ? "It tells the time of this machine."
          : `It is ${days} ${days === 1 ? "day" : "days"} ahead. Writes are stamped by the hosts' time all the same, which it knows when it meets them.`}
      </p>
    </section>
  );
}

function WayToBrowsers() {
  return (
    <section aria-labelledby="browsers-title">
      <h2 id="browsers-title">No hosts at all</h2>
      <p>
        The same shop with nothing but browsers on the ring: each page is a host, and keeps a share of the data. They
        meet at a relay, which can be killed once they know each other. It is a cluster of its own, with other carts.
      </p>
      <p>
        <a class="button" href={linkToRing("browsers")}>
          Browsers alone
        </a>
      </p>
    </section>
  );
}

/** What there is to break where pages are the hosts. */
function BrowsersAlone({ control }: { readonly control: Control | undefined }) {
  return (
    <section aria-labelledby="browsers-title">
      <h2 id="browsers-title">Browsers alone</h2>
      <p>
        This page is a host: what you change is on the disks of the browsers that have this shop open, and nowhere else.
        Open it in two more browsers or private windows by the link of your cart, and close one: the others go on.
      </p>
      {control !== undefined && <Relay control={control} />}
      <p>
        <a class="button quiet" href={linkToRing("hosts")}>
          Back to the shop on hosts
        </a>
      </p>
    </section>
  );
}

function Relay({ control }: { readonly control: Control }) {
  const isRunning = useObservable(control.isRelayRunning);
  if (isRunning === undefined) return null;
  return (
    <div class={`host relay ${isRunning ? "running" : "stopped"}`}>
      <h3>The relay</h3>
      <p>
        <span class="dot" aria-hidden="true" />
        {isRunning ? "running: new browsers find the others here" : "dead: the browsers that have met go on without it"}
      </p>
      <p class="actions">
        <button class="quiet" type="button" onClick={() => void control.actOnRelay(isRunning ? "kill" : "restart")}>
          {isRunning ? "Kill" : "Start again"}
          <span class="hidden"> the relay</span>
        </button>
      </p>
    </div>
  );
}

function Hosts({ control }: { readonly control: Control }) {
  const hosts = useObservable(control.hosts);
  const problem = useObservable(control.problem);
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

/** A host that is full has the other of two. */
const actions: Readonly<Record<HostState, readonly (readonly [action: HostAction, name: string])[]>> = {
  starting: [["kill", "Kill"]],
  running: [
    ["pause", "Pause"],
    ["kill", "Kill"],
    ["fill", "Fill its disk"],
    ["relieve", "Make room"],
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

function HostCard({
  control,
  host: { number, state, isFull, pid },
}: {
  readonly control: Control;
  readonly host: HostView;
}) {
  const possible = actions[state].filter(([action]) => action !== (isFull ? "fill" : "relieve"));
  return (
    <li class={`host ${state}${isFull ? " full" : ""}`}>
      <h3>Host {number}</h3>
      <p>
        <span class="dot" aria-hidden="true" />
        {stateWords[state]}
        {isFull && ", its disk is full"}
        {pid !== null && <code> process {pid}</code>}
      </p>
      <p class="actions">
        {possible.map(([action, name]) => (
          <button key={action} class="quiet" type="button" onClick={() => void control.act(number, action)}>
            {name}
            <span class="hidden"> host {number}</span>
          </button>
        ))}
      </p>
    </li>
  );
}
