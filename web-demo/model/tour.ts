/**
 * Five scenes, played with the real store, the real network and the real hosts: a scene only says what to do and what to
 * wait for.
 */
import { quantityOf } from "../store/cart.ts";
import type { Control, HostState } from "./control.ts";
import type { Lab } from "./lab.ts";
import type { ShopModel } from "./shop-model.ts";

/** One device on the stage. */
export interface Player {
  readonly model: ShopModel;
  readonly lab: Lab;
}

export interface Stage {
  /** This page. */
  readonly here: Player;
  /** A second node of this browser, with a database and connections of its own. */
  readonly there: Player;
  readonly control: Control | undefined;
  /** Aborted when the visitor leaves the scene. */
  readonly left: AbortSignal;
  /** Tells what is waited for. */
  readonly waitsFor: (what: string) => void;
}

export interface Step {
  /** On the button. */
  readonly name: string;
  /** Shown once it is done. */
  readonly after: string;
  /** Resolves when it has happened. @throws Error in words; what `left` was aborted with */
  play(stage: Stage): Promise<void>;
}

export interface Scene {
  readonly title: string;
  readonly about: string;
  readonly steps: readonly Step[];
  /** Processes of this machine are in it. */
  readonly needsHosts: boolean;
}

const lookMs = 100;
/** What was refused is asked for again after so long. */
const againMs = 1_000;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** There is nothing that could be late: it is told what is waited for, and who leaves the scene ends it. */
async function until(stage: Stage, what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  stage.waitsFor(what);
  for (;;) {
    stage.left.throwIfAborted();
    if (await condition()) return;
    await pause(lookMs);
  }
}

const isIn =
  (...articles: readonly string[]) =>
  ({ model }: Player): boolean => {
    const { cart } = model.session.value.state.value;
    return articles.every((article) => quantityOf(cart, article) > 0);
  };

const players = ({ here, there }: Stage): readonly Player[] => [here, there];

/** Cut off, and aware of it. */
async function goOffline(stage: Stage, player: Player): Promise<void> {
  player.lab.setNetwork("off");
  await until(stage, "its last connection to close", () => !player.model.status.value.connected);
}

async function goOnline(stage: Stage, player: Player): Promise<void> {
  player.lab.setNetwork("on");
  await until(stage, "a host to answer", () => player.model.status.value.connected);
  await until(stage, "hosts to take what waits on the device", () => player.model.status.value.pending === 0);
}

async function add({ model }: Player, ...articles: readonly string[]): Promise<void> {
  for (const article of articles) await model.session.value.add(article);
}

/** Those of this machine. A scene that needs them is offered where there are some. */
async function hostsOf(stage: Stage): Promise<Control> {
  const control = stage.control!;
  await until(stage, "the hosts of this machine to be known", () => control.hosts.value.length > 0);
  return control;
}

function stateOf(control: Control, number: number): HostState | undefined {
  return control.hosts.value.find((host) => host.number === number)?.state;
}

/** Whom the cart's partition names first, by number. @throws Error */
async function firstOwner({ here }: Stage, control: Control): Promise<number> {
  const { id, settings } = here.model.session.value.state.value;
  const asked = control.hosts.value.find(({ state }) => state === "running");
  if (asked === undefined) throw new Error("No host runs: start one again under “Break things”.");
  const { preferenceList } = await control.explain(asked.number, `${here.model.shop.carts(settings.rule).name}/${id}`);
  const owner = control.hosts.value.find((host) => host.id === preferenceList[0]?.id);
  return (owner ?? asked).number;
}

async function hintsWaiting(control: Control): Promise<number> {
  const running = control.hosts.value.filter(({ state }) => state === "running");
  const statuses = await Promise.all(running.map(({ number }) => control.status(number).catch(() => undefined)));
  return statuses.reduce((sum, status) => sum + (status?.hints ?? 0), 0);
}

/** Every owner has what was changed here; but what was refused nobody has, and of few hosts all is as many as there are. */
function isEverywhere({ here }: Stage, control: Control): boolean {
  if (control.hosts.value.length < here.model.copies) return here.model.status.value.pending === 0;
  const { entries } = here.model.session.value.changes;
  return entries.value.every(({ saved }) => saved.kind === "everywhere" || saved.kind === "failed");
}

const concurrentAdds: Scene = {
  title: "Two devices add at once",
  about: "Neither can ask the other, nor any host. Both go on, and nothing is lost.",
  needsHosts: false,
  steps: [
    {
      name: "Cut both devices off",
      after: "Every connection of both is closed. Adding still works, for it is written on the device.",
      play: async (stage) => void (await Promise.all(players(stage).map((player) => goOffline(stage, player)))),
    },
    {
      name: "Add tea here, a kite there",
      after: "Two versions of one cart now, written without knowledge of each other: siblings.",
      play: async ({ here, there }) => void (await Promise.all([add(here, "tea"), add(there, "kite")])),
    },
    {
      name: "Connect both",
      after: "The hosts kept both versions, and the cart's rule made one of them, the same on both devices.",
      async play(stage) {
        await Promise.all(players(stage).map((player) => goOnline(stage, player)));
        await until(stage, "both carts to have both", () => players(stage).every(isIn("tea", "kite")));
      },
    },
  ],
};

