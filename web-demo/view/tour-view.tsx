/** The guided tour: two devices on one stage, five scenes. */
import { useEffect, useState } from "preact/hooks";
import { contents } from "../model/happenings.ts";
import { dayMs, type Lab } from "../model/lab.ts";
import type { ShopModel } from "../model/shop-model.ts";
import { type Player, type Scene, scenes, type Stage } from "../model/tour.ts";
import { useObservable } from "./hooks.ts";
import { RuleChooser } from "./rule-chooser.tsx";
import { SavedMark } from "./saved-mark.tsx";

interface TourProps {
  readonly model: ShopModel;
  readonly lab: Lab;
  /** Opens the second device. */
  readonly openOther: () => Promise<Player>;
  /** Number of the scene, and how many of its steps are done: in the address, so that a reload goes on. */
  readonly at: readonly [scene: number, step: number];
}

export function TourView({ model, lab, openOther, at: [sceneNumber, done] }: TourProps) {
  const { player: there, problem } = useOther(openOther, model);
  const scene = scenes[sceneNumber] ?? scenes[0]!;
  useEffect(() => lab.control?.look(), [lab]);
  return (
    <section class="page wide-page" aria-labelledby="tour-title">
      <h1 id="tour-title">The tour</h1>
      <p>Five scenes with your cart on two devices: this page, and a second one that this browser runs for you.</p>
      <ol class="scenes">
        {scenes.map(({ title }, number) => (
          <li key={title}>
            <a href={`#/tour/${number}/0`} aria-current={scene.title === title ? "step" : undefined}>
              {number + 1}. {title}
            </a>
          </li>
        ))}
      </ol>
      {there === undefined ? (
        <p class={problem === undefined ? "empty" : "note"} role="status">
          {problem === undefined ? "Opening the other device …" : `The other device cannot open: ${problem}`}
        </p>
      ) : (
        <ScenePlay
          key={scene.title}
          scene={scene}
          number={sceneNumber}
          done={done}
          players={{ here: { model, lab }, there, control: lab.control }}
        />
      )}
    </section>
  );
}

interface ScenePlayProps {
  readonly scene: Scene;
  readonly number: number;
  readonly done: number;
  readonly players: Pick<Stage, "here" | "there" | "control">;
}

function ScenePlay({ scene: { title, about, steps, needsHosts }, number, done, players }: ScenePlayProps) {
  /** What the step that is played waits for; undefined: none is. */
  const [waiting, setWaiting] = useState<string>();
  const [problem, setProblem] = useState<string>();
  const [leaving] = useState(() => new AbortController());
  useEffect(() => () => leaving.abort(), [leaving]);
  const isBusy = waiting !== undefined;
  const isPossible = !needsHosts || players.control !== undefined;
  const play = async (index: number): Promise<void> => {
    setWaiting("");
    setProblem(undefined);
    // A scene that was left in the middle may have left them cut off.
    if (index === 0) for (const { lab } of [players.here, players.there]) lab.setNetwork("on");
    const left = leaving.signal;
    try {
      await steps[index]!.play({ ...players, left, waitsFor: setWaiting });
      if (!left.aborted) location.hash = `#/tour/${number}/${index + 1}`;
    } catch (error: unknown) {
      if (!left.aborted) setProblem(error instanceof Error ? error.message : String(error));
    }
    setWaiting(undefined);
  };
  return (
    <section class="scene" aria-labelledby="scene-title">
      <h2 id="scene-title">{title}</h2>
      <p>{about}</p>
      {!isPossible && <p class="note">The hosts of this shop run elsewhere: this scene needs those of `npm start`.</p>}
      <ol class="steps">
        {steps.map(({ name, after }, index) => (
          <li key={name} class={index < done ? "done" : ""}>
            <button
              type="button"
              class={index === done ? "" : "quiet"}
              disabled={!isPossible || isBusy || index !== done}
              onClick={() => void play(index)}
            >
              {isBusy && index === done ? "…" : ""} {name}
            </button>
            {index < done && <p role="status">{after}</p>}
            {index === done && isBusy && waiting !== "" && (
              <p class="waiting" role="status">
                Waiting for {waiting} …
              </p>
            )}
          </li>
        ))}
      </ol>
      {problem !== undefined && (
        <p class="note" role="alert">
          {problem}
        </p>
      )}
      {done >= steps.length && number + 1 < scenes.length && (
        <p>
          <a class="button" href={`#/tour/${number + 1}/0`}>
            Next: {scenes[number + 1]!.title}
          </a>
        </p>
      )}
      <div class="stage">
        <Device name="This device" player={players.here} />
        <Device name="The other device" player={players.there} />
      </div>
    </section>
  );
}

function Device({ name, player: { model, lab } }: { readonly name: string; readonly player: Player }) {
  const session = useObservable(model.session);
  const { cart } = useObservable(session.state);
  const entries = useObservable(session.changes.entries);
  const { connected, pending, parked } = useObservable(model.status);
  const { network, aheadMs } = useObservable(lab.faults);
  return (
    <section class="device" aria-label={name}>
      <h3>{name}</h3>
      <p class={connected ? "pill good" : "pill away"}>
        <span class="dot" aria-hidden="true" />
        {network === "off" ? "cut off" : connected ? "connected" : "connecting"}
        {pending > 0 && `, ${pending} waiting`}
        {parked > 0 && `, ${parked} refused`}
        {aheadMs > 0 && `, ${aheadMs / dayMs} ${aheadMs === dayMs ? "day" : "days"} ahead`}
      </p>
      <p class="contents">{contents(cart)}</p>
      {entries[0] !== undefined && (
        <p>
          {entries[0].what}: <SavedMark saved={entries[0].saved} copies={model.copies} />
        </p>
      )}
      <RuleChooser session={session} />
    </section>
  );
}

interface Other {
  readonly player?: Player;
  /** Why there is none. */
  readonly problem?: string;
}

/** The other device with the cart of this one. */
function useOther(openOther: () => Promise<Player>, model: ShopModel): Other {
  const { id } = useObservable(model.session);
  const [other, setOther] = useState<Other>({});
  useEffect(() => {
    openOther()
      .then(async (player) => {
        await player.model.openCart(id);
        setOther({ player });
      })
      .catch((error: unknown) => setOther({ problem: error instanceof Error ? error.message : String(error) }));
  }, [id]);
  return other;
}