const hostDies: Scene = {
  title: "A host dies",
  about: "A host that owns this cart is killed with SIGKILL. Nobody waits for it.",
  needsHosts: true,
  steps: [
    {
      name: "Kill the first owner of this cart",
      after: "Its process is gone. The other owners take every write.",
      async play(stage) {
        const control = await hostsOf(stage);
        const number = await firstOwner(stage, control);
        await control.act(number, "kill");
        await until(stage, `host ${number} to be gone`, () => stateOf(control, number) === "stopped");
      },
    },
    {
      name: "Add a lamp and a cup",
      after: "Acknowledged by the hosts that are there; what the dead one misses is noted for it.",
      play: async ({ here }) => add(here, "lamp", "cup"),
    },
    {
      name: "Start it again",
      after: "It was handed what it had missed: hints, or found by comparing hash trees. Your changes are everywhere.",
      async play(stage) {
        const control = await hostsOf(stage);
        const dead = control.hosts.value.filter(({ state }) => state === "stopped").map(({ number }) => number);
        for (const number of dead) await control.act(number, "restart");
        const areRunning = (): boolean => dead.every((number) => stateOf(control, number) === "running");
        await until(stage, `host ${dead.join(", ")} to be ready`, areRunning);
        await until(stage, "the hints to be handed over", async () => (await hintsWaiting(control)) === 0);
        await until(stage, "your changes to be everywhere", () => isEverywhere(stage, control));
      },
    },
  ],
};

const dayOffline: Scene = {
  title: "A day offline",
  about: "A device without a network is a shop of its own: it opens, finds, keeps and even sells.",
  needsHosts: false,
  steps: [
    {
      name: "Cut this device off",
      after: "The page itself comes from this device too, so you may reload it now.",
      play: async (stage) => goOffline(stage, stage.here),
    },
    {
      name: "Add a map, a rope and soap",
      after: "They wait on this device, however long: unsent writes are kept like any others, and sent at any age.",
      play: async ({ here }) => add(here, "map", "rope", "soap"),
    },
    {
      name: "Let a day pass",
      after:
        "This device's clock is a day ahead, and whatever the store times was due. It has given up nothing: what was not sent " +
        "is still here.",
      play: async ({ here }) => here.lab.letADayPass(),
    },
    {
      name: "Connect again",
      after: "All of it is at the hosts, and on the other device.",
      async play(stage) {
        await goOnline(stage, stage.here);
        await until(stage, "the other device to hear of it", () => isIn("map", "rope", "soap")(stage.there));
      },
    },
  ],
};

const hostJoins: Scene = {
  title: "A host joins",
  about: "A new process takes its share of the ring from the others, while the shop goes on.",
  needsHosts: true,
  steps: [
    {
      name: "Start another host",
      after: "It took its share of the partitions, and copied what is in them.",
      async play(stage) {
        const control = await hostsOf(stage);
        const number = await control.addHost();
        if (number === undefined) throw new Error(control.problem.value);
        await until(stage, `host ${number} to be ready`, () => stateOf(control, number) === "running");
        await until(stage, `host ${number} to have all of its share`, async () => {
          // A busy one may not answer in time, and is asked again.
          const status = await control.status(number).catch(() => undefined);
          return status !== undefined && status.partitions.owned > 0 && status.partitions.everywhere.filling === 0;
        });
      },
    },
    {
      name: "Add jam",
      after: "Where it lives now is under the hood: only the partitions that moved have other owners.",
      play: async ({ here }) => add(here, "jam"),
    },
    {
      name: "Let it leave again",
      after: "It handed everything back before its process ended.",
      async play(stage) {
        const control = await hostsOf(stage);
        const { number } = control.hosts.value.at(-1)!;
        await until(stage, `host ${number} to hand its data over`, async () => {
          const state = stateOf(control, number);
          if (state === undefined) return true;
          // Refused while partitions are still on their way from the step before; an answer may be lost, too.
          if (state === "running" && !(await control.act(number, "leave"))) await pause(againMs);
          return false;
        });
      },
    },
  ],
};

const deleteAgainstAdd: Scene = {
  title: "Delete against add",
  about: "One device takes an article out, while another, which does not know, changes its version.",
  needsHosts: false,
  steps: [
    {
      name: "Put a bell into the cart",
      after: "Both devices show it.",
      async play(stage) {
        await add(stage.here, "bell");
        await until(stage, "both to have it", () => players(stage).every(isIn("bell")));
      },
    },
    {
      name: "Cut the other device off",
      after: "It goes on with what it has: a cart with a bell.",
      play: async (stage) => goOffline(stage, stage.there),
    },
    {
      name: "Take the bell out here, add a book there",
      after: "Here a cart without a bell; there one with a bell and a book.",
      async play({ here, there }) {
        await here.model.session.value.setQuantity("bell", 0);
        await add(there, "book");
      },
    },
    {
      name: "Connect it again",
      after: "What became of the bell is the rule's doing: the cards below say it.",
      async play(stage) {
        await goOnline(stage, stage.there);
        await until(stage, "both to have the book", () => players(stage).every(isIn("book")));
      },
    },
    {
      name: "The same with a CRDT cart",
      after:
        "The bell stays out: this cart knows that the bell of the other device is the very one that was taken out here. " +
        "Only one that was added at the same time would be there.",
      async play(stage) {
        await stage.here.model.session.value.setRule("crdt");
        await until(stage, "both to follow the rule", () =>
          players(stage).every(({ model }) => model.session.value.state.value.settings.rule === "crdt"),
        );
        await add(stage.here, "bell");
        await until(stage, "both to have the bell", () => players(stage).every(isIn("bell")));
        await goOffline(stage, stage.there);
        await stage.here.model.session.value.setQuantity("bell", 0);
        await add(stage.there, "pen");
        await goOnline(stage, stage.there);
        await until(stage, "both to have a pen, and no bell", () =>
          players(stage).every((player) => isIn("pen")(player) && !isIn("bell")(player)),
        );
      },
    },
  ],
};

export const scenes: readonly Scene[] = [concurrentAdds, hostDies, dayOffline, hostJoins, deleteAgainstAdd];
